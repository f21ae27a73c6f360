"""What findings do to marks and ways, each as something that a trace shows or does not show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netfw.doctor.place import Spot, System
from netfw.doctor.probing import Verdict
from netfw.doctor.seen_at import Met, how_it_ended, mark_had, met, routing_words, routings, step_at
from netfw.traverse.observed import ObservedEnd, ObservedPacket
from netfw.traverse.traversal import Outcome

Seen = Sequence[ObservedPacket]
_ENDS = frozenset({Outcome.ACCEPT, Outcome.DROP, Outcome.REJECT, Outcome.QUEUE})


@dataclass(frozen=True, slots=True)
class BitsLost:
    """A rule takes bits away that the packet came with; ``reader`` asks for them behind it."""

    at: Spot
    bits: int
    reader: Spot | None = None

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        step = step_at(seen[0], self.at)
        if step is None:
            return _not_there(seen, self.at)
        before, after = step.mark_before & self.bits, step.mark_after & self.bits
        change = f"mark {step.mark_before:#x} -> {step.mark_after:#x} at {self.at}"
        lost = before & ~after
        if not lost:
            said = "left the bits alone" if before else f"it came there without {self.bits:#x}"
            return Verdict(False, f"{said}: {change}")
        asked = None if self.reader is None else met(seen[0], self.reader)
        behind = "" if asked is None else f"; {self.reader} then asks with mark {asked.mark:#x}"
        return Verdict(
            True, f"{lost:#x} was there before the rule and is gone behind it: {change}{behind}"
        )


@dataclass(frozen=True, slots=True)
class NotMatched:
    """A reader is asked and says no, though (or since) the packet has these bits, and lacks
    those. ``behind`` is a rule that has marked the packet before."""

    reader: Spot
    has: int = 0
    lacks: int = 0
    behind: Spot | None = None

    def judge(self, seen: Seen) -> Verdict:
        """Whether that is so."""
        asked = met(seen[0], self.reader)
        if asked is None:
            return _not_there(seen, self.reader)
        if self.behind is not None and step_at(seen[0], self.behind) is None:
            return _not_there(seen, self.behind)
        if asked.matched:
            return Verdict(False, f"{self.reader} took it, with mark {asked.mark:#x}")
        if asked.mark & self.has != self.has:
            said = f"{self.reader} did not take it, but it had mark {asked.mark:#x} there"
            return Verdict(False, said)
        if self.lacks and asked.mark & self.lacks == self.lacks:
            said = f"it had {self.lacks:#x} when it came to {self.reader}: mark {asked.mark:#x}"
            return Verdict(False, said)
        end = how_it_ended(seen[:1])
        return Verdict(
            True, f"{self.reader} was asked with mark {asked.mark:#x} and did not take it; {end}"
        )


@dataclass(frozen=True, slots=True)
class Matched:
    """A reader takes a packet whose mark is ``mark``, which is not the one that it names."""

    reader: Spot
    mark: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        asked = met(seen[0], self.reader)
        if asked is None:
            return _not_there(seen, self.reader)
        if not asked.matched or asked.mark != self.mark:
            return Verdict(False, _at(self.reader, asked))
        return Verdict(
            True,
            f"{self.reader} took a packet with mark {asked.mark:#x}; {how_it_ended(seen[:1])}",
        )


@dataclass(frozen=True, slots=True)
class ReadTooEarly:
    """A reader is asked before the writer has set the bits."""

    reader: Spot
    writer: Spot
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it decided without them, or the writer set them behind it."""
        packet = seen[0]
        asked = met(packet, self.reader)
        if asked is None:
            return _not_there(seen, self.reader)
        if asked.mark & self.bits:
            return Verdict(False, f"the bits were there: {_at(self.reader, asked)}")
        if (
            asked.matched
            and packet.end.is_drop
            and step_at(packet, self.reader) is packet.steps[-1]
        ):
            said = f"{self.reader} was met with mark {asked.mark:#x}, and {packet.ending}"
            return Verdict(True, said)
        later = step_at(packet, self.writer)
        if later is None or not later.mark_after & self.bits:
            return Verdict(False, f"{self.writer} did not mark it; {how_it_ended(seen[:1])}")
        did = "took it" if asked.matched else "did not take it"
        return Verdict(
            True,
            f"{self.reader} was asked with mark {asked.mark:#x} and {did}, and {self.writer} "
            f"marked it behind that: mark {later.mark_before:#x} -> {later.mark_after:#x}",
        )


@dataclass(frozen=True, slots=True)
class MarkedTooLate:
    """A writer marks a packet when routing has been asked already, without the bits."""

    writer: Spot
    reader: Spot
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        step, asked = step_at(seen[0], self.writer), met(seen[0], self.reader)
        if step is None:
            return _not_there(seen, self.writer)
        if asked is None or asked.matched or not step.mark_after & self.bits:
            said = "was not asked" if asked is None else _at(self.reader, asked)
            return Verdict(False, f"{said}; {how_it_ended(seen[:1])}")
        return Verdict(
            True,
            f"routing was asked with mark {asked.mark:#x}, so {self.reader} did not take it; "
            f"{self.writer} marked it behind that: mark {step.mark_before:#x} -> "
            f"{step.mark_after:#x}; {how_it_ended(seen[:1])}",
        )


