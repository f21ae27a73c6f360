"""What findings do to packets' ways, each as something that a trace shows or does not show."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.doctor.place import Spot
from netfw.doctor.probing import Seen, Verdict
from netfw.doctor.seen_at import (
    how_it_ended,
    is_in,
    mark_had,
    met,
    not_there,
    routing_words,
    routings,
    step_at,
)
from netfw.traverse.observed import ObservedEnd


@dataclass(frozen=True, slots=True)
class NotRerouted:
    """A writer in OUTPUT marks a packet, and it leaves by the way that it had."""

    writer: Spot
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        step = step_at(seen.first, self.writer)
        if step is None:
            return not_there(seen, self.writer)
        notes = [one.note for one in routings(seen.first) if one.note]
        if not step.mark_after & self.bits or not notes or seen.first.end is not ObservedEnd.SENT:
            return Verdict(False, f"it went where its mark leads: {how_it_ended([seen.first])}")
        return Verdict(True, f"{how_it_ended([seen.first])}, all the same: {notes[0]}")


@dataclass(frozen=True, slots=True)
class ForeignSource:
    """A packet of this host leaves by an interface with the address of another one."""

    interface: str
    sources: frozenset[int]

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        packet = seen.first
        left = packet.end is ObservedEnd.SENT and packet.detail == self.interface
        if not left or packet.packet is None or packet.packet.source not in self.sources:
            return Verdict(False, how_it_ended([seen.first]))
        if packet.translated:
            return Verdict(False, f"it was translated: {packet.translated}")
        said = "; ".join(packet.surprises) or f"{packet.title} {packet.ending}"
        return Verdict(True, f"{packet.ending}: {said}")


@dataclass(frozen=True, slots=True)
class RoutedBefore:
    """A routing rule would take the packet, and an earlier one has answered already."""

    late: Spot
    early: Spot

    def judge(self, seen: Seen) -> Verdict:
        """Whether that is so."""
        late, early = routing_words(self.late), routing_words(self.early)
        for one in routings(seen.first):
            behind = next((rule for rule in one.behind if rule.startswith(late)), "")
            if behind and f"{one.rule} ".startswith(early):
                return Verdict(
                    True,
                    f"routing was asked with mark {one.mark:#x}: {one.rule} answered "
                    f"({one.route}), and {behind} would have matched; "
                    f"{how_it_ended([seen.first])}",
                )
        rules = ", ".join(one.rule or one.route for one in routings(seen.first))
        return Verdict(
            False, f"routing went by {rules or 'nothing'}; {how_it_ended([seen.first])}"
        )


@dataclass(frozen=True, slots=True)
class LeftByDefault:
    """A packet has the mark, and no routing rule reads it."""

    writer: Spot
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether that is so."""
        if step_at(seen.first, self.writer) is None:
            return not_there(seen, self.writer)
        routed = list(routings(seen.first))
        asked = routed[-1] if routed else None
        if asked is None or asked.mark & self.bits != self.bits or asked.reads_mark:
            return Verdict(False, how_it_ended([seen.first]))
        said = f"routing was asked with mark {asked.mark:#x}, and {asked.rule} answered"
        return Verdict(True, f"{said} ({asked.route}); {how_it_ended([seen.first])}")


@dataclass(frozen=True, slots=True)
class LeftElsewhere:
    """A routing rule leads a packet past the link on which its destination is."""

    reader: Spot
    interface: str

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        asked = met(seen.first, self.reader)
        if asked is None or not asked.matched:
            return not_there(seen, self.reader)
        packet = seen.first
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
        if len(seen.packets) <= self.turn:
            return Verdict(False, f"no further packet could be sent: {how_it_ended(seen.packets)}")
        packet = seen.packets[self.turn]
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
class AnswerDropped:
    """A rule drops the answer to a packet."""

    at: Spot

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        if len(seen.packets) < 2:
            said = f"nothing could be answered: {how_it_ended(seen.packets)}"
            return Verdict(False, said, is_about_it=False)
        answer = seen.packets[1]
        step = step_at(answer, self.at)
        if step is None or not answer.end.is_drop or step is not answer.steps[-1]:
            return Verdict(False, f"the answer was {how_it_ended([answer])}")
        return Verdict(
            True,
            f"{seen.first.title} was {how_it_ended([seen.first])}; the answer to it came back "
            f"and was {how_it_ended([answer])}",
        )


