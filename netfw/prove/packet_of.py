"""From a set of packets to one of them, as plain as the set allows."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6, TCP, UDP
from netfw.prove.space import STATES, Bdd, Field, Space, mark_bit
from netfw.traverse.packet import ACK, PORT_PROTOCOLS, SYN, Packet

_PLAIN_NETS = {
    Family.IPV4: tuple(
        map(Net.parse, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "10.0.0.0/8"))
    ),
    Family.IPV6: tuple(map(Net.parse, ("2001:db8::/32", "fc00::/7", "2000::/3"))),
}
"""Where addresses are looked for first: documentation's own, then private ones."""
_ODD_NETS = {
    Family.IPV4: tuple(map(Net.parse, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"))),
    Family.IPV6: tuple(map(Net.parse, ("::/8", "ff00::/8", "fe80::/10"))),
}
"""Addresses that hosts do not take from a link, or not as those of one host."""
_MARK_BITS = 32
_USUAL_FLAGS = {ConnectionState.NEW: SYN, ConnectionState.INVALID: 0}
"""A segment without flags is invalid by itself (tcp_valid_flags in nf_conntrack_proto_tcp.c)."""


@dataclass(frozen=True, slots=True)
class Example:
    """A packet out of a set, and what must be known of it besides.

    ``out_interface`` is empty for a packet to this host. ``oracles`` are the questions that only
    the host can answer, with the answers for which the packet is in the set.
    """

    packet: Packet
    out_interface: str
    state: ConnectionState
    is_reply: bool
    dnat: bool
    snat: bool
    oracles: tuple[tuple[object, bool], ...] = ()


def example_of(space: Space, of: Bdd) -> Example | None:
    """A packet out of a set, None for the empty one.

    It is the smallest in this sense: what can be usual is (a new connection, TCP or UDP, an
    address of the documentation's networks, mark 0), and numbers are as small as they can be.
    """
    if of == space.false:
        return None
    chooser = _Chooser(space, of)
    icmp = ICMP if space.family is Family.IPV4 else ICMPV6
    echo = 8 if space.family is Family.IPV4 else 128
    chooser.prefer_first(Field.STATE, tuple(range(len(STATES))))
    chooser.prefer_first(Field.PROTOCOL, (TCP, UDP, icmp))
    chooser.prefer_host(Field.DESTINATION)
    destination = chooser.address(Field.DESTINATION)
    chooser.prefer(~space.equal(Field.SOURCE, destination))
    chooser.prefer_host(Field.SOURCE)
    chooser.prefer_first(Field.ICMP_TYPE, (echo,))
    chooser.prefer_first(Field.DESTINATION_PORT, (80, 443, 53, 1))
    chooser.prefer_first(Field.SOURCE_PORT, (40000, 1024, 1))
    state = STATES[chooser.value(Field.STATE)]
    chooser.prefer_first(Field.TCP_FLAGS, (_USUAL_FLAGS.get(state, ACK), SYN, ACK))
    names = space.interfaces.names
    for field in (Field.IN_INTERFACE, Field.OUT_INTERFACE):
        chooser.prefer_first(field, tuple(range(1, len(names))))
    return chooser.example(icmp)


class _Chooser:
    """Narrows a set by wishes, each granted where the set allows it; then its lowest member."""

    def __init__(self, space: Space, of: Bdd) -> None:
        self.space = space
        self.left = of

    def prefer(self, narrower: Bdd) -> bool:
        """Keep to a smaller set, unless nothing would be left."""
        joined = self.left & narrower
        if joined == self.space.false:
            return False
        self.left = joined
        return True

    def prefer_first(self, field: Field, wanted: tuple[int, ...]) -> None:
        """The first of these values that is possible."""
        for value in wanted:
            if self.prefer(self.space.equal(field, value)):
                return

    def prefer_host(self, field: Field) -> None:
        """An address that a host can have."""
        space = self.space
        for bad in _ODD_NETS[space.family]:
            self.prefer(~space.in_net(field, bad))
        for net in _PLAIN_NETS[space.family]:
            if self.prefer(space.in_net(field, net)):
                # not the address that stands for the network itself
                self.prefer(~space.equal(field, net.address))
                return

    def address(self, field: Field) -> int:
        """The lowest address that is left, which is kept."""
        value = self.value(field)
        self.prefer(self.space.equal(field, value))
        return value

    def value(self, field: Field) -> int:
        """A field of the lowest member."""
        return self._number(self.space.lowest(self.left), field)

    def _number(self, member: dict[str, bool], field: Field) -> int:
        number = 0
        for name in self.space.names_of(field):
            number = number << 1 | member.get(name, False)
        return number

    def example(self, icmp: int) -> Example:
        """The lowest member as a packet."""
        space = self.space
        member = space.lowest(self.left)
        value = {field: self._number(member, field) for field in Field}
        protocol = value[Field.PROTOCOL]
        has_ports, is_icmp = protocol in PORT_PROTOCOLS, protocol == icmp
        marks = (bit for bit in range(_MARK_BITS) if member.get(mark_bit(bit), False))
        names = space.interfaces.names
        packet = Packet(
            space.family,
            value[Field.SOURCE],
            value[Field.DESTINATION],
            protocol,
            source_port=value[Field.SOURCE_PORT] if has_ports else 0,
            destination_port=value[Field.DESTINATION_PORT] if has_ports else 0,
            tcp_flags=value[Field.TCP_FLAGS] if protocol == TCP else 0,
            icmp_type=value[Field.ICMP_TYPE] if is_icmp else 0,
            icmp_code=value[Field.ICMP_CODE] if is_icmp else 0,
            in_interface=names[value[Field.IN_INTERFACE]],
            mark=sum(1 << bit for bit in marks),
            fragment=bool(value[Field.FRAGMENT]),
        )
        support = space.support(self.left)
        oracles = tuple(
            (key, member.get(name, False))
            for name, key in space.oracle_names.items()
            if name in support
        )
        return Example(
            packet,
            names[value[Field.OUT_INTERFACE]],
            STATES[value[Field.STATE]],
            bool(value[Field.REPLY]),
            bool(value[Field.DNAT]),
            bool(value[Field.SNAT]),
            oracles,
        )
