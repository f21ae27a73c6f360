"""What findings do to marks, each as something that a trace shows or does not show."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.doctor.place import Spot
from netfw.doctor.probing import Seen, Verdict
from netfw.doctor.seen_at import at, how_it_ended, is_at, mark_had, met, not_there, step_at
from netfw.traverse.traversal import Outcome

_ENDS = frozenset({Outcome.ACCEPT, Outcome.DROP, Outcome.REJECT, Outcome.QUEUE})


@dataclass(frozen=True, slots=True)
class BitsLost:
    """A rule takes bits away that the packet came with; ``reader`` asks for them behind it."""

    at: Spot
    bits: int
    reader: Spot | None = None

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        steps = [step for step in seen.first.steps if is_at(step, self.at)]
        if not steps:
            return not_there(seen, self.at)
        # a packet may come by twice
        step = next(
            (one for one in steps if one.mark_before & ~one.mark_after & self.bits), steps[0]
        )
        before, after = step.mark_before & self.bits, step.mark_after & self.bits
        change = f"mark {step.mark_before:#x} -> {step.mark_after:#x} at {self.at}"
        lost = before & ~after
        if not lost:
            said = "left the bits alone" if before else f"it came there without {self.bits:#x}"
            return Verdict(False, f"{said}: {change}")
        asked = None if self.reader is None else met(seen.first, self.reader)
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
        asked = met(seen.first, self.reader)
        if asked is None:
            return not_there(seen, self.reader)
        if self.behind is not None and step_at(seen.first, self.behind) is None:
            return not_there(seen, self.behind)
        if asked.matched:
            return Verdict(False, f"{self.reader} took it, with mark {asked.mark:#x}")
        if asked.mark & self.has != self.has:
            said = f"{self.reader} did not take it, but it had mark {asked.mark:#x} there"
            return Verdict(False, said)
        if self.lacks and asked.mark & self.lacks == self.lacks:
            said = f"it had {self.lacks:#x} when it came to {self.reader}: mark {asked.mark:#x}"
            return Verdict(False, said)
        end = how_it_ended([seen.first])
        return Verdict(
            True, f"{self.reader} was asked with mark {asked.mark:#x} and did not take it; {end}"
        )


@dataclass(frozen=True, slots=True)
class TakenWithout:
    """A reader for packets that lack bits is asked about one that lacks them."""

    reader: Spot
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it is, and takes it."""
        asked = met(seen.first, self.reader)
        if asked is None:
            return not_there(seen, self.reader)
        if not asked.matched or asked.mark & self.bits:
            return Verdict(False, at(self.reader, asked))
        return Verdict(True, f"{at(self.reader, asked)}; {how_it_ended([seen.first])}")


@dataclass(frozen=True, slots=True)
class Matched:
    """A reader takes a packet whose mark is ``mark``, which is not the one that it names."""

    reader: Spot
    mark: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        asked = met(seen.first, self.reader)
        if asked is None:
            return not_there(seen, self.reader)
        if not asked.matched or asked.mark != self.mark:
            return Verdict(False, at(self.reader, asked))
        return Verdict(
            True,
            f"{self.reader} took a packet with mark {asked.mark:#x}; {how_it_ended([seen.first])}",
        )


