"""The same faults on hosts of another make: native nftables, IPv6, connection marks, this host's
own packets, other bits; and beside each a host that only looks like it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netfw.doctor.finding import Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.observed import ConnectionMarks, Link, NftTable, RoutingRule, Socket
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Backend, Family
from netfw.ir.net import Net
from netfw.traverse.routing_tables import RouteKind, TableRoute, TableRule
from tests.unit.nft_host import (
    ACCEPT,
    DROP,
    asks,
    chain,
    has_mark,
    jump,
    meta,
    or_mark,
    payload,
    set_mark,
    state,
    table,
)
from tests.unit.test_findings import by_mark, found, held, host, route
from tests.unit.test_routing_findings import route6, six

V4, V6 = Family.IPV4, Family.IPV6
CT = {"ct": {"key": "mark"}}
MARK = {"meta": {"key": "mark"}}
LAN = meta("iifname", "lan")


def native(*rules: list[dict[str, Any]], hook: str = "prerouting", **more: Any) -> NftTable:
    return table(chain("c", *rules, hook=hook, **more))


def set_ct(value: Any) -> dict[str, Any]:
    return {"mangle": {"key": CT, "value": value}}


def ct_mark(value: int, mask: int, relation: str = "==") -> dict[str, Any]:
    return asks({"&": [CT, mask]}, value, relation)


def of_table(*tables: NftTable, rules: tuple[RoutingRule, ...] = (), **more: Any) -> HostState:
    return host("", *rules, tables=tables, **more)


def six_rule(value: int, mask: int, number: int = 100, preference: int = 500) -> TableRule:
    return TableRule(preference, V6, number, mark=MaskedWord(value, mask))


SIX_ROUTES = (route6(254, "wa"), route6(100, "wb"))


def test_answers_unmarked() -> None:
    code, off = "answers-unmarked", {"net/ipv4/tcp_fwmark_accept": "0"}
    web = Socket("tcp", V6, "*:443", "", "LISTEN", 0, owner="nginx[9]")
    rules = (by_mark(2, 0xF),)
    by_nft = native([meta("iifname", {"set": ["wb", "wc"]}), set_mark(2)])
    assert found(of_table(by_nft, rules=rules, sockets=(web,), sysctls=off), code)
    restores = native([set_mark({"&": [CT, 0xF]})], hook="output", kind="route")
    both = of_table(by_nft, replace(restores, name="o"), rules=rules, sockets=(web,), sysctls=off)
    assert not found(both, code)
    mark = "mangle PREROUTING -i wb -j MARK --set-xmark 0x2/0xf"
    of_six = six(mark, six_rule(2, 0xF), routes=SIX_ROUTES)
    of_six = replace(of_six, sockets=(web,), sysctls=off)
    (one,) = found(of_six, code)
    assert "ip6tables" in one.fix[1]
    local = replace(web, local="[::1]:443")
    assert not found(replace(of_six, sockets=(local,)), code)


def test_byte_swapped() -> None:
    code = "byte-swapped"
    reads = native([has_mark(0x400, 0xFF00), ACCEPT], hook="forward")
    assert found(of_table(reads, rules=(by_mark(0x40000, 0xFF0000),)), code)
    assert not found(of_table(reads, rules=(by_mark(0x400, 0xFF00),)), code)
    wrong = "mangle OUTPUT -j MARK --set-xmark 0x8000000/0xff000000"
    state_ = six(wrong, six_rule(0x8, 0xFF), routes=SIX_ROUTES)
    assert found(state_, code)


def test_digit_twins() -> None:
    code = "digit-twins"
    assert found(of_table(native([set_mark(10000)]), rules=(by_mark(0x10000),)), code)
    wireguard = Link("wg0", 5, "wireguard", mark=0x51820)
    assert found(host("", by_mark(51820, invert=True), links=(wireguard,)), code)
    right = replace(wireguard, mark=51820)
    assert not found(host("", by_mark(51820, invert=True), links=(right,)), code)
    # two bits far up, whose digits are the same by chance
    apart = "mangle INPUT -j MARK --set-xmark 0x200000/0xf00000\n"
    for negated in ("", "! "):
        reads = f"filter INPUT -m mark {negated}--mark 0x10000/0x10000 -j DROP"
        assert not found(host(apart + reads), code)
    (octal,) = found(host("mangle PREROUTING -j MARK --set-mark 0x40", by_mark(0x100)), code)
    assert octal.severity is Severity.WARNING
    proxy = Socket("tcp", V6, "*:1", "", "LISTEN", 1337, owner="envoy[1]")
    assert found(host("filter OUTPUT -m mark --mark 0x1337 -j ACCEPT", sockets=(proxy,)), code)
    saved = (
        "mangle FORWARD -j CONNMARK --set-xmark 0x64/0xffffffff\n"
        "mangle PREROUTING -m connmark --mark 0x100 -j ACCEPT"
    )
    assert found(host(saved, backend=Backend.LEGACY), code)
    assert not found(host(saved.replace("0x100", "0x64")), code)


def test_equality_sees_other_bits() -> None:
    code = "equality-sees-other-bits"
    writes = [[LAN, set_mark(0x105)], [LAN, or_mark(0x200)]]
    reads = chain("r", [meta("mark", 0x105), ACCEPT], hook="input", priority=0)
    assert found(of_table(table(chain("c", *writes, hook="prerouting"), reads)), code)
    masked = chain("r", [has_mark(0x105, 0xFF), ACCEPT], hook="input", priority=0)
    assert not found(of_table(table(chain("c", *writes, hook="prerouting"), masked)), code)
    apart = [[LAN, set_mark(0x105)], [meta("iifname", "wan"), or_mark(0x200)]]
    assert not found(of_table(table(chain("c", *apart, hook="prerouting"), reads)), code)
    rules = (
        "mangle OUTPUT -j MARK --set-xmark 0xff/0xffffffff\n"
        "mangle OUTPUT -j MARK --set-xmark 0x100/0x100"
    )
    assert found(six(rules, six_rule(0xFF, 0xFFFFFFFF), routes=SIX_ROUTES), code)
    # whoever asks for both together knows of the other bit
    knows = f"{rules}\nfilter OUTPUT -m mark --mark 0x1ff -j ACCEPT"
    assert not found(six(knows, six_rule(0xFF, 0xFFFFFFFF), routes=SIX_ROUTES), code)


def test_flowtable_hides() -> None:
    code, flow = "flowtable-hides", {"flow": {"op": "add", "flowtable": "@f"}}
    made = chain("f", [state("established"), flow], hook="forward", priority=0)
    flows = replace(made, rules=(replace(made.rules[0], text="flow add @f"),))
    assert found(of_table(table(flows), native([set_mark(1)], hook="forward")), code)
    assert found(of_table(table(flows), native([or_mark(0x40)], hook="postrouting")), code)
    # packets that end here are in no flowtable
    assert not found(of_table(table(flows), native([set_mark(1)], hook="output")), code)
    assert not found(of_table(table(flows), native([LAN, ACCEPT], hook="forward")), code)


def test_ip_rule_shadowed() -> None:
    code, marks = "ip-rule-shadowed", "mangle OUTPUT -j MARK --set-xmark 0x5/0xff"
    late = six_rule(5, 0xFF, preference=40000)
    assert found(six(marks, late, routes=SIX_ROUTES), code)
    assert not found(six(marks, six_rule(5, 0xFF), routes=SIX_ROUTES), code)
    refuses = TableRule(90, V6, 0, RouteKind.UNREACHABLE)
    assert found(six(marks, refuses, six_rule(5, 0xFF), routes=SIX_ROUTES), code)
    other_source = replace(refuses, source=Net.parse("2001:db8::/32"))
    assert not found(six(marks, other_source, six_rule(5, 0xFF), routes=SIX_ROUTES), code)
    suppressed = TableRule(90, V6, 254, suppressed_prefix=0)
    assert not found(six(marks, suppressed, six_rule(5, 0xFF), routes=SIX_ROUTES), code)


def test_ip_rules_collide() -> None:
    code = "ip-rules-collide"
    one, other = six_rule(0x30, 0xF0), six_rule(0x10, 0x1F, number=3, preference=600)
    assert found(six("", one, other, routes=()), code)
    apart = six_rule(0x40, 0x4F, number=3, preference=600)
    assert not found(six("", one, apart, routes=()), code)
    four = by_mark(0x10, 0x1F, table=3, preference=600)
    both = six("", one, routes=())
    assert not found(replace(both, routing_rules=(*both.routing_rules, four)), code)


@pytest.mark.parametrize("hook", ["input", "forward", "postrouting"])
def test_mark_after_routing(hook: str) -> None:
    code, rules = "mark-after-routing", (by_mark(0x300, 0xF00),)
    assert found(of_table(native([set_mark(0x300)], hook=hook), rules=rules), code)
    early = native([set_mark(0x300)])
    assert not found(of_table(early, rules=rules), code)
    late = f"mangle {hook.upper()} -j MARK --set-xmark 0x300/0xf00"
    assert found(six(late, six_rule(0x300, 0xF00), routes=SIX_ROUTES), code)
    # another family's
    assert not found(host(late, backend=Backend.LEGACY), code)


def test_mark_in_nat() -> None:
    code, rules = "mark-in-nat", (by_mark(7, 0xFF),)
    assert found(of_table(native([LAN, set_mark(7)], kind="nat"), rules=rules), code)
    assert not found(of_table(native([LAN, set_mark(7)]), rules=rules), code)
    called = table(
        chain("n", [LAN, jump("m")], hook="output", kind="nat"), chain("m", [set_mark(7)])
    )
    assert found(of_table(called, rules=rules), code)
    saved = table(
        chain("n", [set_mark(7)], hook="output", kind="nat"),
        chain("s", [set_ct({"&": [MARK, 0xFF]})], hook="postrouting"),
    )
    assert not found(of_table(saved, rules=rules), code)
    # only the first packet needs the mark, where connections are accepted once they are there
    first = (
        "nat PREROUTING -j MARK --set-xmark 0x4000/0x4000\n"
        "filter FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT\n"
    )
    later = "filter FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT"
    assert found(host(first), code)
    assert not found(host(first + later), code)


def test_mark_never_set() -> None:
    code = "mark-never-set"
    assert found(of_table(native([has_mark(0x40, 0xF0), DROP], hook="forward")), code)
    assert found(of_table(native([ct_mark(0x40, 0xF0), DROP], hook="forward")), code)
    ours = (ConnectionMarks(V4, 0x40, 1, "tcp"),)
    state_ = of_table(native([ct_mark(0x40, 0xF0), DROP], hook="forward"), connections=ours)
    assert not found(state_, code)
    of_map = set_mark({"map": {"key": {"meta": {"key": "iifname"}}, "data": "@m"}})
    sets = native([of_map], [has_mark(0x40, 0xF0), ACCEPT])
    assert not found(of_table(sets), code)
    assert found(six("", six_rule(0x40, 0xF0), routes=()), code)
    # set where no packet of this host comes by
    elsewhere = "mangle FORWARD -j MARK --set-xmark 0x40/0xf0\n"
    for hook, expected in (("OUTPUT", True), ("FORWARD", False)):
        rules = f"{elsewhere}filter {hook} -m mark --mark 0x40/0xf0 -j ACCEPT"
        assert bool(found(host(rules), code)) is expected


def test_mark_not_rerouted() -> None:
    code = "mark-not-rerouted"
    for chain_, expected in (("raw", True), ("filter", True), ("mangle", False)):
        rule = f"{chain_} OUTPUT -p udp -j MARK --set-xmark 0x100/0x100"
        assert bool(found(six(rule, six_rule(0x100, 0x100), routes=SIX_ROUTES), code)) is expected
    restores = native([set_mark({"&": [CT, 0xFF]})], hook="output")
    assert found(of_table(restores, rules=(by_mark(7, 0xFF),)), code)
    nat = native([set_mark(7)], hook="output", kind="nat")
    assert not found(of_table(nat, rules=(by_mark(7, 0xFF),)), code)


def test_mark_of_others_decides() -> None:
    code = "mark-of-others-decides"
    theirs = table(
        chain(
            "KUBE-ROUTER-FORWARD", [has_mark(0x20000, 0x20000), ACCEPT], hook="forward", priority=0
        )
    )
    mine = table(chain("p", [or_mark(0x20000)], hook="prerouting"), name="mine")
    assert found(of_table(theirs, mine), code)
    other = table(chain("p", [or_mark(0x40000)], hook="prerouting"), name="mine")
    assert not found(of_table(theirs, other), code)
    drop = (
        "mangle OUTPUT -j ts-forward\nmangle ts-forward -m mark --mark 0x40000/0xff0000 -j DROP\n"
    )
    bird = Socket("udp", V4, "0.0.0.0:1", "", "UNCONN", 0x40000, owner="bird[2]")
    assert found(host(drop, sockets=(bird,)), code)
    assert not found(host(drop, sockets=(replace(bird, mark=0x80000),)), code)


def test_mark_read_too_early() -> None:
    code = "mark-read-too-early"
    late = chain("w", [LAN, or_mark(0x10)], hook="prerouting", priority=-100)
    for relation, ending in (("!=", DROP), ("==", ACCEPT)):
        early = chain("r", [has_mark(0x10, 0x10, relation), ending], hook="prerouting")
        assert found(of_table(table(early, late)), code)
        behind = replace(early, priority=-90)
        assert not found(of_table(table(behind, late)), code)
    other = chain("r", [meta("iifname", "wan"), has_mark(0x10, 0x10), ACCEPT], hook="prerouting")
    assert not found(of_table(table(other, late)), code)
    out = "raw OUTPUT -m mark ! --mark 0x1/0x1 -j DROP\nmangle OUTPUT -j MARK --set-xmark 0x1/0x1"
    assert found(six(out, routes=()), code)


def test_mark_restored_whole() -> None:
    code = "mark-restored-whole"
    first = [LAN, or_mark(0x100)]
    read = chain("i", [has_mark(0x100, 0x100), ACCEPT], hook="input", priority=0)
    for copy in (CT, {"&": [CT, 0x80]}):
        rules = chain("p", first, [set_mark(copy)], hook="prerouting")
        assert found(of_table(table(rules, read)), code)
    udp = chain("p", first, [payload("udp", "sport", 53), set_mark(CT)], hook="prerouting")
    assert found(of_table(table(udp, read)), code)
    other = chain("p", first, [meta("iifname", "wan"), set_mark(CT)], hook="prerouting")
    assert not found(of_table(table(other, read)), code)
    kept = {"|": [{"&": [MARK, 0xFFFFFF7F]}, {"&": [CT, 0x80]}]}
    masked = chain("p", first, [set_mark(kept)], hook="prerouting")
    assert not found(of_table(table(masked, read)), code)


def test_mark_test_never_true() -> None:
    code = "mark-test-never-true"
    for test in (has_mark(0x3, 0x1), ct_mark(0x300, 0x100)):
        assert found(of_table(native([test, ACCEPT])), code)
    assert not found(of_table(native([has_mark(0x1, 0x3), ACCEPT])), code)
    assert found(six("mangle OUTPUT -m mark --mark 0x300/0x100 -j ACCEPT", routes=()), code)


def test_mark_toggled() -> None:
    code = "mark-toggled"
    wrong = "mangle FORWARD -j CONNMARK --set-xmark 0x30/0x10"
    assert found(six(wrong, routes=()), code)
    assert not found(six(wrong.replace("0x10", "0x30"), routes=()), code)
    value = {"^": [{"&": [MARK, 0xFFFFFFEF]}, 0x30]}
    assert found(of_table(native([set_mark(value)])), code)


def test_mask_inverted() -> None:
    code = "mask-inverted"
    value = {"^": [{"&": [MARK, 0x3F00]}, 0x200]}
    assert found(of_table(native([set_mark(value)])), code)
    right = {"^": [{"&": [MARK, 0xFFFFC0FF]}, 0x200]}
    assert not found(of_table(native([set_mark(right)])), code)
    of_ct = {"^": [{"&": [CT, 0xFF]}, 0x1]}
    assert found(of_table(native([set_ct(of_ct)])), code)
    assert not found(of_table(native([set_mark({"&": [MARK, 0x3F00]})])), code)


def test_queue_may_wipe() -> None:
    code = "queue-may-wipe"
    first = chain("p", [or_mark(0x10)], hook="prerouting")
    asks_late = chain("i", [has_mark(0x10, 0x10), ACCEPT], hook="input", priority=10)
    queue = chain(
        "q", [payload("tcp", "dport", 80), {"queue": {"num": 1}}], hook="input", priority=0
    )
    assert found(of_table(table(first, queue, asks_late)), code)
    early = replace(asks_late, priority=-10)
    assert not found(of_table(table(first, queue, early)), code)
    other = chain("p", [payload("udp", "dport", 53), or_mark(0x10)], hook="prerouting")
    assert not found(of_table(table(other, queue, asks_late)), code)
    out = (
        "mangle OUTPUT -j MARK --set-xmark 0x10/0x10\n"
        "filter OUTPUT -j NFQUEUE --queue-num 3\n"
        "mangle POSTROUTING -m mark --mark 0x10/0x10 -j ACCEPT\n"
    )
    assert found(six(out, routes=()), code)


def test_rerouted_source() -> None:
    code = "rerouted-source"
    marks = native([set_mark(7)], hook="output", kind="route")
    rules = (by_mark(7, 0xFF),)
    assert found(of_table(marks, rules=rules), code)
    for out, expected in (("wb", False), ("wa", True)):
        nat = native([meta("oifname", out), {"masquerade": None}], hook="postrouting", kind="nat")
        both = of_table(marks, replace(nat, name="n"), rules=rules)
        assert bool(found(both, code)) is expected
    of_six = six(
        "mangle OUTPUT -j MARK --set-xmark 0x7/0xff", six_rule(7, 0xFF), routes=SIX_ROUTES
    )
    links = (
        Link("wa", 2, addresses=("2001:db8:a::1/64",)),
        Link("wb", 3, addresses=("2001:db8:b::1/64",)),
    )
    assert found(replace(of_six, links=links), code)
    unnumbered = (links[0], replace(links[1], addresses=()))
    shared = (links[0], replace(links[1], addresses=links[0].addresses))
    assert not found(replace(of_six, links=shared), code)
    assert not found(replace(of_six, links=unnumbered), code)


def test_rp_filter_ignores_mark() -> None:
    code = "rp-filter-ignores-mark"

    def settings(**of: str) -> dict[str, str]:
        base = "net/ipv4/conf"
        return {f"{base}/{key.replace('__', '/')}": value for key, value in of.items()}

    strict = settings(all__rp_filter="1", wb__rp_filter="0", all__src_valid_mark="0")
    assert found(host("", by_mark(5), sysctls=strict), code)
    # what the interface says counts more, where it is the greater number
    loose = settings(all__rp_filter="1", wb__rp_filter="2", wa__rp_filter="2")
    assert not found(host("", by_mark(5), sysctls=loose), code)
    on = settings(all__rp_filter="1", all__src_valid_mark="1")
    assert not found(host("", by_mark(5), sysctls=on), code)
    tunnel = (route(254, "wa"), route(100, "wg0"))
    state_ = host("", by_mark(0xCA6C, invert=True), routes=tunnel, sysctls=strict)
    assert found(state_, code)
    same = (route(254, "wa"), route(100, "wa"))
    assert not found(host("", by_mark(5), routes=same, sysctls=strict), code)


def test_src_valid_mark_and_local() -> None:
    code = "src-valid-mark-and-local"
    local = TableRoute(233, RouteKind.LOCAL, Net.parse("0.0.0.0/0"), "lo")
    on = {"net/ipv4/conf/wa/src_valid_mark": "1"}
    proxy = by_mark(0x1, 0x1, table=233)
    assert found(host("", proxy, routes=(route(254, "wa"), local), sysctls=on), code)
    part = replace(local, destination=Net.parse("10.0.0.0/8"))
    assert not found(host("", proxy, routes=(route(254, "wa"), part), sysctls=on), code)
    off = {"net/ipv4/conf/wa/src_valid_mark": "0"}
    assert not found(host("", proxy, routes=(route(254, "wa"), local), sysctls=off), code)


def test_stale_connection_marks() -> None:
    code = "stale-connection-marks"
    kept = (ConnectionMarks(V6, 0x30, 2, "tcp [2001:db8::1]:1 -> [2001:db8::2]:443"),)
    rules = native([LAN, set_ct(0x10)], [set_mark(CT)])
    assert found(of_table(rules, connections=kept), code)
    assert not found(of_table(native([LAN, set_ct(0x30)], [set_mark(CT)]), connections=kept), code)
    assert not found(of_table(native([LAN, set_ct(0x10)]), connections=kept), code)
    two = "filter FORWARD -m connmark --mark 0x30/0xf0 -j ACCEPT"
    assert found(host(two, connections=kept, backend=Backend.LEGACY), code)


def test_tunnel_keeps_mark() -> None:
    code = "tunnel-keeps-mark"
    links = (Link("tun6", 5, "ip6gre"),)
    marks = "mangle OUTPUT -j MARK --set-xmark 0x8/0x8\n"
    routes = (route6(254, "wa"), route6(100, "tun6"))
    of_six = six(marks, six_rule(8, 8), routes=routes)
    assert found(replace(of_six, links=links), code)
    assert not found(replace(of_six, links=(replace(links[0], mark=1),)), code)
    vxlan = (Link("vx", 5, "vxlan"),)
    masks = table(
        chain("p", [or_mark(0x4000)], hook="prerouting"),
        chain(
            "n", [has_mark(0x4000, 0x4000), {"masquerade": None}], hook="postrouting", kind="nat"
        ),
    )
    masks = replace(
        masks,
        chains=(
            masks.chains[0],
            replace(
                masks.chains[1], rules=(replace(masks.chains[1].rules[0], text="masquerade"),)
            ),
        ),
    )
    assert found(of_table(masks, links=vxlan), code)
    clears = chain(
        "z", [meta("oifname", "vx"), set_mark({"&": [MARK, 0xFFFFBFFF]})], hook="postrouting"
    )
    cleared = replace(masks, chains=(*masks.chains, clears))
    assert not found(of_table(cleared, links=vxlan), code)
    elsewhere = replace(
        masks,
        chains=(
            *masks.chains,
            chain(
                "z",
                [meta("oifname", "wa"), set_mark({"&": [MARK, 0xFFFFBFFF]})],
                hook="postrouting",
            ),
        ),
    )
    assert found(of_table(elsewhere, links=vxlan), code)


def test_bridged_unseen() -> None:
    code = "bridged-unseen"
    links = (Link("br0", 2, "bridge"), Link("p1", 3, master="br0"), Link("p2", 4, master="br0"))
    for ports in ("p1", {"set": ["p1", "p2"]}):
        marks = native([meta("iifname", ports), set_mark(1)], hook="forward")
        assert found(of_table(marks, links=links), code)
        on = {"net/bridge/bridge-nf-call-iptables": "1"}
        assert not found(of_table(marks, links=links, sysctls=on), code)
        of_bridge = replace(marks, family="bridge")
        assert not found(of_table(of_bridge, links=links), code)
    # for what comes in by a link that is no port of the bridge
    routed = native([meta("iifname", "eth9"), set_mark(1)], hook="forward")
    assert not found(of_table(routed, links=links), code)
    of_six = six("mangle FORWARD -i p1 -j MARK --set-xmark 0x1/0x1", routes=())
    four = {"net/bridge/bridge-nf-call-iptables": "1"}
    assert found(replace(of_six, links=links, sysctls=four), code)
    both = {**four, "net/bridge/bridge-nf-call-ip6tables": "1"}
    assert not found(replace(of_six, links=links, sysctls=both), code)


def test_a_tunnel_s_mark_is_taken_off_for_one_of_several_links() -> None:
    links = (Link("gnv", 5, "geneve"),)
    rules = (by_mark(8, 8),)
    routes = (route(254, "wa"), route(100, "gnv"))
    for names, expected in ((["gnv", "vx"], False), (["wa", "vx"], True)):
        clears = [meta("oifname", {"set": names}), set_mark({"&": [MARK, 0xFFFFFFF7]})]
        tables = (
            table(
                chain("p", [set_mark(8)], hook="prerouting"),
                chain("z", clears, hook="postrouting"),
            ),
        )
        state_ = host("", *rules, tables=tables, routes=routes, links=links)
        assert bool(found(state_, "tunnel-keeps-mark")) is expected


def test_two_backends() -> None:
    code = "two-backends"
    legacy = held("mangle OUTPUT -j CONNMARK --set-xmark 0x1/0x1", Backend.LEGACY, V6)
    tables = (native([LAN, ACCEPT]),)
    assert found(HostState(rules=(legacy,), tables=tables), code)
    of_four = (table(chain("c", [LAN, ACCEPT], hook="input"), family="ip"),)
    assert not found(HostState(rules=(legacy,), tables=of_four), code)


def test_untracked_connmark() -> None:
    code = "untracked-connmark"
    out = (
        "raw OUTPUT -p udp -j CT --notrack\n"
        "mangle OUTPUT -p udp -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff"
    )
    assert found(six(out, routes=()), code)
    # other packets: those that come in, and those of the other family
    apart = out.replace("raw OUTPUT", "raw PREROUTING")
    assert not found(six(apart, routes=()), code)
    raw, mangle = out.splitlines()
    for backend, family, expected in (
        (Backend.NFT, V6, True),
        (Backend.NFT, V4, False),
        (Backend.LEGACY, V6, False),
    ):
        rules = (held(raw, Backend.NFT, V6), held(mangle, backend, family))
        assert bool(found(HostState(rules=rules), code)) is expected
    asked = out.replace("CONNMARK --save-mark --nfmask 0xff --ctmask 0xff", "ACCEPT")
    assert not found(six(asked, routes=()), code)
    notrack = chain(
        "r", [payload("udp", "dport", 53), {"notrack": None}], hook="prerouting", priority=-300
    )
    restore = chain("m", [payload("udp", "dport", 53), set_mark(CT)], hook="prerouting")
    assert found(of_table(table(notrack, restore)), code)
    other = chain("m", [payload("tcp", "dport", 53), set_mark(CT)], hook="prerouting")
    assert not found(of_table(table(notrack, other)), code)


def test_mark_overwritten() -> None:
    code = "mark-overwritten"
    whole = "mangle PREROUTING -p udp -j MARK --set-xmark 0x0/0xffffffff\n"
    first = "raw PREROUTING -i lan -j MARK --set-xmark 0x100/0x100\n"
    for interface, expected in (("lan", True), ("wan", False)):
        read = f"filter INPUT -i {interface} -m mark --mark 0x100/0x100 -j ACCEPT"
        made = held(first + whole + read, Backend.LEGACY, V6)
        assert bool(found(HostState(rules=(made,)), code)) is expected
