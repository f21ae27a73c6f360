"""Which packets show a finding, and what is made of what was seen of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from netfw.doctor.diagnosis import diagnose
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.findings import FINDINGS
from netfw.doctor.observed import Link
from netfw.doctor.place import Spot, System, Way
from netfw.doctor.probe_packets import Wanted, bridged_conversations, conversations
from netfw.doctor.probing import Conversation, Demonstration, Outcome, Probing, Seen
from netfw.doctor.symptoms import BitsLost, FirstOnly, NotMatched
from netfw.doctor.way_symptoms import PassedUnseen
from netfw.ir.names import Backend, Family, Hook
from netfw.ir.net import format_address, parse_address
from netfw.ir.protocols import TCP, UDP
from netfw.traverse.observed import ObservedEnd, ObservedPacket, ObservedStep
from netfw.traverse.packet import Packet
from netfw.traverse.traversal import Outcome as StepOutcome
from netfw.verify.conversing import Talk
from netfw.verify.demonstrate import judge
from tests.unit.test_findings import host

V4 = Family.IPV4


def rule(chain: str, number: int, table: str = "mangle") -> Spot:
    return Spot(System.IPTABLES_NFT, V4, table, chain, number)


def sent_for(text: str, *spots: Spot, **wanted: object) -> list[Packet]:
    """The packets that are chosen on a host with two uplinks, wa (default) and wb."""
    made = Wanted(spots, **wanted)  # type: ignore[arg-type]
    return [one.packet for one in conversations(host(text), made)]


@pytest.mark.parametrize("backend", Backend)
def test_packets_meet_the_conditions_of_all_rules(backend: Backend) -> None:
    text = (
        "mangle PREROUTING -i wb -p tcp -j MARK --set-xmark 0x1/0x1\n"
        "mangle mine -s 192.0.2.0/24 -p tcp -m tcp --dport 443 -j MARK --set-xmark 0x2/0x2\n"
        "mangle FORWARD ! -i wa -j mine"
    )
    system = System.of_backend(backend)
    spots = tuple(Spot(system, V4, "mangle", chain, 1) for chain in ("PREROUTING", "mine"))
    made = Wanted(spots)
    packets = [one.packet for one in conversations(host(text, backend=backend), made)]
    assert packets
    for packet in packets:
        assert packet.in_interface == "wb"
        assert (packet.protocol, packet.destination_port) == (TCP, 443)
        assert format_address(V4, packet.source).startswith("192.0.2.")


def test_a_packet_of_this_host_has_the_address_of_its_way() -> None:
    packets = sent_for("mangle OUTPUT -p udp -j MARK --set-xmark 0x1/0x1", rule("OUTPUT", 1))
    assert {(packet.in_interface, packet.protocol) for packet in packets} == {("", UDP)}
    far = next(one for one in packets if one.destination == parse_address("198.51.100.1")[1])
    assert format_address(V4, far.source) == "10.2.0.1"


def test_only_sockets_give_packets_a_mark() -> None:
    text = (
        "mangle PREROUTING -j MARK --set-xmark 0x1/0x1\nmangle OUTPUT -j MARK --set-xmark 0x1/0x1"
    )
    assert not sent_for(text, rule("PREROUTING", 1), mark=0x10)
    marked = sent_for(text, rule("OUTPUT", 1), mark=0x10)
    assert marked
    assert {(packet.in_interface, packet.mark) for packet in marked} == {("", 0x10)}


def test_packets_take_the_way_on_which_both_rules_are() -> None:
    text = (
        "mangle PREROUTING -i wb -j MARK --set-xmark 0x1/0x1\n"
        "filter INPUT -m mark --mark 0x1/0x1 -j DROP"
    )
    packets = sent_for(text, rule("PREROUTING", 1), rule("INPUT", 1, "filter"))
    assert {format_address(V4, packet.destination) for packet in packets} == {"10.3.0.1"}
    assert not sent_for(text, rule("PREROUTING", 1), ways=frozenset({Way.FROM_HOST}))


@pytest.mark.parametrize(
    ("more", "probed"),
    [
        ("-p udp -m udp --dport 53", True),
        ("-m conntrack --ctstate NEW,ESTABLISHED", True),
        ("-m comment --comment mine", True),
        ("-m conntrack --ctstate ESTABLISHED", False),
        ("-m conntrack ! --ctstate NEW", False),
        ("-m set --match-set some src", False),
        ("-m limit --limit 1/min", False),
        ("-o wb", False),
    ],
)
def test_a_reader_that_asks_for_more_shows_nothing_by_saying_no(more: str, probed: bool) -> None:
    """It would not have taken the packet with the right mark either."""
    state = host(
        "mangle PREROUTING -j MARK --set-xmark 0x2710/0xffffffff\n"
        f"filter FORWARD {more} -m mark --mark 0x10000 -j ACCEPT"
    )
    (finding,) = diagnose(state, ("digit-twins",)).findings
    probing = FINDINGS["digit-twins"].probe(finding, state)
    assert isinstance(probing, Probing) is probed


def test_bridged_packets_come_in_by_each_port() -> None:
    ports = tuple(Link(name, number, master="br0") for number, name in enumerate(("v1", "v2"), 3))
    state = host(
        "mangle FORWARD -p udp -m udp --dport 53 -j MARK --set-xmark 0x1/0x1",
        links=(Link("br0", 2, "bridge"), *ports),
    )
    found = bridged_conversations(state, rule("FORWARD", 1), "br0")
    assert {(one.packet.in_interface, one.packet.destination_port) for one in found} == {
        ("v1", 53),
        ("v2", 53),
    }


def step(
    spot: Spot, before: int, after: int, outcome: StepOutcome = StepOutcome.CONTINUE
) -> ObservedStep:
    return ObservedStep(
        Hook.PREROUTING,
        "nft",
        spot.table,
        spot.chain,
        spot.number,
        "",
        None,
        outcome,
        before,
        after,
    )


def followed(*steps: ObservedStep, end: ObservedEnd = ObservedEnd.SENT) -> ObservedPacket:
    mark = steps[-1].mark_after if steps else 0
    return ObservedPacket(1, 0.0, V4, None, "udp", steps, end, "wa", mark)


def seen(*packets: ObservedPacket, **more: str) -> Seen:
    return Seen(tuple(packets), **more)  # type: ignore[arg-type]


GUILTY = rule("PREROUTING", 2)
END = rule("PREROUTING", 0)


@pytest.mark.parametrize(
    ("steps", "shown", "about"),
    [
        ([step(GUILTY, 0x10001, 0x1)], True, True),
        ([step(GUILTY, 0x10000, 0x10001)], False, True),
        ([step(GUILTY, 0x1, 0x1)], False, True),
        ([step(END, 0x10000, 0x10000)], False, False),
        # the same number in another chain is another rule
        ([step(rule("OUTPUT", 2), 0x10000, 0)], False, False),
    ],
)
def test_bits_are_lost_where_the_rule_took_them(
    steps: Sequence[ObservedStep], shown: bool, about: bool
) -> None:
    verdict = BitsLost(GUILTY, 0x10000).judge(seen(followed(*steps)))
    assert (verdict.shown, verdict.is_about_it) == (shown, about)


def test_a_rule_that_was_passed_is_known_by_what_came_behind_it() -> None:
    """It makes no event of its own, and neither does one that was never asked."""
    symptom = NotMatched(GUILTY, has=0x3)
    assert symptom.judge(seen(followed(step(END, 0x3, 0x3)))).shown
    for steps in (
        [step(GUILTY, 0x3, 0x3)],
        [step(END, 0x1, 0x1)],
        [step(rule("PREROUTING", 1), 0x3, 0x3, StepOutcome.ACCEPT)],
        [],
    ):
        assert not symptom.judge(seen(followed(*steps))).shown, steps


def test_a_mark_on_the_first_packet_alone() -> None:
    symptom = FirstOnly(GUILTY, 0x1)
    first, later = followed(step(GUILTY, 0, 1)), followed(step(END, 0, 0))
    assert symptom.judge(seen(first, later)).shown
    assert not symptom.judge(seen(first, first)).shown
    assert not symptom.judge(seen(first)).shown
    assert not symptom.judge(seen(later, later)).shown


def test_what_a_bridge_passes_on_has_to_come_out() -> None:
    symptom = PassedUnseen(GUILTY)
    assert symptom.judge(seen(came_out="v2")).shown
    assert not symptom.judge(seen()).shown
    assert not symptom.judge(seen(followed(step(END, 0, 0)), came_out="v2")).shown


LOST = BitsLost(GUILTY, 0x10000)
SHOWS, DENIES = followed(step(GUILTY, 0x10001, 0x1)), followed(step(GUILTY, 0x10000, 0x10000))
ELSEWHERE = followed(step(END, 0x10000, 0x10000))


class Complete:
    """A twin that lacks something where ``lack`` says so."""

    def __init__(self, lack: str = "") -> None:
        self.lack = lack

    def doubts(self, family: Family, *interfaces: str) -> tuple[str, ...]:
        return (self.lack,) if self.lack and "wa" in interfaces else ()


def judged(
    *packets: ObservedPacket | None, every: bool = False, lack: str = "", lost: int = 0
) -> Demonstration:
    """What is made of conversations of one packet each; None is one that was never seen."""
    sent = Packet(V4, 1, 2, UDP, in_interface="wb")
    talks = []
    for number, packet in enumerate(packets):
        talk = Talk(Conversation(sent), [(number, sent)])
        talk.packets += [] if packet is None else [packet]
        talks.append(talk)
    conversations = tuple(talk.conversation for talk in talks)
    probing = Probing(conversations, LOST, every)
    finding = Finding("x", Severity.ERROR, "", (GUILTY,), "", ())
    return judge(finding, probing, talks, Complete(lack), lost)


def test_one_conversation_is_enough_to_show_it() -> None:
    one = judged(ELSEWHERE, DENIES, SHOWS)
    assert (one.outcome, one.packets, one.sent) == (Outcome.SHOWN, (SHOWS,), 3)
    one = judged(ELSEWHERE, DENIES)
    assert (one.outcome, one.packets) == (Outcome.NOT_SHOWN, (DENIES,))


def test_what_is_said_of_every_packet_is_shown_by_all_that_came_by() -> None:
    assert judged(SHOWS, ELSEWHERE, every=True).outcome is Outcome.SHOWN
    assert judged(SHOWS, DENIES, every=True).outcome is Outcome.NOT_SHOWN


def test_what_was_not_seen_whole_is_inconclusive() -> None:
    for one in (
        judged(SHOWS, lost=3),
        judged(DENIES, lost=3),
        judged(SHOWS, lack="a filter of tc"),
        judged(DENIES, lack="a filter of tc"),
        judged(replace(SHOWS, unsure="events were lost")),
        judged(None),
    ):
        assert one.outcome is Outcome.INCONCLUSIVE
        assert one.said