@dataclass(frozen=True, slots=True)
class Overruled:
    """A rule accepts a packet, and the end of another chain at the same hook drops it."""

    accepting: Spot
    chain: Spot

    def judge(self, seen: Seen) -> Verdict:
        """Whether that is so."""
        step = step_at(seen.first, self.accepting)
        if step is None:
            return not_there(seen, self.accepting)
        last = seen.first.steps[-1]
        dropped = seen.first.end.is_drop and last.rule == 0
        if not dropped or not is_in(last, self.chain):
            return Verdict(False, how_it_ended([seen.first]))
        return Verdict(
            True,
            f"{self.accepting} accepted it with mark {step.mark_before:#x}, and all the same it "
            f"was {how_it_ended([seen.first])}",
        )


@dataclass(frozen=True, slots=True)
class PassedUnseen:
    """A bridge passes a packet on to another port, and no rule of IP sees it."""

    writer: Spot

    def judge(self, seen: Seen) -> Verdict:
        """Whether it does."""
        if seen.packets:
            met_by = seen.first.steps[0].place if seen.first.steps else "the hooks of IP"
            return Verdict(False, f"it came by {met_by}: {how_it_ended([seen.first])}")
        if not seen.came_out:
            return Verdict(False, "the bridge did not pass it on")
        said = f"it left by {seen.came_out}, and came by no hook of IP on its way"
        return Verdict(True, f"{said}: {self.writer} was not asked")


@dataclass(frozen=True, slots=True)
class WentRound:
    """A packet is routed into a tunnel by its mark, and the one that carries it too."""

    tunnel: str
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it is."""
        packet = seen.first
        if packet.end is not ObservedEnd.SENT or packet.detail != self.tunnel:
            return Verdict(False, how_it_ended([packet]), is_about_it=False)
        if not packet.mark & self.bits:
            said = f"the mark was taken off before {self.tunnel} wrapped it"
            return Verdict(False, f"{said}: {how_it_ended([packet])}")
        sent = any(one.end is ObservedEnd.SENT for one in seen.further)
        if self.tunnel not in seen.collided or sent:
            carrier = how_it_ended(seen.further)
            return Verdict(False, f"{how_it_ended([packet])}; the one that carries it: {carrier}")
        return Verdict(
            True,
            f"it was sent by {self.tunnel} with mark {packet.mark:#x}; the packet that was to "
            f"carry it was routed into {self.tunnel} again ({self.tunnel} counts a collision), "
            "and none was sent",
        )


@dataclass(frozen=True, slots=True)
class CarrierTaken:
    """The packet that carries another one has its mark, and is taken by a rule for that mark."""

    reader: Spot
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether it is."""
        for carrier in seen.further:
            step = step_at(carrier, self.reader)
            if step is not None and step.mark_before & self.bits:
                return Verdict(
                    True,
                    f"the packet that carries it, {carrier.title}, had its mark "
                    f"{step.mark_before:#x}, and {self.reader} took it; {carrier.ending}",
                )
        return Verdict(
            False, f"no packet that carries it had the mark: {how_it_ended(seen.further)}"
        )


@dataclass(frozen=True, slots=True)
class UnmarkedAnswer:
    """What a service answers has no mark, and leaves by another interface than the one by which
    the packet came."""

    interface: str
    bits: int

    def judge(self, seen: Seen) -> Verdict:
        """Whether that is so."""
        if not mark_had(seen.first, self.bits):
            return Verdict(False, f"it came without {self.bits:#x}: {how_it_ended([seen.first])}")
        if len(seen.packets) < 2:
            return Verdict(False, f"nothing answered it: {how_it_ended(seen.packets)}")
        answer = seen.packets[1]
        if answer.mark & self.bits or answer.detail == self.interface:
            return Verdict(False, f"the answer was {how_it_ended([answer])}")
        return Verdict(
            True,
            f"it came in by {self.interface} and got {self.bits:#x}; the answer had mark "
            f"{answer.mark:#x} and was {answer.ending}",
        )
