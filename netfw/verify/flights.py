"""Trace events sorted by the packet that they are of.

nf_tables gives each packet a number, which stays through the hooks and through NAT; events of the
legacy tables have none, and are told by what NAT leaves alone in the headers: identification or
flow label, length, and the parts of the transport header that are neither port nor checksum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from netfw.host.trace import TraceEvent
from netfw.host.trace_table import ARRIVES, CHOOSE, DELIVERED, LEAVES, SENT, TABLE
from netfw.ir.names import Family
from netfw.ir.protocols import ICMP, ICMPV6, TCP, UDP, UDPLITE

_CHOOSING = frozenset({CHOOSE, ARRIVES, LEAVES})
_INET = 1
QUIET = 0.4
"""Seconds without an event after which a packet is taken to be gone."""
QUIET_IN_QUEUE = 3.0
"""The same for a packet that a process holds."""


@dataclass(slots=True, eq=False)
class Flight:
    """The events of one packet, in order; ``began`` and ``last`` are the reader's clock."""

    family: Family
    key: bytes
    network: bytes
    transport: bytes
    began: float
    last: float
    events: list[TraceEvent] = field(default_factory=list)
    ids: set[int] = field(default_factory=set)
    ended: bool = False
    """Whether the last event leaves nothing to come."""
    twin: bool = False
    """Whether another packet with the same headers was on its way at the same time."""
    unsure: bool = False
    """Whether events were lost while it was on its way."""


class Flights:
    """Takes events in, and gives out packets whose way has ended."""

    def __init__(self, loopback: int) -> None:
        self._loopback = loopback
        self._by_id: dict[int, Flight] = {}
        self._by_key: dict[tuple[Family, bytes], Flight] = {}
        self._headers: dict[int, tuple[bytes, bytes]] = {}
        self.open: list[Flight] = []
        self.events = 0

    def add(self, events: Iterable[TraceEvent], now: float) -> None:
        """Take events in, in the order in which the kernel sent them."""
        for event in events:
            self.events += 1
            if event.packet_id is None:
                self._add_legacy(event, now)
            else:
                self._add_nft(event, event.packet_id, now)

    def doubt(self) -> None:
        """Events were lost: nobody knows of which packet."""
        for flight in self.open:
            flight.unsure = True

    def take_ended(self, now: float, *, all_of_them: bool = False) -> list[Flight]:
        """The packets whose way has ended, each once, in the order in which they came."""
        done, left = [], []
        for flight in self.open:
            if all_of_them or flight.ended or now - flight.last > _patience(flight):
                done.append(flight)
            else:
                left.append(flight)
        if done:
            self.open = left
            for flight in done:
                self._forget(flight)
        return done

    def _forget(self, flight: Flight) -> None:
        for packet_id in flight.ids:
            if self._by_id.get(packet_id) is flight:
                del self._by_id[packet_id]
        key = (flight.family, flight.key)
        if self._by_key.get(key) is flight:
            del self._by_key[key]

    def _add_legacy(self, event: TraceEvent, now: float) -> None:
        key = key_of(event.family, event.network, event.transport)
        flight = self._by_key.get((event.family, key))
        if flight is not None and not flight.ended:
            flight.events.append(event)
            flight.last = now

    def _add_nft(self, event: TraceEvent, packet_id: int, now: float) -> None:
        is_own = event.table == TABLE and event.table_family == _INET
        if is_own and event.chain in _CHOOSING:
            self._choose(event, packet_id, now)
            return
        flight = self._by_id.get(packet_id)
        if (flight is None or flight.ended) and event.network:
            key = key_of(event.family, event.network, event.transport)
            flight = self._by_key.get((event.family, key))
            if flight is not None and not flight.ended:
                self._join(flight, packet_id)
        if flight is None or flight.ended:
            return
        flight.events.append(event)
        flight.last = now
        if event.verdict == "drop" or (is_own and event.chain == DELIVERED):
            flight.ended = True
        elif is_own and event.chain == SENT:
            flight.ended = event.oif != self._loopback

    def _choose(self, event: TraceEvent, packet_id: int, now: float) -> None:
        """An event of the chains that choose packets: each packet begins there."""
        if event.network:
            self._headers[packet_id] = (event.network, event.transport)
            if event.iif == self._loopback and self._comes_back(event, packet_id, now):
                return
        if event.chain != CHOOSE or event.number is None:
            return
        known = self._by_id.get(packet_id)
        if known is not None and not known.ended:
            return
        network, transport = self._headers.pop(packet_id, (b"", b""))
        if not network:
            return
        key = key_of(event.family, network, transport)
        flight = Flight(event.family, key, network, transport, now, now)
        twin = self._by_key.get((event.family, key))
        if twin is not None and not twin.ended:
            twin.twin = flight.twin = True
        flight.events.append(event._replace(network=network, transport=transport))
        self._by_key[event.family, key] = flight
        self.open.append(flight)
        self._join(flight, packet_id)

    def _comes_back(self, event: TraceEvent, packet_id: int, now: float) -> bool:
        """Whether this is a packet that has been sent by lo, as it comes in again."""
        key = key_of(event.family, event.network, event.transport)
        flight = self._by_key.get((event.family, key))
        if flight is None or flight.ended or packet_id in flight.ids:
            return False
        last = flight.events[-1]
        if last.table != TABLE or last.chain != SENT:
            return False
        self._join(flight, packet_id)
        flight.events.append(event)
        flight.last = now
        return True

    def _join(self, flight: Flight, packet_id: int) -> None:
        flight.ids.add(packet_id)
        self._by_id[packet_id] = flight


def _patience(flight: Flight) -> float:
    held = flight.events[-1].verdict in ("queue", "stolen")
    return QUIET_IN_QUEUE if held else QUIET


def key_of(family: Family, network: bytes, transport: bytes) -> bytes:
    """What stays of a packet's headers through all hooks."""
    if family is Family.IPV4:
        protocol = network[9] if len(network) > 9 else 0
        fixed = network[2:6]
    else:
        protocol = network[6] if len(network) > 6 else 0
        fixed = network[1:6]
        # the traffic class may be changed on the way
        fixed = bytes([fixed[0] & 0x0F]) + fixed[1:] if fixed else b""
    head = transport[:20]
    if protocol == TCP:
        kept = head[4:12] + head[13:14]
    elif protocol in (UDP, UDPLITE):
        kept = head[4:6] + head[8:]
    elif protocol in (ICMP, ICMPV6):
        kept = head[:2] + head[6:8]
    else:
        kept = head[:4] if protocol == 0 else head
    return bytes([protocol]) + fixed + kept
