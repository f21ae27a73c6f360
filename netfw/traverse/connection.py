"""A model of connection tracking: enough of it to say a packet's state and its translation.

Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_proto_*.c, nf_nat_core.c (Linux 6.12).
Not modelled: time-outs, TCP windows, expectations of helpers, zones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.ir.protocols import ICMP, ICMPV6, TCP
from netfw.traverse import tcp_states
from netfw.traverse.packet import ACK, Packet
from netfw.traverse.tcp_states import Segment, TcpTrack, TcpVerdict

_ECHO_REPLY = {ICMP: {8: 0, 0: 8}, ICMPV6: {128: 129, 129: 128}}
ICMP_NEW = {ICMP: frozenset({8, 13, 15, 17}), ICMPV6: frozenset({128, 139})}
"""ICMP types that may begin a connection (valid_new in nf_conntrack_proto_icmp*.c)."""
ICMP_ERRORS = {ICMP: frozenset({3, 4, 5, 11, 12}), ICMPV6: frozenset({1, 2, 3, 4})}
ICMPV6_NEVER_TRACKED = frozenset({130, 131, 132, 143, 133, 134, 135, 136, 137})
"""MLD, neighbour discovery and redirects are UNTRACKED (noct_valid_new in
nf_conntrack_proto_icmpv6.c)."""


UNKNOWN_PORT = -1
"""In place of a port, or an echo identifier, that the kernel picks by chance."""


class Tuple(NamedTuple):
    """The addresses of one direction. For ICMP echo, ``source_port`` is the identifier and
    ``destination_port`` type and code."""

    family: Family
    protocol: int
    source: int
    source_port: int
    destination: int
    destination_port: int

    def inverted(self) -> Tuple:
        """The tuple of the answer."""
        family, protocol, source, source_port, destination, destination_port = self
        if protocol in _ECHO_REPLY:
            answer = _ECHO_REPLY[protocol].get(destination_port >> 8)
            # the code stays as it is (nf_conntrack_invert_icmp_tuple)
            kind = destination_port if answer is None else answer << 8 | destination_port & 0xFF
            return Tuple(family, protocol, destination, source_port, source, kind)
        return Tuple(family, protocol, destination, destination_port, source, source_port)


@dataclass(slots=True, eq=False)
class Connection:
    """A connection: both directions, its mark, and what has happened to it."""

    original: Tuple
    reply: Tuple
    mark: int = 0
    seen_reply: bool = False
    confirmed: bool = False
    source_nat_done: bool = False
    destination_nat_done: bool = False
    tcp: frozenset[TcpTrack] = frozenset()
    """Where it stands, for TCP: one of these."""
    doubt: str = ""
    """Why its further packets cannot be foretold; empty where they can."""

    @property
    def has_source_nat(self) -> bool:
        """Whether replies go to another address or port than the original source."""
        mine, theirs = self.original, self.reply
        return (mine.source, _own_port(mine)) != (theirs.destination, _far_port(theirs, mine))

    @property
    def has_destination_nat(self) -> bool:
        """Whether replies come from another address or port than the original destination."""
        if self.original.protocol in _ECHO_REPLY:
            return self.original.destination != self.reply.source
        return (self.original.destination, self.original.destination_port) != (
            self.reply.source,
            self.reply.source_port,
        )


def _own_port(mine: Tuple) -> int:
    return mine.source_port


def _far_port(theirs: Tuple, mine: Tuple) -> int:
    return theirs.source_port if mine.protocol in _ECHO_REPLY else theirs.destination_port


@dataclass(slots=True)
class Tracked:
    """What conntrack says of one packet."""

    connection: Connection | None
    state: ConnectionState
    is_reply: bool = False
    doubt: str = ""
    """Why none of this is known; empty where it is."""


def tuple_of(packet: Packet) -> Tuple:
    """The tuple of a packet as it looks now."""
    if packet.is_icmp:
        return Tuple(
            packet.family,
            packet.protocol,
            packet.source,
            packet.icmp_id,
            packet.destination,
            packet.icmp_type << 8 | packet.icmp_code,
        )
    return Tuple(
        packet.family,
        packet.protocol,
        packet.source,
        packet.source_port,
        packet.destination,
        packet.destination_port,
    )


@dataclass(slots=True)
class Conntrack:
    """The connections of a namespace; grows as packets are walked through it in order."""

    _by_tuple: dict[Tuple, tuple[Connection, bool]] = field(default_factory=dict)
    _by_source: dict[tuple[int, int, int], list[Connection]] = field(default_factory=dict)
    """Those whose source side nat has set up, the latest last (nf_nat_bysource)."""

    def track(self, packet: Packet) -> Tracked:
        """What nf_conntrack_in makes of a packet that carries no connection yet."""
        if packet.is_icmp:
            if packet.icmp_type in ICMP_ERRORS[packet.protocol]:
                return self._track_error(packet)
            if packet.family is Family.IPV6 and packet.icmp_type in ICMPV6_NEVER_TRACKED:
                return Tracked(None, ConnectionState.UNTRACKED)
        if packet.protocol == TCP and not tcp_states.flags_are_valid(packet.tcp_flags):
            return Tracked(None, ConnectionState.INVALID)
        key = tuple_of(packet)
        found = self._by_tuple.get(key)
        if found is None:
            found = self._by_tuple.get(_without_own_port(key))
        if found is None:
            return self._begin(packet, key)
        connection, is_reply = found
        if connection.doubt:
            return Tracked(connection, ConnectionState.NEW, is_reply, connection.doubt)
        # the state is that before the packet: a reset that ends a connection belongs to it
        seen = connection.seen_reply or is_reply
        if packet.protocol == TCP:
            other = self._follow_tcp(packet, key, connection, is_reply=is_reply)
            if other is not None:
                return other
        connection.seen_reply = seen
        state = ConnectionState.ESTABLISHED if seen else ConnectionState.NEW
        return Tracked(connection, state, is_reply)

    def _follow_tcp(
        self, packet: Packet, key: Tuple, connection: Connection, *, is_reply: bool
    ) -> Tracked | None:
        """Move a TCP connection on; what is returned stands for the packet instead of it."""
        acknowledges = bool(packet.tcp_flags & ACK and packet.tcp_acknowledgement)
        segment = Segment(packet.tcp_flags, acknowledges, is_reply, connection.seen_reply)
        ways = tcp_states.follow(connection.tcp, segment)
        verdicts = {verdict for verdict, _ in ways}
        if len(verdicts) > 1:
            doubt = "the state of the TCP connection depends on sequence numbers"
            connection.doubt = doubt
            return Tracked(connection, ConnectionState.NEW, is_reply, doubt)
        connection.tcp = frozenset(track for _, track in ways)
        (verdict,) = verdicts
        if verdict is TcpVerdict.INVALID:
            return Tracked(None, ConnectionState.INVALID)
        if verdict is TcpVerdict.REOPEN:
            self.forget(connection)
            return self._begin(packet, key)
        if verdict is TcpVerdict.KILL:
            self.forget(connection)
        return None

    def _begin(self, packet: Packet, key: Tuple) -> Tracked:
        connection = Connection(key, key.inverted())
        if packet.protocol == TCP:
            track = tcp_states.begin(packet.tcp_flags)
            if track is None:
                return Tracked(None, ConnectionState.INVALID)
            connection.tcp = frozenset({track})
        if packet.is_icmp and packet.icmp_type not in ICMP_NEW[packet.protocol]:
            return Tracked(None, ConnectionState.INVALID)
        return Tracked(connection, ConnectionState.NEW)

    def _track_error(self, packet: Packet) -> Tracked:
        if packet.quoted is None:
            return Tracked(None, ConnectionState.INVALID)
        # the quoted packet went the other way: look its answer up (nf_conntrack_inet_error)
        found = self._by_tuple.get(tuple_of(packet.quoted).inverted())
        if found is None:
            return Tracked(None, ConnectionState.INVALID)
        connection, is_reply = found
        return Tracked(connection, ConnectionState.RELATED, is_reply, connection.doubt)

    def confirm(self, connection: Connection) -> bool:
        """Keep a connection whose first packet was let through (__nf_conntrack_confirm).

        False where another one has its addresses already.
        """
        if connection.confirmed:
            return True
        by_chance = connection.reply == _without_own_port(connection.reply)
        if self.is_taken(connection.original) or (
            self.is_taken(connection.reply) and not by_chance
        ):
            return False
        connection.confirmed = True
        self._by_tuple[connection.original] = (connection, False)
        self._by_tuple[connection.reply] = (connection, True)
        if connection.source_nat_done:
            self._by_source.setdefault(_source_of(connection.original), []).append(connection)
        return True

    def doubt(self, connection: Connection, why: str) -> None:
        """From here on nothing is known of a connection, not even whether it is kept."""
        connection.doubt = why
        for key, is_reply in ((connection.original, False), (connection.reply, True)):
            self._by_tuple.setdefault(key, (connection, is_reply))

    def forget(self, connection: Connection) -> None:
        """Remove a connection (nf_ct_kill)."""
        for key in (connection.original, connection.reply):
            if self._by_tuple.get(key, (None, False))[0] is connection:
                del self._by_tuple[key]
        same_source = self._by_source.get(_source_of(connection.original), [])
        if connection in same_source:
            same_source.remove(connection)

    def is_taken(self, reply: Tuple) -> bool:
        """Whether a translation to this answer would clash with a connection there is."""
        return reply in self._by_tuple

    def of_source(self, wanted: Tuple) -> list[Connection]:
        """The kept connections from the same source, the latest first (same_src)."""
        return self._by_source.get(_source_of(wanted), [])[::-1]


def _without_own_port(answer: Tuple) -> Tuple:
    """An answer whose receiver's port, or identifier, nobody knows."""
    if answer.protocol in _ECHO_REPLY:
        return answer._replace(source_port=UNKNOWN_PORT)
    return answer._replace(destination_port=UNKNOWN_PORT)


def _source_of(wanted: Tuple) -> tuple[int, int, int]:
    return wanted.protocol, wanted.source, wanted.source_port


class AssumedConntrack(Conntrack):
    """Connection tracking that gives every packet the same state, whatever came before."""

    def __init__(self, state: ConnectionState) -> None:
        super().__init__()
        self._state = state

    def track(self, packet: Packet) -> Tracked:
        """The assumed state, with a connection where that state has one."""
        if self._state is ConnectionState.NEW:
            return super().track(packet)
        if self._state in (ConnectionState.INVALID, ConnectionState.UNTRACKED):
            return Tracked(None, self._state)
        key = tuple_of(packet)
        known = Connection(
            key,
            key.inverted(),
            seen_reply=True,
            confirmed=True,
            source_nat_done=True,
            destination_nat_done=True,
        )
        return Tracked(known, self._state)
