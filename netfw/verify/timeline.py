"""Trace events of one packet as a timeline: rules, marks, and who else changed the mark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from netfw.host.trace import EventKind, TraceEvent
from netfw.host.trace_table import (
    ARRIVES,
    CHOOSE,
    DELIVERED,
    FORWARDED,
    LEAVES,
    OUT,
    ROUTED,
    SENT,
    TABLE,
)
from netfw.ir.names import Backend, Hook
from netfw.ir.target import Reject, SetMark, UnknownTarget
from netfw.traverse.observed import Entry, ObservedEnd, ObservedStep, OutsideChange
from netfw.traverse.traversal import Outcome
from netfw.verify.flights import Flight
from netfw.verify.observe import NFT_OUTCOMES, TARGET_OUTCOMES
from netfw.verify.rule_names import NamedRule, RuleNames

_HOOKS = {hook.value: hook for hook in Hook}
_HOOK_OF_POINT = {
    CHOOSE: None,
    ARRIVES: Hook.PREROUTING,
    LEAVES: Hook.OUTPUT,
    ROUTED: Hook.PREROUTING,
    DELIVERED: Hook.INPUT,
    FORWARDED: Hook.FORWARD,
    OUT: Hook.OUTPUT,
    SENT: Hook.POSTROUTING,
}
_POINT_TEXT = {
    CHOOSE: "the first rule",
    ARRIVES: "the first rule",
    ROUTED: "the end of PREROUTING",
    DELIVERED: "the end of INPUT",
    FORWARDED: "the beginning of FORWARD",
    OUT: "the end of OUTPUT",
    SENT: "the end of POSTROUTING",
}
_INET = 1
_END_OF = {
    Outcome.DROP: ObservedEnd.DROPPED,
    Outcome.REJECT: ObservedEnd.REJECTED,
    Outcome.QUEUE: ObservedEnd.QUEUED,
}
SOCKET, FIRST_HOOK = "the socket", "the first hook"
"""Where a packet begins whose mark is set already."""
Suspects = Callable[[Hook | None, ObservedStep | None, str], tuple[str, ...]]
"""Who may have written the mark at a hook, behind a step, before what is named."""


@dataclass(frozen=True, slots=True)
class RoutingPoint:
    """Where routing asked for the packet's way: before OUTPUT (LEAVES), behind it (OUT), or behind
    PREROUTING (ROUTED), with the network header as it was then and the interface (0: none)."""

    point: str
    mark: int
    network: bytes
    left_by: int


@dataclass(slots=True)
class Timeline:
    """A packet's way so far. ``points`` are the places of netfw's own that it passed, ``came_by``
    and ``left_by`` numbers of interfaces (0: none). ``network`` and ``transport`` are its headers
    as they were last seen."""

    entries: list[Entry | RoutingPoint] = field(default_factory=list)
    network: bytes = b""
    transport: bytes = b""
    mark: int = 0
    hook: Hook | None = None
    points: list[str] = field(default_factory=list)
    is_local: bool = False
    came_by: int = 0
    left_by: int = 0
    forwarded_by: int = 0
    state: int | None = None
    end: ObservedEnd = ObservedEnd.VANISHED

    @property
    def last_step(self) -> ObservedStep | None:
        """The last rule, or end of a chain, that was seen."""
        steps = [entry for entry in self.entries if isinstance(entry, ObservedStep)]
        return steps[-1] if steps else None


class TimelineBuilder:
    """Builds timelines with the names of a namespace's rules."""

    def __init__(self, names: RuleNames, hooks: Mapping[tuple[str, str, str], str]) -> None:
        self._names = names
        self._hooks = hooks

    def build(self, flight: Flight, suspects: Suspects) -> Timeline:
        """The way of a packet, without what routing and the host say of it."""
        way = Timeline()
        first = flight.events[0]
        way.is_local = first.iif == 0
        way.came_by = first.iif
        way.hook = Hook.OUTPUT if way.is_local else Hook.PREROUTING
        way.mark = first.mark
        if first.mark:
            writers = suspects(None, None, SOCKET if way.is_local else FIRST_HOOK)
            way.entries.append(OutsideChange(0, first.mark, "", writers))
        if way.is_local:
            way.entries.append(RoutingPoint(LEAVES, first.mark, first.network, first.oif))
        for event in flight.events:
            if event.state is not None:
                way.state = event.state
            if event.network:
                way.network, way.transport = event.network, event.transport
            if event.packet_id is None:
                self._legacy(way, event, suspects)
            elif event.table == TABLE and event.table_family == _INET:
                self._point(way, event, suspects)
            else:
                self._nft(way, event, suspects)
        way.end = _end_of(way)
        return way

    def _point(self, way: Timeline, event: TraceEvent, suspects: Suspects) -> None:
        """One of netfw's own chains: where the packet is, and with which mark."""
        if event.number is None and event.kind is EventKind.RULE:
            return
        self._meet(way, event.mark, _POINT_TEXT.get(event.chain, event.chain), suspects)
        hook = _HOOK_OF_POINT.get(event.chain)
        if event.chain == CHOOSE:
            return
        way.hook = hook or way.hook
        way.points.append(event.chain)
        if event.chain in (OUT, SENT, FORWARDED):
            way.left_by = event.oif
        if event.chain == FORWARDED:
            way.forwarded_by = event.oif
        if event.chain in (ROUTED, OUT):
            point = RoutingPoint(event.chain, event.mark, event.network, event.oif)
            way.entries.append(point)

    def _meet(self, way: Timeline, mark: int, where: str, suspects: Suspects) -> None:
        """The mark as it is at the next thing seen: if it is another one, somebody wrote it."""
        if mark == way.mark:
            return
        if way.entries:
            last = way.entries[-1]
            if isinstance(last, ObservedStep) and last.backend == "legacy" and last.may_write:
                way.entries[-1] = replace(last, mark_after=mark)
                way.mark = mark
                return
        step = way.last_step
        behind = f"{step.place}" if step is not None else "its begin"
        writers = suspects(way.hook, step, where)
        change = OutsideChange(way.mark, mark, f"between {behind} and {where}", writers)
        way.entries.append(change)
        way.mark = mark

    def _nft(self, way: Timeline, event: TraceEvent, suspects: Suspects) -> None:
        family = {1: "inet", 2: "ip", 10: "ip6"}.get(event.table_family, "")
        of_iptables = family != "inet" and self._names.is_of_iptables(
            event.family, Backend.NFT, event.table
        )
        table = event.table if of_iptables else f"{family} {event.table}"
        hook = self._hooks.get((family, event.table, event.chain), "").upper()
        is_base = bool(hook)
        way.hook = _HOOKS.get(hook, way.hook)
        way.left_by = event.oif or way.left_by
        number, named = 0, None
        outcome = NFT_OUTCOMES.get(event.verdict or "", Outcome.CONTINUE)
        if event.kind is EventKind.RULE:
            if event.number is None:
                if is_base:
                    return
                outcome = Outcome.RETURN
            else:
                named = self._names.nft(
                    event.family, event.table_family, event.table, event.chain, event.number
                )
                number = -1 if named is None else named.number
        text = "" if named is None else named.text
        if outcome is Outcome.DROP and named is not None and _rejects(named):
            outcome = Outcome.REJECT
        writes = number < 0 or (named is not None and named.writes_mark)
        if event.mark != way.mark and not writes:
            where = f"nft {table} {event.chain}"
            self._meet(way, event.mark, f"{where} rule {number}" if number else where, suspects)
        before = way.mark
        if writes and named is not None and named.rule is not None:
            before = self._before(way, named, event.mark, suspects, table, event.chain)
        way.entries.append(
            ObservedStep(
                way.hook,
                "nft",
                table,
                event.chain,
                number,
                text,
                None if named is None else named.origin,
                outcome,
                before,
                event.mark,
                event.jump,
                of_iptables,
                writes,
            )
        )
        way.mark = event.mark

    def _before(
        self,
        way: Timeline,
        named: NamedRule,
        after: int,
        suspects: Suspects,
        table: str,
        chain: str,
    ) -> int:
        """The mark before a rule that wrote it: where the rule alone cannot have made it what it
        is, somebody else wrote it before."""
        assert named.rule is not None
        target = named.rule.target
        if not isinstance(target, SetMark) or target.mark.set_on(way.mark) == after:
            return way.mark
        mask = target.mark.mask
        # what the rule keeps shows what was there; of the bits that it sets nothing is known
        kept = after & ~mask & 0xFFFFFFFF
        found = kept | (way.mark & mask)
        if target.mark.set_on(found) != after:
            return way.mark
        self._meet(way, found, f"nft {table} {chain} rule {named.number}", suspects)
        return found

    def _legacy(self, way: Timeline, event: TraceEvent, suspects: Suspects) -> None:
        where = f"legacy {event.table} {event.chain}"
        self._meet(way, event.mark, where, suspects)
        way.hook = event.hook or way.hook
        way.left_by = event.oif or way.left_by
        number = event.number or 0
        named = self._names.legacy(event.family, event.table, event.chain, number)
        if named is not None and named.rule is not None:
            target = named.rule.target
            outcome = TARGET_OUTCOMES.get(type(target), Outcome.CONTINUE)
            if isinstance(target, UnknownTarget) and "QUEUE" in target.name:
                outcome = Outcome.QUEUE
        elif event.chain in _HOOKS:
            drops = self._names.drops_at_end(event.family, event.table, event.chain)
            number, outcome = 0, Outcome.DROP if drops else Outcome.ACCEPT
        else:
            number, outcome = 0, Outcome.RETURN
        chain = getattr(named.rule.target, "chain", "") if named and named.rule else ""
        way.entries.append(
            ObservedStep(
                way.hook,
                "legacy",
                event.table,
                event.chain,
                number,
                "" if named is None else named.text,
                None if named is None else named.origin,
                outcome,
                event.mark,
                event.mark,
                chain if outcome in (Outcome.JUMP, Outcome.GOTO) else "",
                True,
                named is not None and named.writes_mark,
            )
        )


def _rejects(named: NamedRule) -> bool:
    if named.rule is not None:
        return isinstance(named.rule.target, Reject)
    return named.text.split()[-1:] == ["reject"] or " reject with " in f" {named.text} "


def _end_of(way: Timeline) -> ObservedEnd:
    step = way.last_step
    last = way.points[-1] if way.points else ""
    if step is not None and step.outcome in _END_OF and way.entries[-1] is step:
        return _END_OF[step.outcome]
    if last == DELIVERED:
        return ObservedEnd.DELIVERED
    if last == SENT:
        return ObservedEnd.SENT
    return ObservedEnd.VANISHED
