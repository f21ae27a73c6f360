"""Marks over several packets: answers, connections, sockets, tunnels, and two firewalls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netfw.doctor.finding import Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.observed import ConnectionMarks, Socket, TransformMark
from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Backend, Family
from netfw.traverse.routing_tables import TableRule
from tests.unit.nft_host import (
    ACCEPT,
    DROP,
    asks,
    chain,
    has_mark,
    meta,
    net,
    or_mark,
    payload,
    set_mark,
    table,
)
from tests.unit.test_findings import by_mark, found, held, host
from tests.unit.test_routing_findings import route6, six

V4, V6 = Family.IPV4, Family.IPV6


def fib(*flags: str, result: str = "oif", right: Any = False, relation: str = "==") -> Any:
    return asks({"fib": {"result": result, "flags": list(flags)}}, right, relation)


RPFILTER = "raw PREROUTING -m rpfilter --invert -j DROP"
VALID = "raw PREROUTING -m rpfilter --validmark --invert -j DROP"


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize("rule", [RPFILTER, VALID, RPFILTER.replace("-m rp", "-i w+ -m rp")])
def test_a_rule_drops_the_answers_to_marked_packets(rule: str, backend: Backend) -> None:
    late = "mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff"
    state = host(f"{rule}\n{late}", by_mark(7, 0xFF), backend=backend)
    (one,) = found(state, "rpfilter-rule-ignores-mark")
    assert one.severity is Severity.ERROR
    assert "by wb and others by wa" in one.problem


@pytest.mark.parametrize(
    "rules",
    [
        "raw PREROUTING -m rpfilter --loose --invert -j DROP",
        "raw PREROUTING -m rpfilter -j DROP",
        RPFILTER.replace("-j DROP", "-j ACCEPT"),
        RPFILTER.replace("-m rp", "-i wa -m rp"),
        # restored before it is asked
        "raw PREROUTING -j MARK --set-xmark 0x7/0xff\n"
        "mangle PREROUTING -m rpfilter --validmark --invert -j DROP",
    ],
)
def test_a_rule_that_lets_the_answers_pass(rules: str) -> None:
    assert not found(host(rules, by_mark(7, 0xFF)), "rpfilter-rule-ignores-mark")


def test_without_routing_by_mark_the_way_back_is_one() -> None:
    assert not found(host(RPFILTER), "rpfilter-rule-ignores-mark")
    same = host(RPFILTER, by_mark(7, 0xFF, table=254))
    assert not found(same, "rpfilter-rule-ignores-mark")


@pytest.mark.parametrize(
    ("flags", "priority", "expected"),
    [
        (("saddr", "iif"), -150, True),
        (("saddr", "mark", "iif"), -300, True),
        (("saddr", "mark", "iif"), -140, False),
        (("saddr",), -150, False),
        (("daddr", "iif"), -150, False),
    ],
)
def test_a_native_rule_drops_the_answers_of_ipv6(
    flags: tuple[str, ...], priority: int, expected: bool
) -> None:
    mine = TableRule(500, V6, 100, mark=MaskedWord(7, 0xFF))
    restore = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"ct": {"key": "mark"}}}}
    tables = (
        table(
            chain("r", [fib(*flags), DROP], hook="prerouting", priority=priority),
            chain("m", [restore], hook="prerouting", priority=-145),
        ),
    )
    state = six("", mine, routes=(route6(254, "wa"), route6(100, "wb")))
    got = found(replace(state, tables=tables), "rpfilter-rule-ignores-mark")
    assert bool(got) is expected
    four = chain("r", [meta("nfproto", "ipv4"), fib(*flags), DROP], hook="prerouting")
    state = replace(state, tables=(table(four),))
    assert not found(state, "rpfilter-rule-ignores-mark")
    accepts = (table(chain("r", [fib(*flags), ACCEPT], hook="prerouting", priority=priority)),)
    assert not found(replace(state, tables=accepts), "rpfilter-rule-ignores-mark")


MARKED = "mangle PREROUTING -i wb -j MARK --set-xmark 0x7/0xff\n"
SERVER = "nat PREROUTING -i wb -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.1.0.5"


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize("server", [SERVER, SERVER.replace("-i wb ", "")])
def test_answers_of_a_server_behind_this_host(server: str, backend: Backend) -> None:
    state = host(MARKED + server, by_mark(7, 0xFF), backend=backend)
    (one,) = found(state, "forwarded-answers-unmarked")
    assert one.evidence[1].table == "nat"


def test_answers_of_a_server_behind_native_rules() -> None:
    nat = chain("n", [meta("iifname", "wb"), {"dnat": {"addr": "10.1.0.5"}}], hook="prerouting")
    marks = chain("m", [meta("iifname", "wb"), set_mark(7)], hook="prerouting")
    state = host("", by_mark(7, 0xFF), tables=(table(nat, marks),))
    assert found(state, "forwarded-answers-unmarked")
    by_source = [payload("ip", "saddr", net("10.1.0.0", 24)), set_mark(7)]
    marks = chain("m", [meta("iifname", "wb"), set_mark(7)], by_source, hook="prerouting")
    state = host("", by_mark(7, 0xFF), tables=(table(nat, marks),))
    assert not found(state, "forwarded-answers-unmarked")


@pytest.mark.parametrize(
    "rules",
    [
        MARKED,
        SERVER,
        MARKED + SERVER.replace("-i wb", "-i wa"),
        MARKED + SERVER.replace("PREROUTING -i wb", "OUTPUT"),
        MARKED + SERVER + "\nmangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xff"
        " --ctmask 0xff",
        MARKED + SERVER + "\nmangle PREROUTING -s 10.1.0.5 -j MARK --set-xmark 0x7/0xff",
        (MARKED + SERVER).replace("-i wb", "-i wa"),
    ],
)
def test_answers_that_are_marked_or_need_not_be(rules: str) -> None:
    assert not found(host(rules, by_mark(7, 0xFF)), "forwarded-answers-unmarked")


SAVE = "mangle POSTROUTING -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff\n"


@pytest.mark.parametrize("backend", Backend)
def test_a_saved_mark_that_nobody_restores(backend: Backend) -> None:
    (one,) = found(host(SAVE, backend=backend), "connection-mark-unread")
    assert "saves 0xff" in one.problem
    other = SAVE + "mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xff00 --ctmask 0xff00"
    assert found(host(other, backend=backend), "connection-mark-unread")
    save = {"mangle": {"key": {"ct": {"key": "mark"}}, "value": {"meta": {"key": "mark"}}}}
    native = (table(chain("p", [save], hook="postrouting")),)
    assert found(host("", tables=native), "connection-mark-unread")


@pytest.mark.parametrize(
    "rules",
    [
        SAVE + "mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",
        SAVE + "filter FORWARD -m connmark --mark 0x7/0xff -j ACCEPT",
        # set for others, such as those who list connections
        "mangle FORWARD -j CONNMARK --set-xmark 0x7/0xff",
        "mangle PREROUTING -j MARK --set-xmark 0x7/0xff",
    ],
)
def test_a_connection_mark_that_is_read_or_not_saved(rules: str) -> None:
    assert not found(host(rules), "connection-mark-unread")


def test_connections_keep_a_mark_that_nobody_restores() -> None:
    kept = (ConnectionMarks(V4, 7, 3, "tcp 10.0.0.1:1 -> 192.0.2.1:443"),)
    marks = "mangle PREROUTING -j MARK --set-xmark 0x7/0xff"
    (one,) = found(host(marks, by_mark(7, 0xFF), connections=kept), "connection-mark-unread")
    assert "3 connections" in one.problem
    restored = "mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff"
    state = host(restored, by_mark(7, 0xFF), connections=kept)
    assert not found(state, "connection-mark-unread")
    # of other bits, of another family, or where routing does not ask
    for rule in (by_mark(8, 0xFF), by_mark(0xF, 0xFF), by_mark(7, 0xFF, invert=True)):
        assert not found(host(marks, rule, connections=kept), "connection-mark-unread")
    six_kept = (replace(kept[0], family=V6),)
    assert not found(host(marks, by_mark(7, 0xFF), connections=six_kept), "connection-mark-unread")


def vpn(mark: int, number: int = 7, **more: object) -> Socket:
    made = Socket(
        "udp", V4, f"0.0.0.0:{1000 + number}", "", "UNCONN", mark, owner=f"vpn[{number}]"
    )
    return replace(made, **more)  # type: ignore[arg-type]


def test_a_socket_with_a_mark_of_yesterday() -> None:
    state = host("", by_mark(0x55, 0xFF), sockets=(vpn(0x44, 6), vpn(0x55)))
    (one,) = found(state, "stale-socket-mark")
    assert "0x44" in one.problem
    accept = "filter OUTPUT -m mark --mark 0x55 -j ACCEPT"
    for backend in Backend:
        sockets = (vpn(0x44, family=V6), vpn(0x55))
        assert found(host(accept, backend=backend, sockets=sockets), "stale-socket-mark")
    native = (table(chain("o", [meta("mark", 0x55), ACCEPT], hook="output")),)
    state = host("", tables=native, sockets=(vpn(0x44), vpn(0x55)))
    assert found(state, "stale-socket-mark")


@pytest.mark.parametrize(
    "sockets",
    [
        (vpn(0x55), vpn(0x55, 8)),
        (vpn(0x44), vpn(0x33)),
        (vpn(0x44, owner="other[3]"), vpn(0x55)),
        (vpn(0x44, owner=""), vpn(0x55, owner="")),
        (vpn(0x0), vpn(0x55)),
        (vpn(0x155), vpn(0x55)),
    ],
)
def test_sockets_whose_marks_are_asked_for_or_none_is(sockets: tuple[Socket, ...]) -> None:
    assert not found(host("", by_mark(0x55, 0xFF), sockets=sockets), "stale-socket-mark")


POLICY = TransformMark("policy", "policy 10.0.0.0/8 -> 10.9.0.0/16", MaskedWord(0x1, 0xFF))


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize("protocol", ["esp", "51"])
def test_encrypted_packets_that_are_marked_for_a_policy(protocol: str, backend: Backend) -> None:
    rule = f"mangle PREROUTING -s 192.0.2.7 -p {protocol} -j MARK --set-xmark 0x1/0xff"
    state = replace(host(rule, backend=backend), transforms=(POLICY,))
    assert found(state, "xfrm-mark-loop")
    native = chain("p", [meta("l4proto", "esp"), set_mark(1)], hook="prerouting")
    assert found(replace(state, rules=(), tables=(table(native),)), "xfrm-mark-loop")


@pytest.mark.parametrize(
    ("rule", "policy"),
    [
        ("mangle PREROUTING -p esp -j MARK --set-xmark 0x2/0xff", POLICY),
        ("mangle PREROUTING -p udp -j MARK --set-xmark 0x1/0xff", POLICY),
        ("mangle PREROUTING ! -p esp -j MARK --set-xmark 0x1/0xff", POLICY),
        ("mangle OUTPUT -p esp -j MARK --set-xmark 0x1/0xff", POLICY),
        ("mangle PREROUTING -p esp -j MARK --set-xmark 0x1/0xff", replace(POLICY, kind="state")),
        ("mangle PREROUTING -p esp -j MARK --set-xmark 0x1/0xff", replace(POLICY, mark=None)),
    ],
)
def test_encrypted_packets_that_no_policy_asks_for(rule: str, policy: TransformMark) -> None:
    assert not found(replace(host(rule), transforms=(policy,)), "xfrm-mark-loop")


def dropping(hook: str, *rules: list[Any], policy: str = "drop") -> tuple[Any, ...]:
    return (table(chain("f", *rules, hook=hook, priority=0, policy=policy), name="other"),)


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize("hook", ["input", "forward", "output"])
def test_an_accept_by_mark_that_another_table_overrules(hook: str, backend: Backend) -> None:
    rule = f"filter {hook.upper()} -m mark --mark 0x7/0xff -j ACCEPT"
    state = host(rule, backend=backend, tables=dropping(hook, [meta("iifname", "lan"), ACCEPT]))
    (one,) = found(state, "accept-overruled")
    assert "inet other" in str(one.evidence[0])
    asking = dropping(hook, [has_mark(7, 0xFF), ACCEPT])
    assert not found(host(rule, backend=backend, tables=asking), "accept-overruled")


def test_a_native_accept_by_mark_that_iptables_overrules() -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    mine = chain("f", [has_mark(7, 0xFF), ACCEPT], hook="forward", priority=0)
    for family, expected in ((V4, True), (V6, False)):
        docker = replace(held("filter FORWARD -j ACCEPT"), ruleset=parse_ruleset(text, V4))
        tables = (table(mine, family="ip" if family is V4 else "ip6"),)
        state = HostState(rules=(docker,), tables=tables)
        assert bool(found(state, "accept-overruled")) is expected


@pytest.mark.parametrize(
    ("rule", "tables"),
    [
        ("filter FORWARD -m mark --mark 0x7/0xff -j ACCEPT", dropping("input")),
        ("filter FORWARD -m mark --mark 0x7/0xff -j ACCEPT", dropping("forward", policy="accept")),
        ("filter FORWARD -m mark --mark 0x7/0xff -j DROP", dropping("forward")),
        ("filter FORWARD -m mark ! --mark 0x7/0xff -j ACCEPT", dropping("forward")),
        ("filter FORWARD -i lan -j ACCEPT", dropping("forward")),
        # to be quick, before anybody filters
        ("mangle FORWARD -m mark --mark 0x7/0xff -j ACCEPT", dropping("forward")),
    ],
)
def test_an_accept_that_nobody_overrules(rule: str, tables: tuple[Any, ...]) -> None:
    assert not found(host(rule, tables=tables), "accept-overruled")


CALLED = "mangle {0} -j twice\nmangle {1} -j twice\nmangle twice -j MARK --set-xmark 0x4000/0x0"


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize(
    ("one", "other"),
    [("PREROUTING", "FORWARD"), ("OUTPUT", "POSTROUTING"), ("INPUT", "PREROUTING")],
)
def test_bits_that_two_hooks_turn_over(one: str, other: str, backend: Backend) -> None:
    (said,) = found(host(CALLED.format(one, other), backend=backend), "mark-toggled")
    assert "turns the bits 0x4000" in said.problem
    toggle = set_mark({"^": [{"meta": {"key": "mark"}}, 0x4000]})
    hooks = [
        chain(name, [{"jump": {"target": "t"}}], hook=name) for name in ("input", "prerouting")
    ]
    assert found(host("", tables=(table(*hooks, chain("t", [toggle])),)), "mark-toggled")


@pytest.mark.parametrize(
    "rules",
    [
        CALLED.format("INPUT", "FORWARD"),
        CALLED.format("PREROUTING", "OUTPUT"),
        CALLED.format("PREROUTING", "FORWARD").replace(
            "twice -j MARK", "twice -m mark --mark 0x4000/0x4000 -j MARK"
        ),
        CALLED.format("PREROUTING -m mark --mark 0x4000/0x4000", "PREROUTING -i x"),
        CALLED.format("PREROUTING", "FORWARD").replace("0x4000/0x0", "0x4000/0x4000"),
    ],
)
def test_bits_that_are_turned_over_once(rules: str) -> None:
    assert not found(host(rules), "mark-toggled")


def test_or_mark_sets_what_it_says() -> None:
    hooks = [
        chain(name, [{"jump": {"target": "t"}}], hook=name) for name in ("input", "prerouting")
    ]
    state = host("", tables=(table(*hooks, chain("t", [or_mark(0x4000)])),))
    assert not found(state, "mark-toggled")
