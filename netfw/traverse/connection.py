"""A model of connection tracking: enough of it to say a packet's state and its translation.

Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_proto_*.c, nf_nat_core.c (Linux 6.12).
Not modelled: time-outs, TCP window tracking, expectations of helpers, zones, clashes of ports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.ir.protocols import ICMP, ICMPV6, TCP
from netfw.traverse.packet import ACK, FIN, PSH, RST, SYN, URG, Packet

_ECHO_REPLY = {ICMP: {8: 0, 0: 8}, ICMPV6: {128: 129, 129: 128}}
_ICMP_NEW = {ICMP: frozenset({8, 13, 15, 17}), ICMPV6: frozenset({128, 139})}
"""ICMP types that may begin a connection (valid_new in nf_conntrack_proto_icmp*.c)."""
_ICMP_ERRORS = {ICMP: frozenset({3, 4, 5, 11, 12}), ICMPV6: frozenset({1, 2, 3, 4})}
_ICMPV6_NEVER_TRACKED = frozenset({130, 131, 132, 143, 133, 134, 135, 136, 137})
"""MLD, neighbour discovery and redirects are UNTRACKED (noct_valid_new in
nf_conntrack_proto_icmpv6.c)."""
_NEW_TCP = frozenset({SYN, SYN | URG, ACK, ACK | PSH, ACK | URG, ACK | PSH | URG})
"""Flag sets that may begin a connection: SYN, or ACK in midstream while nf_conntrack_tcp_loose
is on (its default); tcp_valid_flags and tcp_new in nf_conntrack_proto_tcp.c. PSH is ignored."""
_VALID_TCP = frozenset(
    {
        SYN,
        SYN | URG,
        SYN | ACK,
        RST,
        RST | ACK,
        FIN | ACK,
        FIN | ACK | URG,
        ACK,
        ACK | URG,
    }
)


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
            kind = destination_port if answer is None else answer << 8
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

    def track(self, packet: Packet) -> Tracked:
        """What nf_conntrack_in makes of a packet that carries no connection yet."""
        if packet.is_icmp:
            if packet.icmp_type in _ICMP_ERRORS[packet.protocol]:
                return self._track_error(packet)
            if packet.family is Family.IPV6 and packet.icmp_type in _ICMPV6_NEVER_TRACKED:
                return Tracked(None, ConnectionState.UNTRACKED)
        flags = packet.tcp_flags
        if packet.protocol == TCP and flags & ~PSH not in _VALID_TCP:
            return Tracked(None, ConnectionState.INVALID)
        key = tuple_of(packet)
        found = self._by_tuple.get(key)
        if found is None:
            return self._begin(packet, key)
        connection, is_reply = found
        if is_reply:
            connection.seen_reply = True
        state = ConnectionState.ESTABLISHED if connection.seen_reply else ConnectionState.NEW
        return Tracked(connection, state, is_reply)

    def _begin(self, packet: Packet, key: Tuple) -> Tracked:
        if packet.protocol == TCP and packet.tcp_flags not in _NEW_TCP:
            return Tracked(None, ConnectionState.INVALID)
        if packet.is_icmp and packet.icmp_type not in _ICMP_NEW[packet.protocol]:
            return Tracked(None, ConnectionState.INVALID)
        return Tracked(Connection(key, key.inverted()), ConnectionState.NEW)

    def _track_error(self, packet: Packet) -> Tracked:
        if packet.quoted is None:
            return Tracked(None, ConnectionState.INVALID)
        # the quoted packet went the other way: look its answer up (nf_conntrack_inet_error)
        found = self._by_tuple.get(tuple_of(packet.quoted).inverted())
        if found is None:
            return Tracked(None, ConnectionState.INVALID)
        connection, is_reply = found
        return Tracked(connection, ConnectionState.RELATED, is_reply)

    def confirm(self, connection: Connection) -> None:
        """Keep a connection whose first packet was let through (nf_conntrack_confirm)."""
        if connection.confirmed:
            return
        connection.confirmed = True
        self._by_tuple[connection.original] = (connection, False)
        self._by_tuple[connection.reply] = (connection, True)

    def is_taken(self, reply: Tuple) -> bool:
        """Whether a translation to this answer would clash with a connection there is."""
        return reply in self._by_tuple


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
