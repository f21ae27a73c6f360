"""Following packets of a live host until enough were seen, time is over, or somebody ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from netfw.host.connection_mark import ConnectionMarks
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_trace import (
    LiveTrace,
    check_privilege,
    clear_leftover,
    has_legacy_tables,
)
from netfw.host.packets import cookie_of
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Family
from netfw.ir.origin import Origin
from netfw.traverse.observed import (
    Entry,
    ObservedEnd,
    ObservedPacket,
    TraceTotals,
)
from netfw.traverse.packet import Packet
from netfw.traverse.packet_filter import PacketFilter
from netfw.traverse.wire import read_packet
from netfw.verify.flights import Flight, Flights
from netfw.verify.rule_names import RuleNames
from netfw.verify.surprise import Predictor
from netfw.verify.timeline import RoutingPoint, Timeline, TimelineBuilder
from netfw.verify.trace_context import TraceContext

_PAUSE = 0.1
"""Seconds after which packets that are gone are looked for."""
_DRAIN = 0.5
"""Seconds in which packets that are on their way may end, once time is over."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be followed and shown: ``mark`` and ``dropped`` choose among what was followed.

    ``count`` 0 is no limit; ``rate`` in packets a second, 0 for no limit; ``seconds`` at most.
    ``cookie`` means the one packet of netfw's own that carries this number; 0 is any packet.
    """

    packets: PacketFilter
    count: int = 0
    seconds: float = 10.0
    rate: int = 100
    mark: MaskedWord | None = None
    dropped: bool = False
    cookie: int = 0


class Follower:
    """Follows packets of a namespace; a context manager that leaves nothing behind."""

    def __init__(
        self,
        namespace: LiveNamespace,
        wish: Wish,
        origin_of: Callable[[str], Origin | None] = lambda _: None,
    ) -> None:
        check_privilege(namespace)
        self.wish = wish
        self.endings = 0
        """Set from outside: 1 ends the trace early, 2 leaves out what still waits to be told."""
        left = clear_leftover(namespace)
        # all is looked at before the first packet is chosen
        self._names = RuleNames.read(namespace, origin_of)
        self._namespace = namespace
        self._context = TraceContext(
            namespace, self._names.all_rules, has_legacy=has_legacy_tables(namespace)
        )
        self._marks = ConnectionMarks(namespace)
        self._predictors: dict[Family, Predictor | None] = {}
        self._builder = TimelineBuilder(self._names, self._names.hooks)
        self._flights = Flights(self._context.loopback)
        try:
            self._trace = LiveTrace(namespace, wish.packets, rate=wish.rate, seconds=wish.seconds)
        except BaseException:
            self._marks.close()
            raise
        self._began = time.monotonic()
        self._wall = time.time() - self._began
        self._shown = self._met = 0
        self._lost = 0
        self.notes = [
            note for note in (left, *self._names.problems, *self._context.problems) if note
        ]

    def packets(self) -> Iterator[ObservedPacket]:
        """Packets as their ways end; ends by itself."""
        deadline = self._began + self.wish.seconds
        while not self.endings and time.monotonic() < deadline:
            left = deadline - time.monotonic()
            yield from self._some(min(_PAUSE, max(left, 0)))
            if self._is_enough():
                break
        self._trace.stop_choosing()
        # nothing new is chosen; what waits is read, and what is on its way may end
        until = time.monotonic() + _DRAIN
        while not self._is_told() and (
            self._trace.has_more or (self._flights.open and time.monotonic() < until)
        ):
            yield from self._some(0.02)
        if not self._is_told():
            for flight in self._flights.take_ended(time.monotonic(), all_of_them=True):
                yield from self._show(flight, cut=True)
        self._lost = self._trace.lost

    def poll(self, seconds: float) -> list[ObservedPacket]:
        """Packets whose ways have ended by now; waits up to ``seconds`` for events."""
        return list(self._some(seconds))

    @property
    def is_on_the_way(self) -> bool:
        """Whether events wait, or packets were seen of which more may come."""
        return self._trace.has_more or bool(self._flights.open)

    @property
    def lost(self) -> int:
        """How many events the kernel could not hand over so far."""
        return self._trace.lost

    @property
    def is_behind(self) -> bool:
        """Whether more events wait than could be looked at so far."""
        return self._trace.has_more

    def _is_told(self) -> bool:
        return self.endings > 1 or self._is_enough()

    def _is_enough(self) -> bool:
        return bool(self.wish.count) and self._shown >= self.wish.count

    def _some(self, seconds: float) -> Iterator[ObservedPacket]:
        events = self._trace.read(seconds)
        now = time.monotonic()
        self._flights.add(events, now)
        lost = self._trace.lost
        if lost != self._lost:
            self._lost = lost
            self._flights.doubt()
        if self._trace.has_more:
            # the queue first: what is gone is told from what waits to be read
            ended = self._flights.take_ended(0.0)
        else:
            ended = self._flights.take_ended(now)
        for flight in ended:
            yield from self._show(flight)

    def _show(self, flight: Flight, *, cut: bool = False) -> Iterator[ObservedPacket]:
        self._met += 1
        if self._is_enough() or not self._is_wanted(flight):
            return
        packet = self._observed(flight, cut=cut)
        wish = self.wish
        if wish.mark is not None and not any(map(wish.mark.matches, packet.marks)):
            return
        if wish.dropped and not packet.end.is_drop:
            return
        leaves_by = wish.packets.leaves_by
        if leaves_by and packet.end is ObservedEnd.SENT and packet.detail != leaves_by:
            return
        self._shown += 1
        yield replace(packet, number=self._shown)

    def _is_wanted(self, flight: Flight) -> bool:
        cookie = self.wish.cookie
        if not cookie:
            return True
        return cookie_of(flight.family, flight.network, flight.transport) == cookie

    def _observed(self, flight: Flight, *, cut: bool) -> ObservedPacket:
        first = flight.events[0]
        came_by = self._context.name(first.iif)
        packet = _packet_of(flight, came_by)
        way = self._builder.build(
            flight, lambda _, step, where: self._context.suspects(came_by, step, where)
        )
        end, detail = way.end, ""
        evidence: tuple[str, ...] = ()
        if end is ObservedEnd.SENT:
            detail = self._context.name(way.left_by)
            evidence = () if packet is None else self._context.carried(packet, way)
        elif end is ObservedEnd.VANISHED and cut:
            end, detail = ObservedEnd.UNKNOWN, "the trace ended before the packet did"
        elif end is ObservedEnd.VANISHED and not flight.unsure:
            gone = self._context.why_gone(packet, way)
            detail, evidence = gone.why, gone.evidence
        unsure = ""
        if flight.unsure:
            unsure = "events were lost while it was on its way"
            if way.end is ObservedEnd.VANISHED:
                end = ObservedEnd.UNKNOWN
        elif flight.twin and self._trace.follows_legacy:
            unsure = "another packet with the same headers was on its way at the same time"
        elif cut and end is ObservedEnd.UNKNOWN:
            unsure = detail
        # behind why_gone: what is asked here goes into the kernel's counters too
        entries = tuple(self._complete(packet, way))
        title = str(packet) if packet is not None else f"{flight.family} packet"
        observed = ObservedPacket(
            0,
            flight.began + self._wall,
            flight.family,
            packet,
            title,
            entries,
            end,
            detail,
            way.mark,
            evidence,
            _translated(packet, way),
            surprises=() if packet is None else self._context.strange(packet, way),
            unsure=unsure,
            headers=flight.network + flight.transport,
            length=_length(flight),
        )
        return observed if unsure or packet is None else self._compared(observed, packet, way)

    def _compared(self, seen: ObservedPacket, packet: Packet, way: Timeline) -> ObservedPacket:
        """The packet with its connection's mark, and with what the model says of it."""
        if self._trace.has_more:
            # so many packets come that their events wait: those come first
            return replace(seen, prediction="none: too many packets at once")
        mark = self._marks.of(packet)
        if mark is not None:
            seen = replace(seen, connection=f"mark {mark:#x} (read when the packet had gone)")
        predictor = self._predictor(packet.family)
        if predictor is None:
            return seen
        leaves_by = self._context.name(way.left_by)
        return predictor.compare(seen, way.state, mark or 0, leaves_by)

    def _predictor(self, family: Family) -> Predictor | None:
        if family not in self._predictors:
            facts = self._context.facts.get(family)
            rules = self._names.rules(family)
            self._predictors[family] = (
                None if facts is None or rules is None else Predictor(rules, facts)
            )
        return self._predictors[family]

    def _complete(self, packet: Packet | None, way: Timeline) -> Iterator[Entry]:
        """The entries, with what routing did."""
        for entry in way.entries:
            if not isinstance(entry, RoutingPoint):
                yield entry
            elif packet is not None:
                seen = self._context.routing(packet, way, entry)
                if seen is not None:
                    yield seen

    def totals(self) -> TraceTotals:
        """What was done in all, once the packets have been given out."""
        matched, followed = self._trace.counts
        bridges = self._context.bridges
        if not matched and bridges:
            self.notes.append(
                f"no packet matched; what only passes through {', '.join(bridges)} meets no IP "
                "hook unless bridge-nf-call-iptables is on"
            )
        lost = [f"the kernel lost {self._lost} trace events"] if self._lost else []
        if self._lost and followed > self._met:
            lost.append(f"of {followed - self._met} packets that were followed nothing was seen")
        if self._trace.taken_away:
            lost.append(
                "somebody took the trace's table away while it ran (a flush of the ruleset)"
            )
        return TraceTotals(
            self._shown,
            matched,
            followed,
            time.monotonic() - self._began,
            "; ".join(lost),
            tuple(self.notes),
        )

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._trace.__exit__(*exception)
        finally:
            self._marks.close()


def _packet_of(flight: Flight, came_by: str) -> Packet | None:
    first = flight.events[0]
    try:
        return read_packet(flight.network + flight.transport, came_by, first.mark)
    except ValueError:
        return None


def _translated(packet: Packet | None, way: Timeline) -> str:
    """The packet as it was at the end, where addresses or ports are others than at first."""
    if packet is None or not way.network:
        return ""
    try:
        last = read_packet(way.network + way.transport, packet.in_interface)
    except ValueError:
        return ""
    return "" if str(last) == str(packet) else str(last)


def _length(flight: Flight) -> int:
    """The length of the whole packet, in bytes."""
    network = flight.network
    if network[0] >> 4 == 4:
        return int.from_bytes(network[2:4], "big")
    return 40 + int.from_bytes(network[4:6], "big")
