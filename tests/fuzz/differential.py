"""One case on one backend: what ``walk`` predicts of each packet, and what the kernel did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from netfw.host.packets import sequence_of
from netfw.host.sighting import Sighting
from netfw.ir.names import Family
from netfw.ir.protocols import ICMP, ICMPV6, TCP
from netfw.ir.ruleset import Ruleset
from netfw.render.ipset import render_sets
from netfw.render.restore import render_ruleset
from netfw.traverse.connection import UNKNOWN_PORT
from netfw.traverse.documented import Documented
from netfw.traverse.host_facts import HostFacts
from netfw.traverse.packet import ACK, RST, Packet
from netfw.traverse.situation import Path, Phase
from netfw.traverse.traversal import End, Outcome, Traversal
from netfw.traverse.walk import Walker
from netfw.verify.compare import compare, describe_ends
from netfw.verify.observe import Observer, has_shown
from netfw.verify.probe import Probe
from netfw.verify.result import Comparison, Difference, Result
from tests.fuzz.arena import Arena, Ground
from tests.fuzz.generate import Case, Relation, Sending
from tests.fuzz.world import INTERFACES, UNREACHABLE

QUIET_SECONDS = 0.1
"""How long nothing must come before a packet that has not shown all that was predicted counts as
gone."""
_ARRIVING = (End.SENT, End.DELIVERED)
_ANSWERS = {8: 0, 128: 129}
MakeWalker = Callable[[Ruleset, HostFacts], Walker]


class LostEvents(Exception):
    """Something may not have been seen: what was compared says nothing."""


@dataclass(slots=True)
class Played:
    """What became of a case: how many packets agreed, and what differed.

    ``undecided`` are packets that the walk cannot foretell, and ``skipped`` those behind them:
    they follow from what is not known.
    """

    case: Case
    backend: str
    agreed: int = 0
    undecided: int = 0
    skipped: int = 0
    reasons: list[str] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)

    @property
    def different(self) -> list[Comparison]:
        """The packets on which model and kernel contradict each other."""
        return [c for c in self.comparisons if c.result is Result.DIFFER]

    def __str__(self) -> str:
        sets = [ipset for ipset in self.case.sets if ipset.members]
        lines = [f"{self.backend}:", *render_sets(sets).splitlines(), *_rules(self.case.ruleset)]
        for index, comparison in enumerate(self.comparisons):
            lines += _as_text(index, comparison)
        return "\n".join(lines)


def play(case: Case, arena: Arena, make_walker: MakeWalker = Walker) -> Played:
    """Load the ruleset, send the packets one after the other, and compare each.

    Raises LostEvents where any evidence may be missing.
    """
    family = case.ruleset.family
    ground = arena.ground(family, conntrack=case.conntrack)
    observer = ground.load(case.ruleset, case.sets)
    walker = make_walker(case.ruleset, ground.facts)
    played = Played(case, f"{arena.backend} {family}")
    ways: list[tuple[Probe, Traversal]] = []
    numbers = arena.numbers(len(case.sendings))
    # older than everything sent: what a packet acknowledges was always seen, and not long ago
    acknowledged = sequence_of(numbers[-1] - 1)
    for sending, number in zip(case.sendings, numbers, strict=True):
        packet = _packet(sending, ways, ground.facts)
        if packet.tcp_flags & ACK and not packet.tcp_flags & RST:
            # a reset acknowledges 0, which always lies in the window
            packet = replace(packet, tcp_acknowledgement=acknowledged)
        path = Path.LOCAL_OUT if packet.is_local else Path.FORWARDED
        probe = Probe(number, "fuzz", f"{packet}", packet, path, Phase.FIRST)
        predicted = walker.walk(packet)
        ways.append((probe, predicted))
        comparison = _send(ground, observer, probe, predicted)
        played.comparisons.append(comparison)
        if predicted.end is End.UNDECIDED and comparison.result is not Result.DIFFER:
            played.undecided += 1
            played.reasons.append(predicted.detail)
            # what the kernel knows of the connection from here on is not known
            played.skipped = len(case.sendings) - len(ways)
            break
        if comparison.result is not Result.AGREE:
            # what comes behind a difference follows from it
            break
        played.agreed += 1
        if predicted.final is not None and predicted.final.source_port == UNKNOWN_PORT:
            # nobody knows how to answer it
            played.skipped = len(case.sendings) - len(ways)
            break
    _see_what_came_late(ground, observer, ways)
    return played


def _packet(sending: Sending, ways: list[tuple[Probe, Traversal]], facts: HostFacts) -> Packet:
    """The packet that a sending means, now that the packets before have gone their way."""
    if sending.packet is not None:
        return sending.packet
    earlier, way = ways[sending.of]
    first = earlier.packet
    flags = sending.tcp_flags if first.protocol == TCP else 0
    if first.quoted is not None:
        # nothing follows an ICMP error but the same error
        return first
    if sending.relation is Relation.AGAIN:
        return replace(first, tcp_flags=flags)
    seen = first
    if way.end in _ARRIVING and way.final is not None:
        final = way.final
        seen = replace(
            first,
            source=final.source,
            source_port=final.source_port,
            destination=final.destination,
            destination_port=final.destination_port,
        )
    comes_by = _interface_of_answer(seen, way, facts)
    if sending.relation is Relation.ERROR:
        kind, code = UNREACHABLE[first.family]
        return Packet(
            first.family,
            seen.destination,
            seen.source,
            ICMP if first.family is Family.IPV4 else ICMPV6,
            icmp_type=kind,
            icmp_code=code,
            quoted=replace(seen, in_interface="", mark=0),
            in_interface=comes_by,
        )
    return replace(
        seen,
        source=seen.destination,
        destination=seen.source,
        source_port=seen.destination_port,
        destination_port=seen.source_port,
        tcp_flags=flags,
        icmp_type=_ANSWERS.get(seen.icmp_type, seen.icmp_type),
        in_interface=comes_by,
        mark=0,
    )


def _interface_of_answer(seen: Packet, way: Traversal, facts: HostFacts) -> str:
    if way.end is End.SENT:
        return way.detail
    if way.end is End.DELIVERED:
        return ""
    route = facts.route(seen.family, seen.destination, 0)
    if route is None:
        return INTERFACES[1]
    return "" if route.is_local else route.interface


def _send(ground: Ground, observer: Observer, probe: Probe, predicted: Traversal) -> Comparison:
    stage, reader = ground.stage, ground.reader
    refused = ""
    try:
        stage.send(probe, stage.build(probe))
    except OSError as error:
        # a local packet that finds no route: the sender is told
        refused = str(error)
    needed = len(predicted.steps) - len(predicted.optional)
    must_arrive = predicted.end in _ARRIVING
    sightings: dict[int, Sighting] = {}
    while True:
        events = reader.read()
        observer.add(events)
        sightings |= stage.sightings()
        shown = has_shown(observer.shown(probe.number), predicted)
        if shown and (probe.number in sightings or not must_arrive):
            break
        events = reader.read(QUIET_SECONDS)
        if not events:
            break
        observer.add(events)
    sightings |= stage.sightings()
    if ground.lost:
        raise LostEvents(ground.lost)
    steps = observer.steps(probe.number)
    sighting = sightings.get(probe.number)
    if steps is None and sighting is None and predicted.end is End.STOPPED and not needed:
        # nothing was to be seen, and nothing was; the sender's error says the same
        return Comparison(probe, Documented((), ()), predicted, None, Result.AGREE, (), refused)
    observed = _observed(observer, probe, sighting)
    return _compare(probe, predicted, observed, sighting)


def _observed(observer: Observer, probe: Probe, sighting: Sighting | None) -> Traversal | None:
    """What was seen of a packet, by the trace and behind its last chain."""
    steps = observer.steps(probe.number)
    if steps is None:
        return None
    mark = steps[-1].mark_after if steps else 0
    if sighting is not None:
        end = End.SENT if sighting.interface else End.DELIVERED
        mark = mark if sighting.mark is None else sighting.mark
        return Traversal(steps, end, sighting.interface, mark, sighting.addressing)
    last = steps[-1].outcome if steps else Outcome.CONTINUE
    ends = {Outcome.DROP: End.DROPPED, Outcome.REJECT: End.REJECTED}
    return Traversal(steps, ends.get(last, End.STOPPED), "", mark)


def _compare(
    probe: Probe, predicted: Traversal, observed: Traversal | None, sighting: Sighting | None
) -> Comparison:
    # the documented order has no part in this: it is given the stations that were seen
    documented = Documented(() if observed is None else observed.stations, ())
    if observed is None:
        problem = "the kernel never showed this packet"
        return Comparison(
            probe, documented, predicted, None, Result.DIFFER, (Difference(problem),)
        )
    if predicted.end is End.UNDECIDED:
        # up to where the walk gives up it must be right
        length = len(predicted.steps)
        so_far = replace(observed, steps=observed.steps[:length], end=End.STOPPED)
        wanted = replace(predicted, end=End.STOPPED, mark=so_far.mark, final=None)
        begun = compare(probe, Documented(so_far.stations, ()), wanted, so_far)
        if begun.result is Result.DIFFER and not predicted.optional:
            return replace(begun, predicted=predicted, observed=observed)
        return Comparison(probe, documented, predicted, observed, Result.INCONCLUSIVE)
    found = compare(probe, documented, predicted, observed)
    if found.result is Result.INCONCLUSIVE:
        # nothing was lost, or we would not be here: the packet really went on without a step
        return replace(found, result=Result.DIFFER)
    return found


def _see_what_came_late(
    ground: Ground, observer: Observer, ways: list[tuple[Probe, Traversal]]
) -> None:
    """A step that shows only now would have been missing from a comparison: not a pass."""
    counts = {probe.number: len(observer.shown(probe.number)) for probe, _ in ways}
    observer.add(ground.reader.read())
    late = [n for n, count in counts.items() if len(observer.shown(n)) != count]
    if late and ways[-1][1].end is not End.UNDECIDED:
        raise LostEvents(f"events of packets {late} came after they were compared")


def _rules(ruleset: Ruleset) -> list[str]:
    """The text of a ruleset without the chains that say nothing."""
    said = (line for line in render_ruleset(ruleset).splitlines() if line != "COMMIT")
    return [line for line in said if not line.endswith((" ACCEPT [0:0]", " - [0:0]"))]


def _as_text(index: int, comparison: Comparison) -> list[str]:
    predicted, observed = comparison.predicted, comparison.observed
    packet = comparison.probe.packet
    words = [f"{index + 1}. {packet}", f"in {packet.in_interface or 'nowhere'}"]
    if packet.protocol == TCP:
        words.append(f"flags {packet.tcp_flags:#x}")
    if packet.is_icmp:
        words.append(f"code {packet.icmp_code} id {packet.icmp_id}")
    if packet.quoted is not None:
        words.append(f"quoting {packet.quoted}")
    if packet.mark:
        words.append(f"mark {packet.mark:#x}")
    if packet.ttl != 64:
        words.append(f"ttl {packet.ttl}")
    lines = [f"{', '.join(words)}: {comparison.result.value}"]
    lines += [f"     {difference.problem}" for difference in comparison.differences]
    if comparison.result is not Result.DIFFER:
        return lines
    for name, way in (("predicted", predicted), ("observed", observed)):
        lines.append(f"   {name}:")
        if way is not None:
            lines += [f"     {step}" for step in way.steps]
            final = "" if way.final is None else describe_ends(packet.family, way.final)
            lines.append(f"     {way.end.value} {way.detail} mark {way.mark:#x} {final}")
    return lines