@dataclass(frozen=True, slots=True)
class ReadTooEarly:
    """A reader is asked before the writer has set the bits."""

    reader: Spot
    writer: Spot
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it decided without them, or the writer set them behind it."""
        packet = seen.first
        asked = met(packet, self.reader)
        if asked is None:
            return not_there(seen, self.reader)
        if asked.mark & self.bits:
            return Verdict(False, f"the bits were there: {at(self.reader, asked)}")
        if (
            asked.matched
            and packet.end.is_drop
            and step_at(packet, self.reader) is packet.steps[-1]
        ):
            said = f"{self.reader} was met with mark {asked.mark:#x}, and {packet.ending}"
            return Verdict(True, said)
        later = step_at(packet, self.writer)
        if later is None or not later.mark_after & self.bits:
            return Verdict(False, f"{self.writer} did not mark it; {how_it_ended([seen.first])}")
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
        step, asked = step_at(seen.first, self.writer), met(seen.first, self.reader)
        if step is None:
            return not_there(seen, self.writer)
        if asked is None or asked.matched or not step.mark_after & self.bits:
            said = "was not asked" if asked is None else at(self.reader, asked)
            return Verdict(False, f"{said}; {how_it_ended([seen.first])}")
        return Verdict(
            True,
            f"routing was asked with mark {asked.mark:#x}, so {self.reader} did not take it; "
            f"{self.writer} marked it behind that: mark {step.mark_before:#x} -> "
            f"{step.mark_after:#x}; {how_it_ended([seen.first])}",
        )


@dataclass(frozen=True, slots=True)
class FirstOnly:
    """A writer marks the first packet of a connection, and the second one has no mark."""

    writer: Spot
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether that is so."""
        step = step_at(seen.first, self.writer)
        if step is None:
            return not_there(seen, self.writer)
        if len(seen.packets) < 2:
            return Verdict(False, f"no second packet could be sent: {how_it_ended(seen.packets)}")
        if mark_had(seen.packets[1], self.bits):
            return Verdict(
                False, f"the second packet had {self.bits:#x} too: {seen.packets[1].ending}"
            )
        return Verdict(
            True,
            f"the first packet got {self.bits:#x} from {self.writer} and was {seen.first.ending}; "
            "the second one of the same connection did not come by there: "
            f"{how_it_ended(seen.packets)}",
        )


@dataclass(frozen=True, slots=True)
class DecidedByOthers:
    """A rule decides about a packet by bits that somebody else's rule has set."""

    reader: Spot
    writer: Spot | None
    """None where the packet begins with them."""
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        decided = step_at(seen.first, self.reader)
        wrote = None if self.writer is None else step_at(seen.first, self.writer)
        if wrote is None and self.writer is not None:
            return not_there(seen, self.writer)
        if decided is None or decided.mark_before & self.bits != self.bits:
            return Verdict(False, f"{self.reader} did not take it; {how_it_ended([seen.first])}")
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
        step = step_at(seen.first, self.ending)
        if step is None:
            return not_there(seen, self.ending)
        if step.outcome not in _ENDS:
            said = f"{self.ending} did not end the chain ({step.outcome.value})"
            return Verdict(False, f"{said}; {how_it_ended([seen.first])}")
        if (
            step_at(seen.first, self.writer) is not None
            or seen.first.mark & self.bits == self.bits
        ):
            return Verdict(False, f"it was marked all the same: {how_it_ended([seen.first])}")
        return Verdict(
            True,
            f"{self.ending} ended the chain ({step.outcome.value}) with mark "
            f"{step.mark_after:#x}, and {self.writer} was not asked; {how_it_ended([seen.first])}",
        )


@dataclass(frozen=True, slots=True)
class LegacyWrote:
    """A legacy rule changes the mark of a packet that rules of nf_tables see too."""

    spots: tuple[Spot, ...]

    def judge(self, seen: Seen) -> Verdict:
        """Whether one does."""
        steps = [step for spot in self.spots if (step := step_at(seen.first, spot)) is not None]
        if not steps:
            return not_there(seen, self.spots[0])
        for step in steps:
            change = f"mark {step.mark_before:#x} -> {step.mark_after:#x} at {step.place}"
            if step.mark_before != step.mark_after and any(
                one.backend == "nft" for one in seen.first.steps
            ):
                return Verdict(True, f"{change}, which no tool of nft shows")
        return Verdict(False, f"the mark stayed {steps[0].mark_after:#x} at {steps[0].place}")


@dataclass(frozen=True, slots=True)
class OldMarkBack:
    """A packet of a connection that the host has gets an old mark; one of a new one does not."""

    reader: Spot
    mark: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether that is so."""
        step = step_at(seen.first, self.reader)
        if step is None or step.mark_after & self.mark != self.mark:
            return Verdict(
                False, f"{self.reader} gave it no {self.mark:#x}: {how_it_ended([seen.first])}"
            )
        if len(seen.packets) < 2:
            return Verdict(False, "no packet of another connection could be sent")
        new = seen.packets[1]
        if mark_had(new, self.mark):
            return Verdict(
                False, f"a new connection has {self.mark:#x} too: {how_it_ended([new])}"
            )
        change = f"mark {step.mark_before:#x} -> {step.mark_after:#x}"
        return Verdict(
            True,
            f"{self.reader} gave a packet of the connection that is there its old mark back "
            f"({change}): {seen.first.ending}; one of a new connection was {how_it_ended([new])}",
        )