@dataclass(frozen=True, slots=True)
class FirstOnly:
    """A writer marks the first packet of a connection, and the second one has no mark."""

    writer: Spot
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether that is so."""
        step = step_at(seen[0], self.writer)
        if step is None:
            return _not_there(seen, self.writer)
        if len(seen) < 2:
            return Verdict(False, f"no second packet could be sent: {how_it_ended(seen)}")
        if mark_had(seen[1], self.bits):
            return Verdict(False, f"the second packet had {self.bits:#x} too: {seen[1].ending}")
        return Verdict(
            True,
            f"the first packet got {self.bits:#x} from {self.writer} and was {seen[0].ending}; "
            f"the second one of the same connection did not come by there: {how_it_ended(seen)}",
        )


@dataclass(frozen=True, slots=True)
class NotRerouted:
    """A writer in OUTPUT marks a packet, and it leaves by the way that it had."""

    writer: Spot
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        step = step_at(seen[0], self.writer)
        if step is None:
            return _not_there(seen, self.writer)
        notes = [one.note for one in routings(seen[0]) if one.note]
        if not step.mark_after & self.bits or not notes or seen[0].end is not ObservedEnd.SENT:
            return Verdict(False, f"it went where its mark leads: {how_it_ended(seen[:1])}")
        return Verdict(True, f"{how_it_ended(seen[:1])}, all the same: {notes[0]}")


@dataclass(frozen=True, slots=True)
class ForeignSource:
    """A packet of this host leaves by an interface with the address of another one."""

    interface: str
    sources: frozenset[int]

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        packet = seen[0]
        left = packet.end is ObservedEnd.SENT and packet.detail == self.interface
        if not left or packet.packet is None or packet.packet.source not in self.sources:
            return Verdict(False, how_it_ended(seen[:1]))
        if packet.translated:
            return Verdict(False, f"it was translated: {packet.translated}")
        said = "; ".join(packet.surprises) or f"{packet.title} {packet.ending}"
        return Verdict(True, f"{packet.ending}: {said}")


@dataclass(frozen=True, slots=True)
class DecidedByOthers:
    """A rule decides about a packet by bits that somebody else's rule has set."""

    reader: Spot
    writer: Spot | None
    """None where the packet begins with them."""
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        decided = step_at(seen[0], self.reader)
        wrote = None if self.writer is None else step_at(seen[0], self.writer)
        if wrote is None and self.writer is not None:
            return _not_there(seen, self.writer)
        if decided is None or decided.mark_before & self.bits != self.bits:
            return Verdict(False, f"{self.reader} did not take it; {how_it_ended(seen[:1])}")
        if decided.outcome not in _ENDS or (wrote and not wrote.mark_after & self.bits):
            return Verdict(False, f"{self.reader}: {decided.outcome.value}")
        begin = "it began with the mark"
        if wrote is not None:
            change = f"mark {wrote.mark_before:#x} -> {wrote.mark_after:#x}"
            begin = f"{self.writer} set it: {change}"
        said = f"{self.reader} read {decided.mark_before:#x}: {decided.outcome.value}"
        return Verdict(True, f"{begin}; {said}")


@dataclass(frozen=True, slots=True)
class ChainEnded:
    """A rule ends the chain before the packet comes to the writer, and the mark is not set."""

    ending: Spot
    writer: Spot
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        step = step_at(seen[0], self.ending)
        if step is None:
            return _not_there(seen, self.ending)
        if step.outcome not in _ENDS:
            said = f"{self.ending} did not end the chain ({step.outcome.value})"
            return Verdict(False, f"{said}; {how_it_ended(seen[:1])}")
        if step_at(seen[0], self.writer) is not None or seen[0].mark & self.bits == self.bits:
            return Verdict(False, f"it was marked all the same: {how_it_ended(seen[:1])}")
        return Verdict(
            True,
            f"{self.ending} ended the chain ({step.outcome.value}) with mark "
            f"{step.mark_after:#x}, and {self.writer} was not asked; {how_it_ended(seen[:1])}",
        )


@dataclass(frozen=True, slots=True)
class RoutedBefore:
    """A routing rule would take the packet, and an earlier one has answered already."""

    late: Spot
    early: Spot

    def judge(self, seen: Seen) -> Verdict:
        """Whether that is so."""
        late, early = routing_words(self.late), routing_words(self.early)
        for one in routings(seen[0]):
            behind = next((rule for rule in one.behind if rule.startswith(late)), "")
            if behind and f"{one.rule} ".startswith(early):
                return Verdict(
                    True,
                    f"routing was asked with mark {one.mark:#x}: {one.rule} answered "
                    f"({one.route}), and {behind} would have matched; {how_it_ended(seen[:1])}",
                )
        rules = ", ".join(one.rule or one.route for one in routings(seen[0]))
        return Verdict(False, f"routing went by {rules or 'nothing'}; {how_it_ended(seen[:1])}")


