"""Single packets as members of sets: what a proof says of one packet among all of them."""

from __future__ import annotations

from itertools import product

from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.ruleset import Ruleset
from netfw.prove.packet_of import Example
from netfw.prove.path import PathKind, Paths
from netfw.prove.prediction import predict
from netfw.prove.space import NOTRACK, STATES, Bdd, Field, Space, connmark_bit, mark_bit
from netfw.prove.summary import value_after
from netfw.traverse.packet import ACK, SYN, Packet
from netfw.traverse.traversal import End

ADDRESSES = {
    Family.IPV4: ("192.0.2.7", "10.1.2.3", "203.0.113.9"),
    Family.IPV6: ("2001:db8:1:2::1", "2001:db8:1:9::9", "2001:db8:ffff::1"),
}
NEIGHBOUR_SOLICITATION = (58, 135)
KINDS = {
    Family.IPV4: ((6, 22), (6, 1500), (17, 53), (1, 8), (50, 0)),
    Family.IPV6: ((6, 22), (6, 1500), (17, 53), (58, 128), NEIGHBOUR_SOLICITATION),
}


def small_world(
    family: Family, kind: PathKind, interfaces: tuple[str, ...], field_mask: int
) -> list[Example]:
    """Every packet of a small world: few addresses, ports, states and marks, all combined.

    None comes from the address it goes to: routing would stop it, whatever the rules say.
    Neighbour discovery never belongs to a connection.
    """
    ways = {
        PathKind.IN: [(name, "") for name in interfaces],
        PathKind.OUT: [("", name) for name in interfaces],
        PathKind.FORWARD: [(a, b) for a in interfaces for b in interfaces],
    }[kind]
    addresses = [Net.parse(text).address for text in ADDRESSES[family]]
    return [
        Example(
            packet_of(family, way[0], source, destination, what, state, mark),
            way[1],
            state,
            False,
            False,
            False,
        )
        for way, source, destination, what, state, mark in product(
            ways, addresses, addresses, KINDS[family], STATES, (0, field_mask)
        )
        if source != destination
        and (what != NEIGHBOUR_SOLICITATION or state is ConnectionState.UNTRACKED)
    ]


def packet_of(
    family: Family,
    came_by: str,
    source: int,
    destination: int,
    what: tuple[int, int],
    state: ConnectionState,
    mark: int,
) -> Packet:
    """One packet; the flags of TCP fit the state."""
    protocol, number = what
    has_ports, is_icmp = protocol in (6, 17), protocol in (1, 58)
    flags = SYN if state is ConnectionState.NEW else ACK
    return Packet(
        family,
        source,
        destination,
        protocol,
        source_port=40000 if has_ports else 0,
        destination_port=number if has_ports else 0,
        tcp_flags=flags if protocol == 6 else 0,
        icmp_type=number if is_icmp else 0,
        in_interface=came_by,
        mark=mark,
    )


def point(space: Space, example: Example, connmark: int | None = 0) -> Bdd:
    """The set that holds just this packet, whatever the oracles say.

    ``connmark`` is its connection's mark; None for any.
    """
    packet = example.packet
    found = space.equal(Field.STATE, STATES.index(example.state))
    for field, value in (
        (Field.PROTOCOL, packet.protocol),
        (Field.SOURCE, packet.source),
        (Field.DESTINATION, packet.destination),
        (Field.SOURCE_PORT, packet.source_port),
        (Field.DESTINATION_PORT, packet.destination_port),
        (Field.TCP_FLAGS, packet.tcp_flags),
        (Field.ICMP_TYPE, packet.icmp_type),
        (Field.ICMP_CODE, packet.icmp_code),
        (Field.FRAGMENT, packet.fragment),
        (Field.DNAT, example.dnat),
        (Field.SNAT, example.snat),
        (Field.REPLY, example.is_reply),
    ):
        found &= space.equal(field, int(value))
    found &= space.interface(Field.IN_INTERFACE, [packet.in_interface])
    found &= space.interface(Field.OUT_INTERFACE, [example.out_interface])
    for bit in range(32):
        variable = space.state_variables.get(mark_bit(bit))
        if variable is not None:
            found &= variable if packet.mark >> bit & 1 else ~variable
    for bit in range(32):
        variable = space.state_variables.get(connmark_bit(bit))
        if variable is not None and connmark is not None:
            found &= variable if connmark >> bit & 1 else ~variable
    return found & ~space.state_variables[NOTRACK]


def said_by_sets(paths: Paths, kind: PathKind, example: Example) -> tuple[str, int]:
    """What the summaries say of a packet: what stops it (or nothing), and its mark at the end."""
    space, answer = paths.space, paths.answer(kind)
    here = point(space, example)
    ways = [way for way, those in answer.exits.items() if here & those != space.false]
    assert len(ways) <= 1, "exits are disjoint"
    mark = example.packet.mark
    for bit in range(32):
        name = mark_bit(bit)
        if name in space.state_variables:
            is_set = here & value_after(space, answer, name) != space.false
            mark = mark & ~(1 << bit) | is_set << bit
    if not ways:
        return "goes on", mark
    target = ways[0].target
    return "Drop" if target is None else type(target).__name__, mark


def said_by_walk(ruleset: Ruleset, example: Example) -> tuple[str, int]:
    """What the walk says of it, in the same words."""
    traversal = predict(ruleset, example)
    word = {
        End.DROPPED: "Drop",
        End.REJECTED: "Reject",
        End.SENT: "goes on",
        End.DELIVERED: "goes on",
    }.get(traversal.end, traversal.end.value)
    return word, traversal.mark
