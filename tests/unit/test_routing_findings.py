"""Faults of routing by marks: tables that lack a network, rules that lost what they were for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netfw.doctor.finding import Severity
from netfw.doctor.host_state import HeldRules, HostState
from netfw.doctor.observed import Link, RoutingRule, Socket
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Backend, Family
from netfw.ir.net import Net
from netfw.traverse.routing_tables import RouteKind, RoutingTables, TableRoute, TableRule
from tests.unit.nft_host import chain, meta, set_mark, table
from tests.unit.test_findings import by_mark, found, held, host, route

V4, V6 = Family.IPV4, Family.IPV6
LAN = route(254, "lan", "10.1.0.0/24")
ROUTES = (route(254, "wa"), route(254, "wa", "10.2.0.0/24"), LAN, route(100, "wb"))
RESTORE = "mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff"
SUPPRESSED = RoutingRule(
    TableRule(400, V4, 254, suppressed_prefix=0), 3, "400: from all lookup main"
)


def six(rules: str, *routing: TableRule, routes: tuple[TableRoute, ...]) -> HostState:
    """A host of IPv6 alone, with routes such as ``route6`` makes."""
    everything = (*routing, TableRule(32766, V6, 254))
    ordered = tuple(sorted(everything, key=lambda one: one.preference))
    by_table: dict[int, list[TableRoute]] = {}
    for one in routes:
        by_table.setdefault(one.table, []).append(one)
    return HostState(
        rules=(held(rules, Backend.LEGACY, V6),) if rules else (),
        routing_rules=tuple(RoutingRule(one, 3, str(one.preference)) for one in ordered),
        routes={V6: RoutingTables(ordered, by_table)},
    )


def route6(number: int, interface: str, to: str = "::/0") -> TableRoute:
    return TableRoute(number, RouteKind.UNICAST, Net.parse(to), interface)


@pytest.mark.parametrize(
    "rules",
    [
        RESTORE,
        "mangle OUTPUT -p tcp -j MARK --set-xmark 0x7/0xff",
        "mangle PREROUTING -i wb -j MARK --set-xmark 0x7/0xff",
        "mangle PREROUTING -s 10.9.0.0/16 -j MARK --set-xmark 0x7/0xff",
    ],
)
@pytest.mark.parametrize("backend", Backend)
def test_a_table_that_lacks_the_lan(rules: str, backend: Backend) -> None:
    (one,) = found(host(rules, by_mark(7, 0xFF), backend=backend, routes=ROUTES), "lan-by-uplink")
    assert "10.1.0.0/24" in one.problem
    assert "dev lan table 100" in one.fix[0]


@pytest.mark.parametrize(
    "rules",
    [
        # what comes from the LAN is not for it
        "mangle PREROUTING -i lan -j MARK --set-xmark 0x7/0xff",
        # those for the LAN are left out
        "mangle OUTPUT -d 192.0.2.0/24 -j MARK --set-xmark 0x7/0xff",
        "mangle OUTPUT ! -d 10.0.0.0/8 -j MARK --set-xmark 0x7/0xff",
        # set behind routing, it has no effect there
        "mangle FORWARD -j MARK --set-xmark 0x7/0xff",
        # another mark
        "mangle OUTPUT -j MARK --set-xmark 0x8/0xff",
    ],
)
def test_marked_packets_that_are_not_for_the_lan(rules: str) -> None:
    assert not found(host(rules, by_mark(7, 0xFF), routes=ROUTES), "lan-by-uplink")


def test_a_table_with_the_lan_or_main_asked_first() -> None:
    mine = by_mark(7, 0xFF)
    whole = (*ROUTES, route(100, "lan", "10.1.0.0/24"))
    assert not found(host(RESTORE, mine, routes=whole), "lan-by-uplink")
    assert not found(host(RESTORE, mine, SUPPRESSED, routes=ROUTES), "lan-by-uplink")
    without = tuple(one for one in ROUTES if one is not LAN)
    assert not found(host(RESTORE, mine, routes=without), "lan-by-uplink")
    down = (Link("lan", 4, is_up=False),)
    assert not found(host(RESTORE, mine, routes=ROUTES, links=down), "lan-by-uplink")
    limited = by_mark(7, 0xFF, in_interface="lan")
    assert not found(host(RESTORE, limited, routes=ROUTES), "lan-by-uplink")


def test_everything_but_the_tunnel_s_own_packets_misses_the_lan_as_well() -> None:
    tunnel = by_mark(0xCA6C, invert=True)
    assert found(host("", tunnel, routes=ROUTES), "lan-by-uplink")
    assert not found(host("", tunnel, SUPPRESSED, routes=ROUTES), "lan-by-uplink")


def test_a_native_rule_and_a_table_without_the_lan_of_ipv6() -> None:
    rules = chain("out", [set_mark(7)], hook="output", kind="route")
    mine = TableRule(500, V6, 100, mark=MaskedWord(7, 0xFF))
    routes = (route6(254, "wa"), route6(254, "lan", "2001:db8:1::/64"), route6(100, "wb"))
    state = replace(six("", mine, routes=routes), tables=(table(rules),))
    (one,) = found(state, "lan-by-uplink")
    assert one.fix[0].startswith("ip -6 route add 2001:db8:1::/64")
    with_lan = (*routes, route6(100, "lan", "2001:db8:1::/64"))
    state = replace(six("", mine, routes=with_lan), tables=(table(rules),))
    assert not found(state, "lan-by-uplink")
    link_local = (route6(254, "wa"), route6(254, "lan", "fe80::/64"), route6(100, "wb"))
    assert not found(
        replace(six("", mine, routes=link_local), tables=(table(rules),)), "lan-by-uplink"
    )


def bare(preference: int = 100, number: int = 100, **more: object) -> RoutingRule:
    rule = TableRule(preference, V4, number, **more)  # type: ignore[arg-type]
    return RoutingRule(rule, 3, f"{preference}: from all lookup {number}")


MARKS = "mangle PREROUTING -i lan -j MARK --set-xmark 0x7/0xff"


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        (MARKS, bare()),
        ("mangle OUTPUT -j CONNMARK --restore-mark --nfmask 0x1 --ctmask 0x1", bare(32000)),
        ("filter INPUT -m mark --mark 0x0/0x1 -j ACCEPT", bare(mark=MaskedWord(0, 0))),
    ],
)
def test_a_rule_for_unmarked_packets_that_takes_all(rules: str, rule: RoutingRule) -> None:
    (one,) = found(host(rules, rule), "selector-lost")
    assert one.severity is Severity.WARNING
    assert "fwmark 0/0xffffffff" in one.fix[1]


@pytest.mark.parametrize(
    "rule",
    [
        bare(mark=MaskedWord(0, 0xFFFFFFFF)),
        bare(mark=MaskedWord(0, 0x1)),
        bare(mark=MaskedWord(1, 0x1), invert=True),
        bare(source=Net.parse("10.0.0.0/8")),
        bare(destination=Net.parse("10.0.0.0/8")),
        bare(in_interface="lan"),
        bare(invert=True),
        bare(suppressed_prefix=0),
        bare(unknown="tos"),
        bare(kind=RouteKind.BLACKHOLE),
        bare(32767),
        bare(number=253),
        replace(bare(), protocol=2),
        # without a default route it does not keep others from being asked
        bare(number=220),
    ],
)
def test_a_rule_that_has_its_selector(rule: RoutingRule) -> None:
    assert not found(host(MARKS, rule), "selector-lost")


def test_a_rule_for_all_is_meant_so_without_marks_or_behind_a_bypass() -> None:
    assert not found(host("", bare()), "selector-lost")
    bypass = by_mark(0x80000, 0xFF0000, table=254, preference=90)
    assert not found(host(MARKS, bare(), bypass), "selector-lost")


def test_strongswan_s_table_is_for_all_packets() -> None:
    routes = (route(254, "wa"), route(220, "wb"))
    assert not found(host(MARKS, bare(220, 220), routes=routes), "selector-lost")
    assert found(host(MARKS, bare(221, 220), routes=routes), "selector-lost")


def test_a_rule_for_all_of_ipv6() -> None:
    routes = (route6(254, "wa"), route6(100, "wb"))
    writes = "mangle OUTPUT -j MARK --set-xmark 0x1/0x1"
    (one,) = found(six(writes, TableRule(9, V6, 100), routes=routes), "selector-lost")
    assert one.fix[0] == "ip -6 rule del pref 9"


def test_the_same_routing_rule_twice() -> None:
    (one,) = found(host("", by_mark(7, 0xFF), by_mark(7, 0xFF, preference=501)), "ip-rule-twice")
    assert len(one.evidence) == 2
    assert "pref 501" in one.fix[0]
    # bits outside the mask do not count
    assert found(host("", by_mark(0x107, 0xFF), by_mark(7, 0xFF, preference=9)), "ip-rule-twice")
    same = TableRule(5, V6, 100, mark=MaskedWord(1, 1), invert=True)
    assert found(six("", same, replace(same, preference=6), routes=()), "ip-rule-twice")


@pytest.mark.parametrize(
    "other",
    [
        by_mark(7, 0xF, preference=501),
        by_mark(8, 0xFF, preference=501),
        by_mark(7, 0xFF, table=101, preference=501),
        by_mark(7, 0xFF, preference=501, in_interface="lan"),
        by_mark(7, 0xFF, preference=501, source=Net.parse("10.0.0.0/8")),
        by_mark(7, 0xFF, preference=501, invert=True),
    ],
)
def test_two_routing_rules_that_differ(other: RoutingRule) -> None:
    assert not found(host("", by_mark(7, 0xFF), other), "ip-rule-twice")


def wireguard(mark: int, **more: bool) -> tuple[Link, ...]:
    return (Link("wg0", 9, "wireguard", mark=mark, **more),)  # type: ignore[arg-type]


TUNNEL = (route(254, "wa"), route(100, "wg0"))


@pytest.mark.parametrize("mark", [0, 0x51820])
def test_a_tunnel_whose_own_packets_lack_the_mark(mark: int) -> None:
    rule = by_mark(0xCA6C, invert=True)
    (one,) = found(host("", rule, routes=TUNNEL, links=wireguard(mark)), "wireguard-unmarked")
    assert one.severity is Severity.ERROR
    assert one.fix == ("wg set wg0 fwmark 0xca6c",)


def test_a_tunnel_of_ipv6_whose_own_packets_lack_a_bit() -> None:
    rule = TableRule(500, V6, 100, mark=MaskedWord(0x20, 0x60), invert=True)
    for mark, expected in ((0x40, True), (0x120, False)):
        state = six("", rule, routes=(route6(254, "wa"), route6(100, "wg0")))
        state = replace(state, links=wireguard(mark))
        assert bool(found(state, "wireguard-unmarked")) is expected


def test_a_tunnel_whose_own_packets_are_kept_out_of_it() -> None:
    rule = by_mark(0xCA6C, invert=True)
    code = "wireguard-unmarked"
    assert not found(host("", rule, routes=TUNNEL, links=wireguard(0xCA6C)), code)
    assert not found(host("", rule, routes=TUNNEL, links=wireguard(0, is_up=False)), code)
    # everything for one network alone goes into the tunnel, by its own rule
    part = (route(254, "wa"), route(100, "wg0", "10.9.0.0/16"))
    assert not found(host("", rule, routes=part, links=wireguard(0)), code)
    assert not found(host("", by_mark(0xCA6C), routes=TUNNEL, links=wireguard(0)), code)
    marks = "mangle OUTPUT -p udp -m udp --sport 51820 -j MARK --set-xmark 0xca6c/0xffffffff"
    assert not found(host(marks, rule, routes=TUNNEL, links=wireguard(0)), code)
    veth = (Link("wg0", 9, "veth"),)
    assert not found(host("", rule, routes=TUNNEL, links=veth), code)


IN = "mangle PREROUTING -i wb -j MARK --set-xmark 0x7/0xff"
NAMED = Socket("udp", V4, "0.0.0.0:53", "", "UNCONN", 0, owner="named[7]")
NATIVE = (table(chain("c", [meta("iifname", "wb"), set_mark(7)], hook="prerouting")),)


@pytest.mark.parametrize(
    "socket",
    [
        NAMED,
        replace(NAMED, state="ESTAB", remote="192.0.2.7:4711"),
        replace(NAMED, family=V6, local="*:53"),
        replace(NAMED, local="10.3.0.1:500"),
    ],
)
def test_answers_of_udp_behind_two_uplinks(socket: Socket) -> None:
    accepts = {"net/ipv4/tcp_fwmark_accept": "1"}
    state = host(IN, by_mark(7, 0xFF), sockets=(socket,), sysctls=accepts)
    (one,) = found(state, "udp-answers-unmarked")
    assert socket.local in one.problem
    native = host("", by_mark(7, 0xFF), sockets=(socket,), tables=NATIVE)
    assert found(native, "udp-answers-unmarked")


@pytest.mark.parametrize(
    "socket",
    [
        replace(NAMED, mark=7),
        replace(NAMED, local="127.0.0.53:53"),
        replace(NAMED, local="0.0.0.0:40000"),
        replace(NAMED, local="0.0.0.0:5353"),
        replace(NAMED, protocol="tcp", state="LISTEN"),
        replace(NAMED, family=V6, local="2001:db8::1:53"),
    ],
)
def test_a_socket_whose_answers_are_marked_or_stay(socket: Socket) -> None:
    assert not found(host(IN, by_mark(7, 0xFF), sockets=(socket,)), "udp-answers-unmarked")


@pytest.mark.parametrize(
    "rules",
    [
        f"{IN}\nmangle OUTPUT -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",
        IN.replace("-i wb", "-i lan"),
        IN.replace("-i wb", "-i wa"),
        IN.replace("PREROUTING -i wb", "FORWARD -o wb"),
    ],
)
def test_answers_of_udp_that_carry_the_mark_or_need_none(rules: str) -> None:
    reflects = {"net/ipv4/fwmark_reflect": "0"}
    state = host(rules, by_mark(7, 0xFF), sockets=(NAMED,), sysctls=reflects)
    assert not found(state, "udp-answers-unmarked")
    assert not found(state, "pings-unmarked")


def test_pings_of_a_second_uplink() -> None:
    off, on = ({"net/ipv4/fwmark_reflect": value} for value in "01")
    assert found(host(IN, by_mark(7, 0xFF), sysctls=off), "pings-unmarked")
    assert found(host("", by_mark(7, 0xFF), sysctls=off, tables=NATIVE), "pings-unmarked")
    assert not found(host(IN, by_mark(7, 0xFF), sysctls=on), "pings-unmarked")
    assert not found(host(IN, by_mark(7, 0xFF)), "pings-unmarked")


def test_pings_of_a_second_uplink_by_ipv6() -> None:
    mine = TableRule(500, V6, 100, mark=MaskedWord(7, 0xFF))
    for value, expected in (("0", True), ("1", False)):
        state = six(IN, mine, routes=(route6(254, "wa"), route6(100, "wb")))
        sysctls = {"net/ipv4/fwmark_reflect": "0", "net/ipv6/fwmark_reflect": value}
        assert bool(found(replace(state, sysctls=sysctls), "pings-unmarked")) is expected


def both(rules: tuple[HeldRules, ...], *routing: TableRule, six_default: bool = True) -> HostState:
    """A host of both families, with a default route of each."""
    ordered = (*routing, TableRule(32766, V4, 254), TableRule(32766, V6, 254))
    four = [route(254, "wa")]
    other = [route6(254, "wa")] if six_default else []
    return HostState(
        rules=rules,
        routing_rules=tuple(RoutingRule(one, 3, str(one.preference)) for one in ordered),
        routes={
            V4: RoutingTables((), {254: four, 100: [route(100, "wb")]}),
            V6: RoutingTables((), {254: other, 100: [route6(100, "wb")]}),
        },
    )


FOUR_RULE = TableRule(500, V4, 100, mark=MaskedWord(7, 0xFF))
SIX_RULE = replace(FOUR_RULE, family=V6)
OUT = "mangle OUTPUT -p tcp -j MARK --set-xmark 0x7/0xff"


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize(("routed", "other"), [(FOUR_RULE, V6), (SIX_RULE, V4)])
def test_a_mark_that_routes_one_family_and_is_set_on_both(
    routed: TableRule, other: Family, backend: Backend
) -> None:
    rules = (held(OUT, backend, V4), held(OUT, backend, V6))
    (one,) = found(both(rules, routed), "families-differ")
    assert f"{other} has no such rule" in one.problem
    assert f"ip -{other.value} rule add" in one.fix[0]
    assert one.evidence[1].family is other


def test_a_native_table_of_both_families_marks_both() -> None:
    for above, expected in (
        ([], True),
        ([meta("nfproto", "ipv4")], False),
        ([meta("nfproto", "ipv6")], True),
    ):
        rules = chain("out", [*above, set_mark(7)], hook="output", kind="route")
        state = replace(both((), FOUR_RULE), tables=(table(rules),))
        assert bool(found(state, "families-differ")) is expected, above
        of_ip = replace(both((), FOUR_RULE), tables=(table(rules, family="ip"),))
        assert not found(of_ip, "families-differ")


def test_a_mark_that_routes_both_families_or_is_set_on_one() -> None:
    rules = (held(OUT, Backend.NFT, V4), held(OUT, Backend.NFT, V6))
    assert not found(both(rules, FOUR_RULE, SIX_RULE), "families-differ")
    assert not found(both(rules[:1], FOUR_RULE), "families-differ")
    assert not found(both(rules, FOUR_RULE, six_default=False), "families-differ")
    other = held(OUT.replace("0x7", "0x8"), Backend.NFT, V6)
    assert not found(both((rules[0], other), FOUR_RULE), "families-differ")