@dataclass(frozen=True, slots=True)
class LeftByDefault:
    """A packet has the mark, and no routing rule reads it."""

    writer: Spot
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether that is so."""
        if step_at(seen[0], self.writer) is None:
            return _not_there(seen, self.writer)
        routed = list(routings(seen[0]))
        asked = routed[-1] if routed else None
        if asked is None or asked.mark & self.bits != self.bits or asked.reads_mark:
            return Verdict(False, how_it_ended(seen[:1]))
        said = f"routing was asked with mark {asked.mark:#x}, and {asked.rule} answered"
        return Verdict(True, f"{said} ({asked.route}); {how_it_ended(seen[:1])}")


@dataclass(frozen=True, slots=True)
class LeftElsewhere:
    """A routing rule leads a packet past the link on which its destination is."""

    reader: Spot
    interface: str

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        asked = met(seen[0], self.reader)
        if asked is None or not asked.matched:
            return _not_there(seen, self.reader)
        packet = seen[0]
        if packet.end is not ObservedEnd.SENT or packet.detail == self.interface:
            return Verdict(False, how_it_ended([packet]))
        said = f"{self.reader} took it with mark {asked.mark:#x}: {packet.title} was"
        return Verdict(True, f"{said} {packet.ending}, not by {self.interface}")


@dataclass(frozen=True, slots=True)
class GoneAtRouting:
    """The last packet of the conversation is gone between PREROUTING and the next hook, and the
    kernel says why in these words (the beginning of ``why`` is looked for)."""

    why: str
    bits: int = 0
    turn: int = 0
    """Which packet: 0 is the first."""
    unless: str = ""
    """What the kernel does not say where it is the symptom."""

    def judge(self, seen: Seen) -> Verdict:
        """Whether it is."""
        if len(seen) <= self.turn:
            return Verdict(False, f"no further packet could be sent: {how_it_ended(seen)}")
        packet = seen[self.turn]
        if packet.end is not ObservedEnd.VANISHED:
            return Verdict(False, how_it_ended([packet]))
        reason = next((one for one in packet.evidence if self.why in one), "")
        is_other = self.unless and self.unless in packet.detail
        if is_other or (self.why not in packet.detail and not reason):
            return Verdict(False, f"it is gone for another reason: {packet.ending}")
        if self.bits and not packet.mark & self.bits:
            return Verdict(False, f"it is gone, but without the mark: {how_it_ended([packet])}")
        # how often is of all packets that were sent together
        counted = f"; {reason.partition(' by ')[0]}" if reason else ""
        return Verdict(True, f"{packet.ending}{counted}")


@dataclass(frozen=True, slots=True)
class LegacyWrote:
    """A legacy rule changes the mark of a packet that rules of nf_tables see too."""

    spots: tuple[Spot, ...]

    def judge(self, seen: Seen) -> Verdict:
        """Whether one does."""
        steps = [step for spot in self.spots if (step := step_at(seen[0], spot)) is not None]
        if not steps:
            return _not_there(seen, self.spots[0])
        for step in steps:
            change = f"mark {step.mark_before:#x} -> {step.mark_after:#x} at {step.place}"
            if step.mark_before != step.mark_after and any(
                one.backend == "nft" for one in seen[0].steps
            ):
                return Verdict(True, f"{change}, which no tool of nft shows")
        return Verdict(False, f"the mark stayed {steps[0].mark_after:#x} at {steps[0].place}")


@dataclass(frozen=True, slots=True)
class UnmarkedAnswer:
    """What a service answers has no mark, and leaves by another interface than the one by which
    the packet came."""

    interface: str
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether that is so."""
        if not mark_had(seen[0], self.bits):
            return Verdict(False, f"it came without {self.bits:#x}: {how_it_ended(seen[:1])}")
        if len(seen) < 2:
            return Verdict(False, f"nothing answered it: {how_it_ended(seen)}")
        answer = seen[1]
        if answer.mark & self.bits or answer.detail == self.interface:
            return Verdict(False, f"the answer was {how_it_ended([answer])}")
        return Verdict(
            True,
            f"it came in by {self.interface} and got {self.bits:#x}; the answer had mark "
            f"{answer.mark:#x} and was {answer.ending}",
        )


def _not_there(seen: Seen, spot: Spot) -> Verdict:
    what = "asked for it" if spot.system is System.ROUTING else "taken by it"
    said = f"it was not {what} ({spot}): {how_it_ended(seen[:1])}"
    return Verdict(False, said, is_about_it=False)


def _at(spot: Spot, asked: Met) -> str:
    did = "took it" if asked.matched else "did not take it"
    return f"{spot} {did}, with mark {asked.mark:#x}"
