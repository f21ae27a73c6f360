"""What ``docs/kernel-facts.md`` says of the kernel: each fact, on the running kernel."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netfw.facts.iptables_save import parse_ruleset
from netfw.host.packets import PacketBuilder
from netfw.ir.names import Backend, Family, Hook, TableName
from netfw.ir.protocols import DCCP, ICMP, TCP, UDP, UDPLITE
from netfw.traverse.packet import ACK, FIN, RST, SYN, Packet
from netfw.traverse.traversal import End, Station, Traversal
from netfw.verify.instrument import with_all_stations
from netfw.verify.result import Result
from tests.fuzz.arena import Arena
from tests.fuzz.differential import play
from tests.fuzz.generate import Case, Relation, Sending
from tests.fuzz.world import BEHIND, FAR, LOOPBACK_ADDRESS, NEAR
from tests.kernel.router import Router, forwarded

pytestmark = [pytest.mark.kernel, pytest.mark.every_kernel]

CONNTRACK = "*security\n:ON - [0:0]\n-A ON -m conntrack --ctstate NEW\nCOMMIT\n"
UDP_V4 = Packet(
    Family.IPV4, FAR[Family.IPV4][0], FAR[Family.IPV4][1], UDP, 40000, 53, in_interface="eth0"
)
TCP_V4 = replace(UDP_V4, protocol=TCP, destination_port=80, tcp_flags=SYN)
ECHO_V4 = replace(UDP_V4, protocol=ICMP, source_port=0, destination_port=0, icmp_type=8, icmp_id=7)
UDP_V6 = replace(
    UDP_V4, family=Family.IPV6, source=FAR[Family.IPV6][0], destination=FAR[Family.IPV6][1]
)
NAT_PREROUTING = Station(Hook.PREROUTING, TableName.NAT)


@pytest.fixture(scope="module", params=list(Backend), ids=str)
def arena(request: pytest.FixtureRequest) -> Iterator[Arena]:
    with Arena(request.param) as made:
        yield made


def first(packet: Packet) -> Sending:
    return Sending(Relation.FIRST, packet)


def again(flags: int = 0, of: int = 0) -> Sending:
    return Sending(Relation.AGAIN, None, of, flags)


def answer(flags: int = 0, of: int = 0) -> Sending:
    return Sending(Relation.ANSWER, None, of, flags)


def seen(arena: Arena, rules: str, *sendings: Sending) -> list[Traversal]:
    """What the kernel does with packets one after the other, where the model says the same."""
    packet = sendings[0].packet
    assert packet is not None
    ruleset = with_all_stations(parse_ruleset(rules + CONNTRACK, packet.family))
    played = play(Case(ruleset, sendings, conntrack=True), arena)
    assert not played.different, str(played)
    assert len(played.comparisons) == len(sendings)
    found = [comparison.observed for comparison in played.comparisons]
    assert all(found)
    return [way for way in found if way is not None]


def nat(*rules: str) -> str:
    return "\n".join(["*nat", *(f"-A {rule}" for rule in rules), "COMMIT", ""])


def states(*names: str) -> str:
    """A rule of mangle PREROUTING for each connection state."""
    lines = (f"-A PREROUTING -m conntrack --ctstate {name}" for name in names)
    return "\n".join(["*mangle", *lines, "COMMIT", ""])


def met(way: Traversal) -> list[int]:
    """The rules of mangle PREROUTING that a packet met."""
    station = Station(Hook.PREROUTING, TableName.MANGLE)
    return [step.rule for step in way.steps if step.station == station and step.rule]


@pytest.mark.parametrize(
    ("sendings", "rules"),
    [
        ([first(TCP_V4), again(ACK)], [[1], [3]]),
        ([first(TCP_V4), answer(ACK), again(SYN)], [[1], [2], [2]]),
        ([first(TCP_V4), answer(SYN | ACK), again(ACK), answer(FIN | ACK)], [[1], [2], [2], [2]]),
        ([first(TCP_V4), answer(FIN | ACK)], [[1], [3]]),
        ([first(TCP_V4), answer(SYN | ACK), again(SYN | ACK)], [[1], [2], [2]]),
        ([first(TCP_V4), answer(SYN | ACK), again(ACK), answer(SYN)], [[1], [2], [2], [3]]),
        ([first(replace(TCP_V4, tcp_flags=ACK)), answer(ACK)], [[1], [2]]),
    ],
    ids=[
        "ack before the answer",
        "answered by ack",
        "opened and closing",
        "answered by fin",
        "syn and ack from the beginner",
        "syn from the other side",
        "midstream",
    ],
)
def test_tcp_packets_are_judged_by_the_state_of_their_connection(
    arena: Arena, sendings: list[Sending], rules: list[list[int]]
) -> None:
    ways = seen(arena, states("NEW", "ESTABLISHED", "INVALID"), *sendings)
    assert [met(way) for way in ways] == rules


@pytest.mark.parametrize(
    ("sendings", "begins_anew"),
    [
        ([first(TCP_V4), again(SYN)], False),
        ([first(TCP_V4), answer(RST), again(SYN)], True),
        ([first(TCP_V4), again(RST), again(SYN)], True),
        ([first(TCP_V4), answer(SYN | ACK), again(ACK), again(SYN)], False),
        (
            [
                first(TCP_V4),
                answer(SYN | ACK),
                again(ACK),
                again(FIN | ACK),
                answer(FIN | ACK),
                again(ACK),
                again(SYN),
            ],
            True,
        ),
    ],
    ids=["again", "answered by reset", "reset", "established", "closed"],
)
def test_a_syn_begins_anew_where_the_connection_is_over(
    arena: Arena, sendings: list[Sending], begins_anew: bool
) -> None:
    last = seen(arena, nat(), *sendings)[-1]
    assert (NAT_PREROUTING in last.stations) is begins_anew


def test_the_answer_to_an_echo_has_the_code_of_the_request(arena: Arena) -> None:
    ask = replace(ECHO_V4, icmp_code=1)
    other = Packet(
        Family.IPV4,
        FAR[Family.IPV4][1],
        FAR[Family.IPV4][0],
        ICMP,
        icmp_type=0,
        icmp_id=7,
        in_interface="eth1",
    )
    rules = states("NEW", "ESTABLISHED", "INVALID")
    ways = seen(arena, rules, first(ask), first(other), answer())
    assert [met(way) for way in ways] == [[1], [3], [2]]


def test_a_sender_keeps_the_port_that_a_rule_gave_it_for_another_destination(
    arena: Arena,
) -> None:
    to = "-j SNAT --to-source 198.18.2.1"
    rules = nat(f"POSTROUTING -p udp -m udp --dport 53 {to}:8080", f"POSTROUTING -p udp {to}")
    elsewhere = replace(UDP_V4, destination_port=80)
    alone, mapped, after = seen(
        arena, rules, first(replace(elsewhere, source_port=9)), first(UDP_V4), first(elsewhere)
    )
    assert alone.final is not None
    assert mapped.final is not None
    assert after.final is not None
    assert alone.final.source_port == 9
    assert mapped.final.source_port == after.final.source_port == 8080


def test_two_connections_that_would_have_the_same_answers_get_other_ports_without_any_rule(
    arena: Arena,
) -> None:
    rules = nat("PREROUTING -p udp -m udp --dport 53 -j DNAT --to-destination 198.18.2.2:80")
    straight = replace(UDP_V4, destination_port=80)
    ruleset = with_all_stations(parse_ruleset(rules + CONNTRACK, Family.IPV4))
    case = Case(ruleset, (first(straight), first(UDP_V4)), conntrack=True)
    played = play(case, arena)
    assert [c.result for c in played.comparisons] == [Result.AGREE, Result.INCONCLUSIVE]
    assert "clashes with another connection" in played.comparisons[1].predicted.detail
    way = played.comparisons[1].observed
    assert way is not None
    assert way.final is not None
    assert way.final.source == UDP_V4.source
    assert way.final.source_port != UDP_V4.source_port


def test_ipv6_redirects_to_the_newest_address_of_the_interface(arena: Arena) -> None:
    (way,) = seen(arena, nat("PREROUTING -j REDIRECT"), first(UDP_V6))
    assert way.final is not None
    assert way.final.destination == NEAR[Family.IPV6][-1]


def test_ipv6_redirects_to_no_address_of_another_scope(arena: Arena) -> None:
    """The stage has no link-local addresses: what is for a group of the link is dropped."""
    ruleset = with_all_stations(parse_ruleset(nat("PREROUTING -j REDIRECT"), Family.IPV6))
    sent = first(replace(UDP_V6, destination=(0xFF02 << 112) + 99))
    (comparison,) = play(Case(ruleset, (sent,), conntrack=True), arena).comparisons
    assert comparison.predicted.end is End.UNDECIDED
    assert comparison.observed is not None
    # legacy shows the rule, and nothing behind it
    assert comparison.observed.end in (End.DROPPED, End.STOPPED)
    assert comparison.observed.stations[-1] == NAT_PREROUTING


def test_ipv6_masquerades_with_the_address_nearest_to_the_destination(arena: Arena) -> None:
    packet = replace(UDP_V6, source=FAR[Family.IPV6][1], in_interface="eth1")
    far = replace(packet, destination=FAR[Family.IPV6][0])
    behind = replace(packet, destination=BEHIND[Family.IPV6][0])
    ways = seen(arena, nat("POSTROUTING -j MASQUERADE"), first(far), first(behind))
    sources = [way.final.source for way in ways if way.final is not None]
    assert sources == [NEAR[Family.IPV6][0], NEAR[Family.IPV6][-1]]


@pytest.mark.parametrize(
    ("rule", "packet", "last"),
    [
        ("PREROUTING -j DNAT --to-destination 127.0.0.1", UDP_V4, NAT_PREROUTING),
        ("INPUT -j ACCEPT", replace(UDP_V4, source=NEAR[Family.IPV4][1]), NAT_PREROUTING),
        (
            "OUTPUT -j DNAT --to-destination 198.18.1.2",
            replace(
                UDP_V4,
                source=LOOPBACK_ADDRESS[Family.IPV4],
                destination=NEAR[Family.IPV4][0],
                in_interface="",
            ),
            Station(Hook.OUTPUT, TableName.NAT),
        ),
    ],
    ids=["to 127.0.0.1 from outside", "from an address of ours", "from 127.0.0.1 to outside"],
)
def test_routing_refuses_some_addresses_without_a_trace(
    arena: Arena, rule: str, packet: Packet, last: Station
) -> None:
    (way,) = seen(arena, nat(rule), first(packet))
    assert way.end is End.STOPPED
    assert way.stations[-1] == last


@pytest.mark.parametrize(
    "ends",
    [
        {"source": 1},
        {"destination": 1},
        {"source": 0xFF05 << 112 | 1},
        {"destination": 0xFF01 << 112 | 1},
    ],
    ids=["from ::1", "to ::1", "from a group", "to a group within an interface"],
)
def test_ipv6_drops_some_addresses_before_any_table(arena: Arena, ends: dict[str, int]) -> None:
    ruleset = with_all_stations(parse_ruleset(CONNTRACK, Family.IPV6))
    sent = first(replace(UDP_V6, **ends))
    played = play(Case(ruleset, (sent, first(UDP_V6)), conntrack=True), arena)
    assert not played.different, str(played)
    dropped, plain = played.comparisons
    assert dropped.predicted.steps == ()
    assert dropped.observed is None or not dropped.observed.steps
    assert plain.observed is not None
    assert plain.observed.steps


def test_over_lo_an_invalid_packet_is_looked_at_once_more(arena: Arena) -> None:
    rules = (
        "*raw\n-A PREROUTING -j CT --notrack\nCOMMIT\n"
        "*mangle\n-A PREROUTING -m conntrack --ctstate UNTRACKED\nCOMMIT\n"
    )
    lo = LOOPBACK_ADDRESS[Family.IPV4]
    good = replace(TCP_V4, source=lo, destination=lo, in_interface="")
    ways = seen(arena, rules, first(good), first(replace(good, tcp_flags=0)))
    assert [met(way) for way in ways] == [[], [1]]


@pytest.mark.parametrize("family", Family, ids=str)
def test_udplite_that_comes_in_belongs_to_no_connection(family: Family) -> None:
    """Only one that has the checksum of UDP is NEW: which the sender of UDP-Lite does not make.

    ``udplite-like-any-other``: a kernel without UDP-Lite looks at no checksum, and all are NEW.
    """
    packet = replace(forwarded(family), protocol=UDPLITE)
    right = PacketBuilder().build(packet, 7)
    start = len(right) - 20
    wrong = bytearray(right)
    stored = int.from_bytes(right[start + 6 : start + 8], "big")
    # one's complement: the protocol in the pseudo-header is 17 and no longer 136
    changed = (stored + UDPLITE - UDP) % 0xFFFF
    wrong[start + 6 : start + 8] = changed.to_bytes(2, "big")
    counted = states_counted(family, [right, bytes(wrong), bytes(wrong)])
    if has_udplite():
        assert counted == {"INVALID": 1, "NEW": 2}
    else:
        assert counted == {"INVALID": 0, "NEW": 3}


def has_udplite() -> bool:
    """Whether this kernel still has UDP-Lite."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, UDPLITE).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("family", Family, ids=str)
