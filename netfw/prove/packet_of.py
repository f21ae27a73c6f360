"""From a set of packets to one of them, as plain as the set allows."""

from __future__ import annotations

from collections.abc import Iterator
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
_MAX_MARK_BITS = 32
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
    state = STATES[chooser.lowest(Field.STATE)]
    dnat, snat = bool(chooser.lowest(Field.DNAT)), bool(chooser.lowest(Field.SNAT))
    is_reply = bool(chooser.lowest(Field.REPLY))
    icmp = ICMP if space.family is Family.IPV4 else ICMPV6
    protocol = chooser.first_of(Field.PROTOCOL, (TCP, UDP, icmp))
    fragment = bool(chooser.lowest(Field.FRAGMENT))
    mark = 0
    for bit in range(_MAX_MARK_BITS):
        name = mark_bit(bit)
        if name in space.state_variables and chooser.bit(name):
            mark |= 1 << bit
    destination = chooser.address(Field.DESTINATION)
    source = chooser.address(Field.SOURCE, avoid=destination)
    echo = 8 if space.family is Family.IPV4 else 128
    icmp_type = chooser.first_of(Field.ICMP_TYPE, (echo,)) if protocol == icmp else 0
    icmp_code = chooser.lowest(Field.ICMP_CODE) if protocol == icmp else 0
    destination_port = source_port = flags = 0
    if protocol in PORT_PROTOCOLS:
        destination_port = chooser.first_of(Field.DESTINATION_PORT, (80, 443, 53, 1))
        source_port = chooser.first_of(Field.SOURCE_PORT, (40000, 1024, 1))
    if protocol == TCP:
        usual = _USUAL_FLAGS.get(state, ACK)
        flags = chooser.first_of(Field.TCP_FLAGS, (usual, SYN, ACK))
    names = space.interfaces.names
    comes_by, leaves_by = (
        names[chooser.first_of(field, tuple(range(1, len(names)))) % len(names)]
        for field in (Field.IN_INTERFACE, Field.OUT_INTERFACE)
    )
    packet = Packet(
        space.family,
        source,
        destination,
        protocol,
        source_port=source_port,
        destination_port=destination_port,
        tcp_flags=flags,
        icmp_type=icmp_type,
        icmp_code=icmp_code,
        in_interface=comes_by,
        mark=mark,
        fragment=fragment,
    )
    return Example(packet, leaves_by, state, is_reply, dnat, snat, tuple(chooser.oracles()))


class _Chooser:
    """Fixes one field after the other, and keeps what is left of the set."""

    def __init__(self, space: Space, of: Bdd) -> None:
        self.space = space
        self.left = of

    def _try(self, narrower: Bdd) -> bool:
        joined = self.left & narrower
        if joined == self.space.false:
            return False
        self.left = joined
        return True

    def bit(self, name: str) -> bool:
        """The value of a variable, 0 if it can be."""
        variable = self.space.variable(name)
        if self._try(~variable):
            return False
        self._try(variable)
        return True

    def lowest(self, field: Field) -> int:
        """The smallest value of a field."""
        value = 0
        for name in self.space.names_of(field):
            value = value << 1 | self.bit(name)
        return value

    def first_of(self, field: Field, wanted: tuple[int, ...]) -> int:
        """The first of these values that is possible, else the smallest value there is."""
        for value in wanted:
            if self._try(self.space.equal(field, value)):
                return value
        return self.lowest(field)

    def address(self, field: Field, avoid: int | None = None) -> int:
        """An address that a host can have, if there is one in the set."""
        space = self.space
        if avoid is not None:
            self._try(~space.equal(field, avoid))
        for bad in _ODD_NETS[space.family]:
            self._try(~space.in_net(field, bad))
        for net in _PLAIN_NETS[space.family]:
            if self._try(space.in_net(field, net)):
                # not the address that stands for the network itself
                self._try(~space.equal(field, net.address))
                break
        return self.lowest(field)

    def oracles(self) -> Iterator[tuple[object, bool]]:
        """The questions that matter, with their answers."""
        support = self.space.support(self.left)
        for name, key in self.space.oracle_names.items():
            if name in support:
                yield key, self.bit(name)
