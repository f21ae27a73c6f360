"""Faults about marks in many clothes: each is named, and what only looks like it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netfw.doctor.diagnosis import diagnose
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.findings import FINDINGS
from netfw.doctor.host_state import HeldRules, HostState
from netfw.doctor.observed import (
    ConnectionMarks,
    Link,
    NftChain,
    NftRule,
    NftTable,
    RoutingRule,
    Socket,
)
from netfw.doctor.probing import NoProbing
from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.mark import MAX_MARK, MaskedWord
from netfw.ir.names import Backend, Family
from netfw.ir.net import Net
from netfw.traverse.routing_tables import RouteKind, RoutingTables, TableRoute, TableRule

V4 = Family.IPV4
MAIN = TableRule(32766, V4, 254)


def held(text: str, backend: Backend = Backend.NFT, family: Family = V4) -> HeldRules:
    """Rules as lines ``TABLE CHAIN REST``; user chains are those that are no built-in ones."""
    tables: dict[str, list[tuple[str, str]]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        table, chain, rest = line.split(" ", 2)
        tables.setdefault(table, []).append((chain, rest))
    saved = ""
    for table, rules in tables.items():
        saved += f"*{table}\n"
        for chain in dict.fromkeys(chain for chain, _ in rules):
            saved += (
                f":{chain} {'ACCEPT' if chain.isupper() and '-' not in chain else '-'} [0:0]\n"
            )
        saved += "".join(f"-A {chain} {rest}\n" for chain, rest in rules) + "COMMIT\n"
    return HeldRules(backend, parse_ruleset(saved, family))


def by_mark(
    value: int, mask: int = MAX_MARK, table: int = 100, preference: int = 500, **more: object
) -> RoutingRule:
    rule = TableRule(preference, V4, table, mark=MaskedWord(value, mask), **more)  # type: ignore[arg-type]
    return RoutingRule(rule, 4, f"{preference}: from all fwmark {value:#x} lookup {table}")


def route(table: int, interface: str, to: str = "0.0.0.0/0") -> TableRoute:
    return TableRoute(table, RouteKind.UNICAST, Net.parse(to), interface)


def host(
    text: str = "",
    *rules: RoutingRule,
    backend: Backend = Backend.NFT,
    routes: tuple[TableRoute, ...] = (route(254, "wa"), route(100, "wb")),
    links: tuple[Link, ...] = (),
    sysctls: dict[str, str] | None = None,
    tables: tuple[NftTable, ...] = (),
    sockets: tuple[Socket, ...] = (),
    connections: tuple[ConnectionMarks, ...] = (),
) -> HostState:
    everything = (*rules, RoutingRule(MAIN, 2, "32766: from all lookup main"))
    ordered = tuple(sorted(everything, key=lambda one: one.rule.preference))
    by_table: dict[int, list[TableRoute]] = {}
    for one in routes:
        by_table.setdefault(one.table, []).append(one)
    return HostState(
        rules=(held(text, backend),) if text else (),
        tables=tables,
        routing_rules=ordered,
        routes={V4: RoutingTables(tuple(one.rule for one in ordered), by_table)},
        links=links
        or (
            Link("wa", 2, addresses=("10.2.0.1/24",)),
            Link("wb", 3, addresses=("10.3.0.1/24",)),
        ),
        sysctls=sysctls or {},
        sockets=sockets,
        connections=connections,
    )


def found(state: HostState, code: str) -> tuple[Finding, ...]:
    """The findings of a kind; each can say how a packet shows it, or why none does."""
    findings = diagnose(state, (code,)).findings
    for finding in findings:
        probing = FINDINGS[code].probe(finding, state)
        if isinstance(probing, NoProbing):
            assert probing.why
            assert "not there any more" not in probing.why, probing.why
    return findings


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize(
    "rules",
    [
        "raw PREROUTING -j MARK --set-xmark 0x100/0x100\n"
        "mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff\n"
        "filter INPUT -m mark --mark 0x100/0x100 -j ACCEPT",
        "mangle OUTPUT -p udp -j MARK --set-xmark 0x2000000/0xff000000\n"
        "mangle OUTPUT -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff\n"
        "filter OUTPUT -m mark ! --mark 0x2000000/0xff000000 -j DROP",
        "mangle PREROUTING -j CONNMARK --set-xmark 0x8/0x8\n"
        "mangle PREROUTING -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff\n"
        "filter FORWARD -m connmark --mark 0x8/0x8 -j ACCEPT",
    ],
    ids=["in", "out", "saved"],
)
def test_a_whole_copy_takes_bits_away(rules: str, backend: Backend) -> None:
    (one,) = found(host(rules, backend=backend), "mark-restored-whole")
    assert one.evidence[0].number == (1 if "raw" in rules else 2)
    assert backend.value in str(one.evidence[0])


@pytest.mark.parametrize(
    "rules",
    [
        # restored before anything is set: how it is meant to be done
        "mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff\n"
        "mangle PREROUTING -j MARK --set-xmark 0x100/0x100\n"
        "filter INPUT -m mark --mark 0x100/0x100 -j ACCEPT",
        # of other bits
        "raw PREROUTING -j MARK --set-xmark 0x100/0x100\n"
        "mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff\n"
        "filter INPUT -m mark --mark 0x100/0x100 -j ACCEPT",
        # for other packets
        "raw PREROUTING -i lan -j MARK --set-xmark 0x100/0x100\n"
        "mangle PREROUTING -i wan -j CONNMARK --restore-mark --nfmask 0xffffffff"
        " --ctmask 0xffffffff\n"
        "filter INPUT -m mark --mark 0x100/0x100 -j ACCEPT",
    ],
    ids=["first", "masked", "others"],
)
def test_a_copy_that_takes_nothing_away(rules: str) -> None:
    assert not found(host(rules), "mark-restored-whole")


def test_a_value_outside_its_mask_never_matches_and_negated_always() -> None:
    state = host(
        "filter INPUT -m mark --mark 0x3/0x1 -j ACCEPT\n"
        "filter INPUT -m connmark ! --mark 0x300/0x100 -j DROP\n"
        "filter INPUT -m mark --mark 0x3/0x3 -j ACCEPT"
    )
    one, other = found(state, "mark-test-never-true")
    assert "never takes" in one.problem
    assert "takes every packet" in other.problem


def test_a_routing_rule_ignores_what_is_outside_and_that_is_only_sloppy() -> None:
    (one,) = found(host("", by_mark(0x3, 0x1)), "mark-test-never-true")
    assert one.severity is Severity.WARNING


def test_a_drop_of_what_is_not_marked_yet_is_an_error() -> None:
    state = host(
        "raw PREROUTING -m mark ! --mark 0x10/0x10 -j DROP\n"
        "mangle PREROUTING -i lan -j MARK --set-xmark 0x10/0x10"
    )
    (one,) = found(state, "mark-read-too-early")
    assert one.severity is Severity.ERROR
    assert (one.evidence[0].table, one.evidence[1].table) == ("raw", "mangle")


@pytest.mark.parametrize(
    "rules",
    [
        # behind the writer
        "mangle PREROUTING -i lan -j MARK --set-xmark 0x10/0x10\n"
        "filter INPUT -m mark ! --mark 0x10/0x10 -j DROP",
        # asks whether somebody was here before
        "mangle PREROUTING -m mark --mark 0x0/0xff -j classify\n"
        "mangle classify -i lan -j MARK --set-xmark 0x10/0xff",
        "mangle PREROUTING -m mark ! --mark 0x0/0xff -j RETURN\n"
        "mangle PREROUTING -i lan -j MARK --set-xmark 0x10/0xff",
        # nobody sets it at all: that is another finding
        "raw PREROUTING -m mark ! --mark 0x10/0x10 -j DROP",
    ],
    ids=["behind", "guard", "guard that returns", "never"],
)
def test_a_test_that_may_be_true(rules: str) -> None:
    assert not found(host(rules), "mark-read-too-early")


def test_a_mark_that_nobody_sets() -> None:
    (one,) = found(host("", by_mark(0x200, 0xF00)), "mark-never-set")
    assert "0x200" in one.problem
    bits = "filter FORWARD -m mark --mark 0xca6c -j ACCEPT"
    (other,) = found(host(bits), "mark-never-set")
    assert "wg-quick" in other.problem


@pytest.mark.parametrize(
    "rules",
    [
        "mangle PREROUTING -j MARK --set-xmark 0x200/0xf00",
        "mangle OUTPUT -j MARK --set-xmark 0x200/0xf00",
        "mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xf00 --ctmask 0xf00",
        "mangle PREROUTING -j NFQUEUE --queue-num 1",
    ],
)
def test_a_mark_that_somebody_may_set(rules: str) -> None:
    assert not found(host(rules, by_mark(0x200, 0xF00)), "mark-never-set")


def test_a_mark_of_a_socket_or_a_device_is_set() -> None:
    socket = Socket("udp", V4, "0.0.0.0:1", "", "UNCONN", 0x200)
    assert not found(host("", by_mark(0x200), sockets=(socket,)), "mark-never-set")
    link = Link("wg0", 9, "wireguard", mark=0x200)
    assert not found(host("", by_mark(0x200), links=(link,)), "mark-never-set")


def test_a_mark_in_nat_that_routing_reads() -> None:
    for chain in ("PREROUTING -i lan", "OUTPUT -p tcp"):
        state = host(f"nat {chain} -j MARK --set-xmark 0x7/0xff", by_mark(0x7, 0xFF))
        (one,) = found(state, "mark-in-nat")
        assert one.evidence[0].table == "nat"


@pytest.mark.parametrize(
    "rules",
    [
        # read by nat alone
        "nat PREROUTING -j MARK --set-xmark 0x7/0xff\n"
        "nat POSTROUTING -m mark --mark 0x7/0xff -j MASQUERADE",
        # saved for the packets that follow
        "nat PREROUTING -j MARK --set-xmark 0x7/0xff\n"
        "mangle POSTROUTING -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff\n"
        "filter FORWARD -m mark --mark 0x7/0xff -j ACCEPT",
        # a dropped packet begins no connection
        "nat PREROUTING -j MARK --set-xmark 0x7/0xff\n"
        "filter FORWARD -m mark --mark 0x7/0xff -j DROP",
    ],
    ids=["nat", "saved", "dropped"],
)
def test_a_mark_in_nat_that_the_first_packet_alone_needs(rules: str) -> None:
    assert not found(host(rules), "mark-in-nat")


@pytest.mark.parametrize("chain", ["FORWARD", "INPUT", "POSTROUTING"])
def test_a_mark_behind_routing(chain: str) -> None:
    state = host(f"mangle {chain} -j MARK --set-xmark 0x7/0xff", by_mark(0x7, 0xFF))
    (one,) = found(state, "mark-after-routing")
    assert one.evidence[0].chain == chain
    saved = host(
        f"mangle {chain} -j MARK --set-xmark 0x7/0xff\n"
        f"mangle {chain} -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff",
        by_mark(0x7, 0xFF),
    )
    assert not found(saved, "mark-after-routing")


@pytest.mark.parametrize("table", ["raw", "filter"])
def test_output_marks_that_do_not_reroute(table: str) -> None:
    state = host(f"{table} OUTPUT -p tcp -j MARK --set-xmark 0x7/0xff", by_mark(0x7, 0xFF))
    assert found(state, "mark-not-rerouted")
    state = host("mangle OUTPUT -p tcp -j MARK --set-xmark 0x7/0xff", by_mark(0x7, 0xFF))
    assert not found(state, "mark-not-rerouted")


@pytest.mark.parametrize("kind", ["filter", "route"])
def test_an_nft_output_chain_reroutes_if_it_is_of_type_route(kind: str) -> None:
    sets = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}
    called = NftChain("mine", (NftRule(3, "meta mark set 7", (sets,)),))
    base = NftChain("out", (NftRule(2, "jump mine", ({"jump": {"target": "mine"}},)),))
    base = NftChain("out", base.rules, "output", kind, -150, "accept")
    state = host("", by_mark(0x7), tables=(NftTable("inet", "pbr", (base, called)),))
    assert bool(found(state, "mark-not-rerouted")) is (kind == "filter")


def test_a_rerouted_source_needs_a_translation() -> None:
    rule = "mangle OUTPUT -p tcp -j MARK --set-xmark 0x7/0xff\n"
    (one,) = found(host(rule, by_mark(0x7, 0xFF)), "rerouted-source")
    assert "-o wb -j MASQUERADE" in one.fix[0]
    for nat in ("-o wb -j MASQUERADE", "-j SNAT --to-source 10.3.0.1", "-o w+ -j MASQUERADE"):
        state = host(f"{rule}nat POSTROUTING {nat}", by_mark(0x7, 0xFF))
        assert not found(state, "rerouted-source"), nat
    other = host(f"{rule}nat POSTROUTING -o wa -j MASQUERADE", by_mark(0x7, 0xFF))
    assert found(other, "rerouted-source")


def rp_host(rp_filter: int, src_valid_mark: int, *rules: RoutingRule) -> HostState:
    names = {"all": (0, 0), "wb": (rp_filter, src_valid_mark), "wa": (0, 0)}
    sysctls = {}
    for name, (strict, asks) in names.items():
        sysctls[f"net/ipv4/conf/{name}/rp_filter"] = str(strict)
        sysctls[f"net/ipv4/conf/{name}/src_valid_mark"] = str(asks)
    return host("", *rules, sysctls=sysctls)


def test_rp_filter_and_marks() -> None:
    assert found(rp_host(1, 0, by_mark(0x5)), "rp-filter-ignores-mark")
    for strict, asks in ((0, 0), (2, 0), (1, 1)):
        assert not found(rp_host(strict, asks, by_mark(0x5)), "rp-filter-ignores-mark")
    assert not found(rp_host(1, 0), "rp-filter-ignores-mark")


def test_a_setting_that_is_needed_and_cannot_be_written_from_inside() -> None:
    code = "settings-read-only"

    def locked(state: HostState) -> HostState:
        return replace(state, settings_are_read_only=True)

    (one,) = found(locked(rp_host(1, 0, by_mark(0x5))), code)
    assert "needs it to be 1" in one.problem
    # nobody needs it; or it is set; or it can be written
    assert not found(locked(rp_host(1, 0)), code)
    assert not found(locked(rp_host(2, 0, by_mark(0x5))), code)
    assert not found(rp_host(1, 0, by_mark(0x5)), code)
    sysctls = {"net/ipv4/conf/all/src_valid_mark": "0"}
    tunnel = Link("wg0", 9, "wireguard", mark=0xCA6C)
    for mark, count in ((0xCA6C, 1), (0x5, 0)):
        state = replace(host("", by_mark(mark)), links=(tunnel,), sysctls=sysctls)
        assert len(found(locked(state), code)) == count
        is_set = replace(state, sysctls={"net/ipv4/conf/all/src_valid_mark": "1"})
        assert not found(locked(is_set), code)


def test_a_routing_rule_behind_one_that_answers() -> None:
    (one,) = found(host("", by_mark(0x5, preference=40000)), "ip-rule-shadowed")
    assert "preference 40000" in str(one.evidence[0])
    assert not found(host("", by_mark(0x5, preference=200)), "ip-rule-shadowed")
    wider = by_mark(0x0, 0x2, table=200, preference=100)
    state = host("", wider, by_mark(0x5, 0xF), routes=(route(100, "wb"), route(200, "wc")))
    assert found(state, "ip-rule-shadowed")
    part = host(
        "",
        by_mark(0x5, preference=40000),
        routes=(route(254, "wa", "10.0.0.0/8"), route(100, "wb")),
    )
    assert not found(part, "ip-rule-shadowed")


def test_digit_twins() -> None:
    for written, asked in ((20000, 0x20000), (0x51820, 51820), (0o100, 0x100)):
        state = host(f"mangle PREROUTING -j MARK --set-mark {written:#x}", by_mark(asked))
        assert found(state, "digit-twins"), (written, asked)
    for written, asked in ((8, 0x10), (20000, 0x30000), (0x20000, 0x20000)):
        state = host(f"mangle PREROUTING -j MARK --set-mark {written:#x}", by_mark(asked))
        assert not found(state, "digit-twins"), (written, asked)


@pytest.mark.parametrize(
    ("writer", "reader"),
    [("NETFW-in", "cali-forward"), ("cali-in", "NETFW-verdict"), ("mine", "KUBE-ROUTER-INPUT")],
)
def test_one_program_decides_by_another_s_bit(writer: str, reader: str) -> None:
    state = host(
        f"filter INPUT -j {writer}\nfilter INPUT -j {reader}\n"
        f"filter {writer} -j MARK --set-xmark 0x20000/0x20000\n"
        f"filter {reader} -m mark --mark 0x20000/0x20000 -j ACCEPT"
    )
    assert found(state, "mark-of-others-decides")
    cleared = host(
        f"filter INPUT -j {writer}\nfilter INPUT -j MARK --set-xmark 0x0/0x20000\n"
        f"filter INPUT -j {reader}\n"
        f"filter {writer} -j MARK --set-xmark 0x20000/0x20000\n"
        f"filter {reader} -m mark --mark 0x20000/0x20000 -j ACCEPT"
    )
    assert not found(cleared, "mark-of-others-decides")


def test_a_program_decides_by_its_own_bits() -> None:
    state = host(
        "filter FORWARD -j KUBE-ROUTER-FORWARD\n"
        "filter KUBE-ROUTER-FORWARD -j MARK --set-xmark 0x20000/0x20000\n"
        "filter KUBE-ROUTER-FORWARD -m mark --mark 0x20000/0x20000 -j ACCEPT"
    )
    assert not found(state, "mark-of-others-decides")


def test_an_ending_above_the_writer() -> None:
    mark = "mangle PREROUTING -i lan -p tcp -j MARK --set-xmark 0x7/0xff"
    for above in (
        "-i lan -j ACCEPT",
        "-s 10.0.0.0/8 -j ACCEPT",
        "-p tcp -j NFQUEUE --queue-num 1",
    ):
        state = host(f"mangle PREROUTING {above}\n{mark}", by_mark(0x7, 0xFF))
        assert found(state, "mark-rule-unreached"), above
    for above in (
        "-i wan -j ACCEPT",
        "-p udp -j ACCEPT",
        "-i lan -j RETURN",
        "-m conntrack --ctstate ESTABLISHED -j ACCEPT",
        "-m mark ! --mark 0x0/0xff -j ACCEPT",
    ):
        state = host(f"mangle PREROUTING {above}\n{mark}", by_mark(0x7, 0xFF))
        assert not found(state, "mark-rule-unreached"), above


def test_connections_with_a_mark_of_yesterday() -> None:
    rules = (
        "mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff\n"
        "mangle PREROUTING -i lan -j CONNMARK --set-xmark 0x{0:x}/0xff"
    )
    stale = (ConnectionMarks(V4, 3, 7, "udp 10.0.0.1:1 -> 192.0.2.1:53"),)
    (one,) = found(host(rules.format(1), connections=stale), "stale-connection-marks")
    assert "7 connections" in one.problem
    assert not found(host(rules.format(3), connections=stale), "stale-connection-marks")


def test_both_backends_with_marks_in_legacy() -> None:
    nft = held("filter INPUT -p tcp -j ACCEPT")
    legacy = held("mangle OUTPUT -j MARK --set-xmark 0x1/0x1", Backend.LEGACY)
    harmless = held("filter INPUT -p udp -j ACCEPT", Backend.LEGACY)
    assert found(HostState(rules=(nft, legacy)), "two-backends")
    assert not found(HostState(rules=(nft, harmless)), "two-backends")
    assert not found(HostState(rules=(legacy,)), "two-backends")


def test_bridged_packets() -> None:
    links = (Link("br7", 2, "bridge"), Link("p1", 3, master="br7"), Link("p2", 4, master="br7"))
    for rule in ("FORWARD", "PREROUTING -i p1", "FORWARD -m physdev --physdev-in p1"):
        state = host(f"mangle {rule} -j MARK --set-xmark 0x1/0x1", links=links)
        assert found(state, "bridged-unseen"), rule
        on = {"net/bridge/bridge-nf-call-iptables": "1"}
        state = host(f"mangle {rule} -j MARK --set-xmark 0x1/0x1", links=links, sysctls=on)
        assert not found(state, "bridged-unseen"), rule
    state = host("mangle PREROUTING -i br7 -j MARK --set-xmark 0x1/0x1", links=links)
    assert not found(state, "bridged-unseen")


def test_a_tunnel_that_keeps_the_mark() -> None:
    mark = "mangle PREROUTING -i lan -j MARK --set-xmark 0x8/0x8\n"
    routes = (route(254, "wa"), route(100, "gnv"))
    for kind, own_mark, expected in (("geneve", 0, True), ("gre", 5, False), ("veth", 0, False)):
        links = (Link("gnv", 5, kind, mark=own_mark),)
        state = host(mark, by_mark(0x8, 0x8), routes=routes, links=links)
        assert bool(found(state, "tunnel-keeps-mark")) is expected, kind
    links = (Link("gnv", 5, "geneve"),)
    cleared = f"{mark}\nmangle POSTROUTING -o gnv -j MARK --set-xmark 0x0/0xff"
    state = host(cleared, by_mark(0x8, 0x8), routes=routes, links=links)
    assert not found(state, "tunnel-keeps-mark")


def test_answers_of_a_service_behind_two_uplinks() -> None:
    rule = "mangle PREROUTING -i wb -j MARK --set-xmark 0x1/0xff"
    sshd = Socket("tcp", V4, "0.0.0.0:22", "", "LISTEN", 0, owner="sshd[1]")
    off, on = ({"net/ipv4/tcp_fwmark_accept": value} for value in ("0", "1"))
    state = host(rule, by_mark(1, 0xFF), sockets=(sshd,), sysctls=off)
    assert found(state, "answers-unmarked")
    state = host(rule, by_mark(1, 0xFF), sockets=(sshd,), sysctls=on)
    assert not found(state, "answers-unmarked")
    lan = rule.replace("-i wb", "-i lan")
    state = host(lan, by_mark(1, 0xFF), sockets=(sshd,), sysctls=off)
    assert not found(state, "answers-unmarked")
