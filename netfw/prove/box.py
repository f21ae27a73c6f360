"""A set of packets in words: boxes, each a product of simple conditions, which together are it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from netfw.ir.match import ConnectionState
from netfw.ir.net import Net
from netfw.prove.hidden import HiddenBit
from netfw.prove.packet_of import Example, example_of
from netfw.prove.space import STATES, Bdd, Field, Space, mark_bit
from netfw.traverse.packet import PORT_PROTOCOLS

_FIELDS = (
    Field.REPLY,
    Field.SNAT,
    Field.DNAT,
    Field.FRAGMENT,
    Field.TCP_FLAGS,
    Field.ICMP_CODE,
    Field.SOURCE_PORT,
    Field.SOURCE,
    Field.DESTINATION,
    Field.STATE,
    Field.ICMP_TYPE,
    Field.DESTINATION_PORT,
    Field.PROTOCOL,
    Field.OUT_INTERFACE,
    Field.IN_INTERFACE,
)
"""The order in which conditions are given up: what says least of a packet first."""
_ICMP_FIELDS = frozenset({Field.ICMP_TYPE, Field.ICMP_CODE})
_PORT_FIELDS = frozenset({Field.SOURCE_PORT, Field.DESTINATION_PORT})
_MOST_RANGES = 15
_MOST_BLOCKS = 4096


@dataclass(frozen=True, slots=True)
class Box:
    """All packets that meet every one of some conditions, and one of them.

    ``ranges`` maps a field to what it may be: pairs of first and last value, or networks. A field
    that is not there may be anything. ``marks`` are the bits that must be set or clear. ``some``
    are numbers that no header says: only packets with some values of them are meant.
    """

    example: Example
    nets: dict[Field, tuple[Net, ...]]
    ranges: dict[Field, tuple[tuple[int, int], ...]]
    interfaces: dict[Field, tuple[str, ...]]
    states: tuple[ConnectionState, ...]
    marks: dict[int, bool]
    some: tuple[str, ...] = ()


def boxes_of(space: Space, of: Bdd, domain: Bdd, most: int) -> Iterator[Box]:
    """Boxes inside a set that together make it up; at most so many.

    ``domain`` are the packets that there can be: what is outside need not be told apart.
    """
    whole = of & domain
    hidden = {
        name: key.number for name, key in space.oracle_names.items() if isinstance(key, HiddenBit)
    }
    hidden = {name: hidden[name] for name in space.support(whole) if name in hidden}
    # their numbers are not told: a box for each hour of each user would say nothing
    of = space.without(whole, hidden) if hidden else of
    left = of & domain
    for _ in range(most):
        example = example_of(space, left)
        if example is None:
            return
        box, those = _grow(space, of, domain, left, example)
        numbers = {hidden[name] for name in space.support(whole & those) if name in hidden}
        some = tuple(sorted(number.value for number in numbers))
        yield replace(box, some=some) if some else box
        left &= ~those


def _grow(space: Space, of: Bdd, domain: Bdd, left: Bdd, example: Example) -> tuple[Box, Bdd]:
    """Start from one packet, and give every field as much room as the set allows."""
    member = space.lowest(left & _point(space, example))
    parts: dict[Field, Bdd] = {
        field: space.equal(field, _number(space, member, field)) for field in _FIELDS
    }
    marks: dict[str, Bdd] = {
        name: variable if member.get(name, False) else ~variable
        for name, variable in space.state_variables.items()
    }
    oracles: dict[str, Bdd] = {}
    for name, key in space.oracle_names.items():
        if isinstance(key, HiddenBit):
            continue
        variable = space.variable(name)
        oracles[name] = variable if member.get(name, False) else ~variable
    outside = domain & ~of
    nets: dict[Field, tuple[Net, ...]] = {}
    ranges: dict[Field, tuple[tuple[int, int], ...]] = {}
    interfaces: dict[Field, tuple[str, ...]] = {}
    states: tuple[ConnectionState, ...] = ()

    def rest(without: object) -> Bdd:
        found = outside
        for part in _all_but(without, marks, oracles, parts):
            found &= part
        return found

    for table in (marks, oracles):
        for name in list(table):
            if rest(name) == space.false:
                del table[name]
    for field in _FIELDS:
        if field is Field.PROTOCOL:
            outside |= ~_bearers(space, example, frozenset(ranges))
        bad = rest(field)
        names = space.names_of(field)
        others = [name for name in space.support(bad) if name not in names]
        good = ~space.without(bad, others)
        if good == space.true:
            parts[field] = space.true
            continue
        if field in (Field.SOURCE, Field.DESTINATION):
            parts[field], nets[field] = _nets(space, field, good, member)
        elif field in (Field.IN_INTERFACE, Field.OUT_INTERFACE):
            places = [
                place
                for place in range(len(space.interfaces.names))
                if good & space.equal(field, place) != space.false
            ]
            parts[field] = space.any_of(space.equal(field, place) for place in places)
            interfaces[field] = tuple(space.interfaces.names[place] for place in places)
        elif field is Field.STATE:
            # a state that such packets never have is not worth a word
            there = domain
            for part in _all_but(field, marks, oracles, parts):
                there &= part
            kept = [
                state for state in STATES if good & there & space.in_state(state) != space.false
            ]
            parts[field], states = space.in_state(*kept), tuple(kept)
        else:
            parts[field], ranges[field] = _ranges(space, field, good, member)
    those = space.true
    for part in _all_but(None, marks, oracles, parts):
        those &= part
    bits = {bit: member.get(mark_bit(bit), False) for bit in range(32) if mark_bit(bit) in marks}
    return Box(example, nets, ranges, interfaces, states, bits), those


def _bearers(space: Space, example: Example, asked: frozenset[Field]) -> Bdd:
    """The protocols that have what is asked; to others it means nothing, so that they meet it."""
    if asked & _ICMP_FIELDS:
        return space.equal(Field.PROTOCOL, example.packet.protocol)
    if asked & _PORT_FIELDS:
        return space.any_of(space.equal(Field.PROTOCOL, number) for number in PORT_PROTOCOLS)
    return space.true


def _all_but(without: object, *tables: Mapping[str, Bdd] | Mapping[Field, Bdd]) -> Iterator[Bdd]:
    for table in tables:
        yield from (part for key, part in table.items() if key is not without)


def _number(space: Space, member: dict[str, bool], field: Field) -> int:
    number = 0
    for name in space.names_of(field):
        number = number << 1 | member.get(name, False)
    return number


def _point(space: Space, example: Example) -> Bdd:
    packet = example.packet
    return (
        space.equal(Field.PROTOCOL, packet.protocol)
        & space.equal(Field.SOURCE, packet.source)
        & space.equal(Field.DESTINATION, packet.destination)
        & space.interface(Field.IN_INTERFACE, [packet.in_interface])
        & space.interface(Field.OUT_INTERFACE, [example.out_interface])
        & space.in_state(example.state)
    )


def _ranges(
    space: Space, field: Field, good: Bdd, member: dict[str, bool]
) -> tuple[Bdd, tuple[tuple[int, int], ...]]:
    """All values that are good as ranges, or the range around the member's where they are many:
    flags are told by what they have in common."""
    found: list[tuple[int, int]] = []
    for first, last in _blocks(space, field, good, _MOST_BLOCKS):
        if found and found[-1][1] + 1 == first:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    if len(found) > _MOST_RANGES and field is not Field.TCP_FLAGS:
        here = _number(space, member, field)
        found = [span for span in found if span[0] <= here <= span[1]]
    return space.any_of(space.between(field, *span) for span in found), tuple(found)


def _nets(
    space: Space, field: Field, good: Bdd, member: dict[str, bool]
) -> tuple[Bdd, tuple[Net, ...]]:
    """All networks that are good where they are few, else the widest around the member's."""
    bits = space.width(field)
    blocks = list(_blocks(space, field, good, _MOST_RANGES + 1))
    if len(blocks) > _MOST_RANGES:
        blocks = [_around(space, field, good, member)]
    top = (1 << bits) - 1
    found = tuple(Net(space.family, first, top ^ (last - first)) for first, last in blocks)
    return space.any_of(space.in_net(field, net) for net in found), found


def _blocks(space: Space, field: Field, good: Bdd, most: int) -> Iterator[tuple[int, int]]:
    """The aligned blocks of values that make up a set over one field, in order, up to a number."""
    names = space.names_of(field)
    bits = len(names)
    count = 0
    pending: list[tuple[int, int, Bdd]] = [(0, 0, good)]
    while pending and count < most:
        depth, value, here = pending.pop()
        if here == space.false:
            continue
        if here == space.true or depth == bits:
            count += 1
            size = bits - depth
            yield value << size, (value << size) + (1 << size) - 1
            continue
        low = space.substitute(here, {names[depth]: False})
        high = space.substitute(here, {names[depth]: True})
        pending += [(depth + 1, value << 1 | 1, high), (depth + 1, value << 1, low)]


def _around(space: Space, field: Field, good: Bdd, member: dict[str, bool]) -> tuple[int, int]:
    """The widest aligned block around the member's value."""
    value, here = 0, good
    names = space.names_of(field)
    depth = 0
    while here != space.true and depth < len(names):
        bit = member.get(names[depth], False)
        here = space.substitute(here, {names[depth]: bit})
        value, depth = value << 1 | bit, depth + 1
    size = len(names) - depth
    return value << size, (value << size) + (1 << size) - 1
