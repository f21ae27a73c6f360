"""Several programs and one word: fields that overlap, marks of sockets that get lost, programs
of the kernel that nobody sees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netfw.doctor.finding import Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkEffect, MarkTest, Word
from netfw.doctor.observed import BpfProgram, Link, Socket, TrafficControl
from netfw.ir.mark import MAX_MARK
from netfw.ir.names import Backend, Family
from tests.unit.nft_host import ACCEPT, DROP, chain, has_mark, meta, or_mark, set_mark, table
from tests.unit.test_findings import by_mark, found, held, host

V4, V6 = Family.IPV4, Family.IPV6
WG = Link("wg0", 9, "wireguard", mark=0xCA6C)
NOT_WG = by_mark(0xCA6C, invert=True)
VPN = Socket("udp", V4, "0.0.0.0:1194", "", "UNCONN", 0x55, owner="openvpn[3]")


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize(
    ("rules", "severity"),
    [
        ("mangle OUTPUT -j MARK --set-xmark 0x100/0xff00", Severity.ERROR),
        ("mangle OUTPUT -p udp -j MARK --set-xmark 0x7/0xffffffff", Severity.WARNING),
        ("raw OUTPUT -j wan\nraw wan -j MARK --set-xmark 0x0/0xf000", Severity.ERROR),
    ],
)
def test_the_mark_of_a_tunnel_s_own_packets_is_gone(
    rules: str, severity: Severity, backend: Backend
) -> None:
    kill = "filter OUTPUT -m mark ! --mark 0xca6c -j DROP\n"
    (one,) = found(host(kill + rules, links=(WG,), backend=backend), "socket-mark-overwritten")
    assert one.severity is severity
    assert "0xca6c" in one.problem


def test_the_mark_that_routes_a_program_s_packets_is_gone() -> None:
    rules = "mangle OUTPUT -j MARK --set-xmark 0x8/0xff"
    state = host(rules, by_mark(0x55, 0xFF), sockets=(VPN,))
    (one,) = found(state, "socket-mark-overwritten")
    assert "openvpn[3]" in one.problem
    native = (table(chain("o", [set_mark(8)], hook="output", kind="route")),)
    state = host("", by_mark(0x55, 0xFF), sockets=(VPN,), tables=native)
    assert found(state, "socket-mark-overwritten")


def test_the_mark_of_a_socket_of_ipv6_is_gone() -> None:
    rules = held("mangle OUTPUT -j MARK --set-xmark 0x8/0xff", Backend.LEGACY, V6)
    drop = held("filter OUTPUT -m mark --mark 0x55/0xff -j ACCEPT", Backend.NFT, V6)
    for family, expected in ((V6, True), (V4, False)):
        state = HostState(rules=(rules, drop), sockets=(replace(VPN, family=family),))
        assert bool(found(state, "socket-mark-overwritten")) is expected


@pytest.mark.parametrize(
    "rules",
    [
        # bits that it does not have
        "mangle OUTPUT -j MARK --set-xmark 0x0/0xf0000",
        # unmarked packets alone
        "mangle OUTPUT -m mark --mark 0x0 -j MARK --set-xmark 0x100/0xff00",
        "mangle OUTPUT -m mark ! --mark 0xca6c -j MARK --set-xmark 0x100/0xff00",
        # another protocol: WireGuard is UDP
        "mangle OUTPUT -p tcp -j MARK --set-xmark 0x7/0xffffffff",
        # packets that come in
        "mangle PREROUTING -j MARK --set-xmark 0x7/0xffffffff",
        # behind the kill switch
        "mangle POSTROUTING -j MARK --set-xmark 0x7/0xffffffff",
        # the same mark
        "mangle OUTPUT -p udp -j MARK --set-xmark 0xca6c/0xffffffff",
    ],
)
def test_the_mark_of_a_tunnel_s_own_packets_stays(rules: str) -> None:
    kill = "filter OUTPUT -m mark ! --mark 0xca6c -j DROP\n"
    assert not found(host(kill + rules, links=(WG,)), "socket-mark-overwritten")


def test_a_mark_that_nobody_asks_for_or_that_routing_has_seen_may_go() -> None:
    rules = "mangle OUTPUT -j MARK --set-xmark 0x100/0xff00"
    assert not found(host(rules, links=(WG,)), "socket-mark-overwritten")
    # raw and filter do not have the packet routed again
    late = "filter OUTPUT -j MARK --set-xmark 0x100/0xff00"
    assert not found(host(late, NOT_WG, links=(WG,)), "socket-mark-overwritten")
    early = late.replace("filter", "raw")
    assert not found(host(early, NOT_WG, links=(WG,)), "socket-mark-overwritten")
    assert found(host(rules, NOT_WG, links=(WG,)), "socket-mark-overwritten")
    # whoever asks has asked before
    before = "mangle OUTPUT -m mark --mark 0xca6c -j ACCEPT\n"
    assert not found(host(before + late, links=(WG,)), "socket-mark-overwritten")


OVERLAP = (
    "mangle PREROUTING -j MARK --set-xmark 0x105/0xffff\n"
    "mangle PREROUTING -j MARK --set-xmark 0x20000/0x3ff00\n"
)


@pytest.mark.parametrize("backend", Backend)
def test_fields_that_overlap_in_part(backend: Backend) -> None:
    read = "filter FORWARD -m mark --mark 0x105/0xffff -j ACCEPT"
    (one,) = found(host(OVERLAP + read, backend=backend), "fields-overlap")
    assert "clears 0x100" in one.problem
    assert found(host(OVERLAP, by_mark(0x105, 0xFFFF), backend=backend), "fields-overlap")


def test_fields_of_the_connection_mark_and_of_native_rules_that_overlap() -> None:
    of_connections = OVERLAP.replace("MARK --set", "CONNMARK --set")
    read = "mangle FORWARD -m connmark --mark 0x100/0x100 -j ACCEPT"
    (one,) = found(host(of_connections + read), "fields-overlap")
    assert "connection mark" in one.problem
    first = {"|": [{"&": [{"meta": {"key": "mark"}}, 0xFFFF0000]}, 0x105]}
    second = {"|": [{"&": [{"meta": {"key": "mark"}}, 0xFFFC00FF]}, 0x20000]}
    rules = chain("c", [set_mark(first)], [set_mark(second)], hook="output", kind="route")
    assert found(host("", by_mark(0x105, 0xFFFF), tables=(table(rules),)), "fields-overlap")


def test_a_known_program_clears_another_one_s_bits() -> None:
    rules = (
        "mangle PREROUTING -j CILIUM_PRE_mangle\nmangle PREROUTING -j cali-PREROUTING\n"
        "mangle CILIUM_PRE_mangle -j MARK --set-xmark 0x200/0xf00\n"
        "mangle cali-PREROUTING -j MARK --set-xmark 0x0/0x200\n"
    )
    assert found(host(rules, by_mark(0x200, 0xF00)), "fields-overlap")
    # a program clears its own bits
    own = rules.replace("cali-PREROUTING", "CILIUM_OTHER_mangle")
    assert not found(host(own, by_mark(0x200, 0xF00)), "fields-overlap")
    # and so may whoever is not known
    some = rules.replace("cali-PREROUTING", "mine")
    assert not found(host(some, by_mark(0x200, 0xF00)), "fields-overlap")


@pytest.mark.parametrize(
    "rules",
    [
        # fields side by side
        OVERLAP.replace("0x20000/0x3ff00", "0x20000/0x30000"),
        # the same field
        OVERLAP.replace("0x20000/0x3ff00", "0x200/0xffff"),
        # inside the field: a part of it is set anew
        OVERLAP.replace("0x20000/0x3ff00", "0x0/0xff00"),
        # for other packets
        "mangle PREROUTING -i a -j MARK --set-xmark 0x105/0xffff\n"
        "mangle PREROUTING -i b -j MARK --set-xmark 0x20000/0x3ff00\n",
        # only where the first has not been
        "mangle PREROUTING -j MARK --set-xmark 0x105/0xffff\n"
        "mangle PREROUTING -m mark --mark 0x0/0xff -j MARK --set-xmark 0x20000/0x3ff00\n",
        # the other way round
        "\n".join(reversed(OVERLAP.splitlines())) + "\n",
        # the bit stays
        OVERLAP.replace("0x20000/0x3ff00", "0x20100/0x3ff00"),
    ],
)
def test_fields_that_take_nothing_from_each_other(rules: str) -> None:
    read = "filter FORWARD -m mark --mark 0x105/0xffff -j ACCEPT"
    assert not found(host(rules + read), "fields-overlap")
    # and where nobody asks for the bits
    assert not found(host(OVERLAP), "fields-overlap")


WHOLE = (
    "mangle PREROUTING -i nb -j MARK --set-xmark 0x1bd20/0xffffffff\n"
    "mangle PREROUTING -i lan -j MARK --set-xmark 0x10000/0xff0000\n"
    "filter FORWARD -m mark --mark 0x1bd20 -j ACCEPT\n"
)


def test_a_whole_mark_in_somebody_s_field() -> None:
    (one,) = found(host(WHOLE, by_mark(0x10000, 0xFF0000)), "whole-mark-in-field")
    assert "0x1bd20" in one.problem
    assert one.evidence[0].chain == "preference 500"
    accepts = "filter FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT"
    assert found(host(WHOLE + accepts, backend=Backend.LEGACY), "whole-mark-in-field")


def test_a_whole_mark_of_a_socket_or_a_native_rule_in_somebody_s_field() -> None:
    own = "mangle OUTPUT -p tcp -j MARK --set-xmark 0x10000/0xff0000\n"
    bird = Socket("udp", V4, "0.0.0.0:51820", "", "UNCONN", 0x1BD00, owner="netbird[9]")
    rules = (by_mark(0x10000, 0xFF0000), by_mark(0x1BD00, table=7120, preference=90))
    assert found(host(own, *rules, sockets=(bird,)), "whole-mark-in-field")
    masked = {"|": [{"&": [{"meta": {"key": "mark"}}, 0xFF00FFFF]}, 0x10000]}
    native = chain(
        "c",
        [meta("iifname", "nb"), set_mark(0x1BD20)],
        [meta("iifname", "lan"), set_mark(masked)],
        [meta("mark", 0x1BD20), {"counter": {}}],
        [has_mark(0x10000, 0xFF0000), DROP],
        hook="prerouting",
    )
    assert found(host("", tables=(table(native),)), "whole-mark-in-field")


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        # nobody else sets these bits: the rule is for the whole mark's packets
        (WHOLE.replace("0x10000/0xff0000", "0x20000/0xff0000"), by_mark(0x10000, 0xFF0000)),
        # nobody asks for the mark as a whole: it is made of two fields
        (WHOLE.replace("--mark 0x1bd20", "--mark 0x0"), by_mark(0x10000, 0xFF0000)),
        # not those bits
        (WHOLE, by_mark(0x20000, 0xFF0000)),
        (WHOLE, by_mark(0x10000, 0x100FF)),
        # the value is the field's own
        (WHOLE.replace("0x1bd20", "0x10000"), by_mark(0x10000, 0xFF0000)),
        # cleared before the field is read
        (
            WHOLE + "mangle PREROUTING -j MARK --set-xmark 0x0/0xff0000\n",
            by_mark(0x10000, 0xFF0000),
        ),
    ],
)
def test_a_whole_mark_that_nobody_takes_for_his_own(rules: str, rule: object) -> None:
    assert not found(host(rules, rule), "whole-mark-in-field")  # type: ignore[arg-type]


TCX = BpfProgram("eth0 tcx ingress", "", "tcx ingress")
CLS = TrafficControl(
    "eth0",
    "ingress",
    "filter bpf",
    "filter bpf mine",
    effects=(MarkEffect.any_value(Word.PACKET, MAX_MARK, "eBPF: what it does is not known"),),
)
READ = "filter INPUT -m mark --mark 0x10/0x10 -j ACCEPT"


def test_programs_of_ebpf_before_a_reader() -> None:
    one = replace(host(READ), programs=(TCX,))
    (said,) = found(one, "bpf-may-mark")
    assert said.severity is Severity.WARNING
    assert "eth0 tcx ingress" in said.problem
    two = replace(host(READ, backend=Backend.LEGACY), programs=(TCX,), traffic_control=(CLS,))
    assert "2 eBPF programs" in found(two, "bpf-may-mark")[0].problem
    socket = BpfProgram("cgroup /", "", "new sockets")
    steered = replace(host("", by_mark(7)), programs=(socket,))
    assert found(steered, "bpf-may-mark")
    native = (table(chain("i", [has_mark(1, 1), ACCEPT], hook="input", priority=0)),)
    assert found(replace(host("", tables=native), programs=(TCX,)), "bpf-may-mark")


@pytest.mark.parametrize(
    ("rules", "program"),
    [
        ("", TCX),
        # asks for nothing
        ("mangle PREROUTING -j MARK --set-xmark 0x10/0x10", TCX),
        # cleared before it is read
        (f"raw PREROUTING -j MARK --set-xmark 0x0/0xff\n{READ}", TCX),
        # where packets leave, nothing is read any more
        (READ, BpfProgram("eth0 tcx egress", "", "tcx egress")),
        # a filter of systemd
        (READ.replace("INPUT", "OUTPUT"), BpfProgram("cgroup /s", "", "egress packets")),
        # sockets' marks are of what leaves
        (READ, BpfProgram("cgroup /", "", "new sockets")),
    ],
)
def test_programs_of_ebpf_that_do_not_matter(rules: str, program: BpfProgram) -> None:
    assert not found(replace(host(rules), programs=(program,)), "bpf-may-mark")


def by_tc(device: str, side: str, *, cake: bool = False) -> TrafficControl:
    if cake:
        return TrafficControl(
            device, side, "cake", "cake fwmark 0xff", (MarkTest(Word.PACKET, 0xFF, None),)
        )
    test = MarkTest(Word.PACKET, 0xFF, 7)
    return TrafficControl(device, side, "filter fw", "filter fw handle 0x7/0xff", (test,))


def connmark(device: str = "eth0", mixed: int = MAX_MARK) -> TrafficControl:
    effect = MarkEffect(Word.PACKET, keep=0, mixed=mixed)
    return TrafficControl(device, "ingress", "filter matchall", "connmark", effects=(effect,))


IFB = (Link("ifb0", 7, "ifb"),)
MARK_7 = "mangle FORWARD -j MARK --set-xmark 0x7/0xff"


@pytest.mark.parametrize(
    "control",
    [by_tc("eth0", "ingress"), by_tc("ifb0", "egress"), by_tc("ifb0", "egress", cake=True)],
)
def test_tc_asks_before_any_rule(control: TrafficControl) -> None:
    state = replace(host(MARK_7, links=IFB), traffic_control=(control,))
    (one,) = found(state, "tc-before-rules")
    assert control.device in one.problem
    restored = replace(state, traffic_control=(connmark(), control))
    assert not found(restored, "tc-before-rules")
    native = (table(chain("p", [or_mark(0x7)], hook="prerouting")),)
    state = replace(host("", links=IFB, tables=native), traffic_control=(control,))
    assert found(state, "tc-before-rules")


def test_tc_asks_where_rules_have_been_or_for_what_others_set() -> None:
    for control in (by_tc("eth0", "egress"), by_tc("eth0", "egress", cake=True)):
        state = replace(host(MARK_7, links=IFB), traffic_control=(control,))
        assert not found(state, "tc-before-rules")
    state = replace(host(READ, links=IFB), traffic_control=(by_tc("eth0", "ingress"),))
    assert not found(state, "tc-before-rules")
    elsewhere = (connmark("eth1"), by_tc("eth0", "ingress"))
    assert found(replace(host(MARK_7), traffic_control=elsewhere), "tc-before-rules")
    others = (connmark(mixed=0xFF00), by_tc("ifb0", "egress"))
    assert found(replace(host(MARK_7, links=IFB), traffic_control=others), "tc-before-rules")


MASQ = "nat PREROUTING -j KUBE-MARK-MASQ\nnat KUBE-MARK-MASQ -j MARK --set-xmark {0}\n"


def test_a_chain_of_one_name_with_different_bits() -> None:
    code = "same-chain-other-bits"
    twice = MASQ.format("0x4000/0x4000") + "nat KUBE-MARK-MASQ -j MARK --set-xmark 0x1/0x1"
    for family in Family:
        assert found(HostState(rules=(held(twice, Backend.NFT, family),)), code)
    old, new = (MASQ.format(bits) for bits in ("0x4000/0x4000", "0x8000/0x8000"))
    legacy = held(old, Backend.LEGACY)
    (one,) = found(HostState(rules=(legacy, held(new))), code)
    assert "0x4000" in one.problem
    assert "0x8000" in one.problem
    native = (table(chain("KUBE-MARK-MASQ", [or_mark(0x1)])),)
    assert found(HostState(rules=(legacy,), tables=native), code)


def test_a_chain_of_one_name_with_the_same_bits_or_of_nobody() -> None:
    code = "same-chain-other-bits"
    masq = MASQ.format("0x4000/0x4000")
    same = HostState(rules=(held(masq, Backend.LEGACY), held(masq)))
    assert not found(same, code)
    # by IPv6 it may be another bit
    other = held(MASQ.format("0x1/0x1"), Backend.NFT, V6)
    assert not found(HostState(rules=(held(masq), other)), code)
    mine = (masq + "nat KUBE-MARK-MASQ -j MARK --set-xmark 0x1/0x1").replace("KUBE-MARK", "my")
    assert not found(HostState(rules=(held(mine),)), code)
    some = masq + "nat KUBE-MARK-MASQ -p udp -j MARK --set-xmark 0x1/0x1"
    assert not found(HostState(rules=(held(some),)), code)
    # other chains set several bits, one after the other
    several = (
        "filter FORWARD -j cali-FORWARD\nfilter cali-FORWARD -j MARK --set-xmark 0x10000/0x10000\n"
        "filter cali-FORWARD -j MARK --set-xmark 0x20000/0x20000"
    )
    assert not found(HostState(rules=(held(several),)), code)
    assert not found(HostState(rules=(held(several), held(several, Backend.LEGACY))), code)
