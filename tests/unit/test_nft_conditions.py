"""Conditions of native rules: which exclude each other, and which are for all of another's."""

from __future__ import annotations

from typing import Any

import pytest

from netfw.doctor.conditions import exclude, imply
from netfw.doctor.finding import Severity
from netfw.doctor.nft_conditions import conditions
from netfw.ir.names import Backend
from tests.unit.nft_host import (
    ACCEPT,
    DROP,
    asks,
    chain,
    has_mark,
    jump,
    meta,
    net,
    or_mark,
    payload,
    set_mark,
    state,
    table,
)
from tests.unit.test_findings import by_mark, found, host

LAN, WAN = meta("iifname", "lan"), meta("iifname", "wan")
WEB = payload("tcp", "dport", 80)
SEVERAL = meta("iifname", {"set": ["lan", "wlan"]})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LAN, WAN),
        (LAN, meta("iif", "wan")),
        (SEVERAL, WAN),
        (SEVERAL, meta("iifname", {"set": ["wan", "wan2"]})),
        (LAN, meta("iifname", "lan", "!=")),
        (LAN, meta("iifname", "w*")),
        (WEB, payload("udp", "dport", 80)),
        (WEB, payload("tcp", "dport", {"range": [1000, 2000]})),
        (WEB, payload("tcp", "dport", {"set": [22, 443]})),
        (WEB, payload("ip", "protocol", "udp")),
        (WEB, meta("l4proto", "icmp")),
        (payload("ip", "saddr", net("10.0.0.0", 8)), payload("ip", "saddr", "192.0.2.1")),
        (payload("ip", "saddr", net("10.0.0.0", 8)), payload("ip6", "daddr", "2001:db8::1")),
        (payload("ip", "saddr", "192.0.2.1"), meta("nfproto", "ipv6")),
        (payload("ip", "saddr", "192.0.2.1", "!="), meta("nfproto", "ipv6")),
        (state("established", "related"), state("new")),
    ],
)
def test_no_packet_meets_both(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert exclude(conditions([one]), conditions([other]))
    assert exclude(conditions([other]), conditions([one]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LAN, WEB),
        (LAN, meta("oifname", "wan")),
        (SEVERAL, LAN),
        (LAN, meta("iifname", "@wan")),
        (LAN, meta("iifname", "l*")),
        (WEB, payload("tcp", "sport", 443)),
        (WEB, payload("tcp", "dport", {"set": [22, 80]})),
        (payload("ip", "saddr", net("10.0.0.0", 8)), payload("ip", "saddr", "10.1.0.1")),
        (payload("ip", "saddr", "10.1.0.1"), payload("ip", "daddr", "10.2.0.1")),
        (state("established"), state("established", "new")),
        (state("established"), asks({"ct": {"key": "state"}}, "new", "!=")),
        (has_mark(1, 0xFF), has_mark(2, 0xFF)),
        (LAN, {"limit": {"rate": 5, "per": "second"}}),
    ],
)
def test_some_packet_may_meet_both(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert not exclude(conditions([one]), conditions([other]))


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (LAN, SEVERAL),
        (LAN, meta("iifname", "l*")),
        (
            meta("iifname", {"set": ["lan", "wlan"]}),
            meta("iifname", {"set": ["wlan", "x", "lan"]}),
        ),
        (WEB, payload("tcp", "dport", {"range": [1, 1024]})),
        (WEB, meta("l4proto", "tcp")),
        (payload("ip", "saddr", "10.1.0.1"), payload("ip", "saddr", net("10.0.0.0", 8))),
        (payload("ip", "saddr", "10.1.0.1"), meta("nfproto", "ipv4")),
        (state("new"), state("new", "established")),
        (meta("cgroup", 7), meta("cgroup", 7)),
    ],
)
def test_one_is_for_all_that_the_other_is_for(
    narrow: dict[str, Any], wide: dict[str, Any]
) -> None:
    assert imply(conditions([narrow]), conditions([wide]))
    if narrow != wide:
        assert not imply(conditions([wide]), conditions([narrow]))


def test_what_netfw_does_not_know_is_implied_by_its_own_words_alone() -> None:
    for one in (meta("cgroup", 7), {"limit": {"rate": 5}}, payload("th", "dport", 53)):
        assert not imply(conditions([LAN]), conditions([one]))
        assert not imply(conditions([]), conditions([one]))
        assert tuple(conditions([one]))


def unreached(*above: dict[str, Any], below: tuple[dict[str, Any], ...] = (LAN, WEB)) -> Any:
    rules = chain("c", list(above), [*below, set_mark(7)], hook="prerouting")
    return found(host("", by_mark(7), tables=(table(rules),)), "mark-rule-unreached")


@pytest.mark.parametrize(
    "above",
    [
        [ACCEPT],
        [LAN, ACCEPT],
        [SEVERAL, DROP],
        [meta("l4proto", "tcp"), {"queue": {"num": 1}}],
        [payload("tcp", "dport", {"set": [80, 443]}), {"counter": {}}, ACCEPT],
        [LAN, set_mark(9), ACCEPT],
    ],
)
def test_a_native_rule_above_that_takes_all_of_a_writer_s_packets(
    above: list[dict[str, Any]],
) -> None:
    (one,) = unreached(*above)
    assert one.severity is Severity.ERROR
    assert (one.evidence[0].number, one.evidence[1].number) == (1, 2)