def test_connections_of_dccp_have_ports_only_where_the_kernel_tracks_dccp(family: Family) -> None:
    """``dccp-without-ports``: else the second packet is of the first one's connection, whatever
    its ports, and nat is passed by the first alone."""
    tracks_dccp = Path("/proc/sys/net/netfilter/nf_conntrack_dccp_loose").exists()
    first_port, other = (
        PacketBuilder().build(replace(forwarded(family, port), protocol=DCCP), port)
        for port in (53, 54)
    )
    passed = states_counted(family, [first_port, other], "nat")
    assert passed == {"INVALID": 0, "NEW": 2 if tracks_dccp else 1}


def states_counted(family: Family, packets: list[bytes], table: str = "mangle") -> dict[str, int]:
    """How many packets were in a state at PREROUTING."""
    program = "iptables" if family is Family.IPV4 else "ip6tables"
    states_asked = ("INVALID", "NEW")

    def run(*words: str) -> str:
        command = [program, "-t", table, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with Router() as router:
        for state in states_asked:
            ask = ("-i", "left", "-m", "conntrack", "--ctstate", state)
            router.box.call(lambda ask=ask: run("-A", "PREROUTING", *ask))
        for packet in packets:
            router.left.send(family, packet)
        time.sleep(0.2)
        lines = router.box.call(lambda: run("-nvxL", "PREROUTING")).splitlines()[2:]
    return {state: int(line.split()[0]) for state, line in zip(states_asked, lines, strict=True)}