def test_a_native_rule_above_that_takes_some_of_them_is_a_warning() -> None:
    (one,) = unreached(payload("ip", "saddr", net("10.0.0.0", 8)), ACCEPT)
    assert one.severity is Severity.WARNING


@pytest.mark.parametrize(
    "above",
    [
        [WAN, ACCEPT],
        [payload("udp", "dport", 80), DROP],
        [state("established"), ACCEPT],
        [has_mark(0, 0xFF, "!="), ACCEPT],
        [{"limit": {"rate": 5}}, ACCEPT],
        [LAN, {"return": None}],
        [payload("ip", "saddr", net("10.0.0.0", 8)), set_mark(9), ACCEPT],
        [meta("iifname", "@lans"), ACCEPT],
        [meta("iifname", {"set": ["lo", "lan2"]}), ACCEPT],
        [payload("ip", "saddr", net("10.0.0.0", 8)), state("established"), ACCEPT],
    ],
)
def test_a_native_rule_above_that_is_for_others(above: list[dict[str, Any]]) -> None:
    assert not unreached(*above)


def test_a_rule_for_all_with_a_mark_does_not_end_the_chain_for_what_is_marked_between() -> None:
    rules = chain(
        "c",
        [has_mark(1, 1), ACCEPT],
        [LAN, set_mark(1)],
        [has_mark(1, 1), or_mark(0x10)],
        hook="prerouting",
    )
    state_ = host("", by_mark(0x10, 0x10), tables=(table(rules),))
    assert not found(state_, "mark-rule-unreached")


def test_a_native_chain_that_is_called_for_some_ends_the_base_chain_for_those() -> None:
    for interface, expected in (("lan", True), ("wan", False)):
        base = chain(
            "c", [meta("iifname", interface), jump("sub")], [LAN, set_mark(7)], hook="prerouting"
        )
        tables = (table(base, chain("sub", [ACCEPT])),)
        assert bool(found(host("", by_mark(7), tables=tables), "mark-rule-unreached")) is expected


def test_chains_that_a_verdict_map_calls_are_for_its_keys() -> None:
    pairs = [["lan", jump("of_lan")], ["wan", jump("of_wan")], ["wan2", jump("of_wan")]]
    vmap = {"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": pairs}}}
    mark, whole = [or_mark(0x100)], [set_mark(7)]
    read = chain("in", [has_mark(0x100, 0x100), ACCEPT], hook="input", priority=0)

    def of(first: str, second: str) -> bool:
        base = chain("c", [vmap], hook="prerouting")
        # the second table's chains come later
        later = chain("d", [vmap], hook="prerouting", priority=-140)
        one = table(base, chain(first, mark))
        other = table(later, chain(second, whole), read, name="other")
        return bool(found(host("", tables=(one, other)), "mark-overwritten"))

    assert of("of_lan", "of_lan")
    assert not of("of_lan", "of_wan")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([LAN], [LAN], True),
        ([LAN], [WAN], False),
        ([WEB], [payload("udp", "dport", 53)], False),
        ([meta("nfproto", "ipv4")], [payload("ip6", "saddr", "2001:db8::1")], False),
        ([SEVERAL], [meta("iifname", "wlan")], True),
    ],
)
def test_two_native_rules_for_different_packets_take_nothing_from_each_other(
    first: list[dict[str, Any]], second: list[dict[str, Any]], expected: bool
) -> None:
    rules = chain("c", [*first, or_mark(0x100)], [*second, set_mark(7)], hook="prerouting")
    read = chain("in", [has_mark(0x100, 0x100), ACCEPT], hook="input", priority=0)
    made = host("", tables=(table(rules, read),))
    assert bool(found(made, "mark-overwritten")) is expected


@pytest.mark.parametrize("backend", Backend)
def test_thousands_of_rules_that_mark_below_thousands_that_accept(backend: Backend) -> None:
    lines = [f"mangle PREROUTING -s 172.16.{n // 250}.{n % 250} -j ACCEPT" for n in range(1000)]
    lines += [
        f"mangle PREROUTING -s 10.{n // 250}.{n % 250}.0/24 -j MARK --set-xmark {n + 1:#x}/0xfff"
        for n in range(1000)
    ]
    assert not found(host("\n".join(lines), by_mark(7), backend=backend), "mark-rule-unreached")
    inside = "mangle PREROUTING -s 10.3.7.9 -j ACCEPT\n"
    around = "mangle PREROUTING -s 10.3.0.0/16 -p udp -j ACCEPT\n"
    for above, times in ((inside, 1), (around, 250)):
        state_ = host(above + "\n".join(lines), by_mark(0xFFF), backend=backend)
        assert len(found(state_, "mark-rule-unreached")) == times
