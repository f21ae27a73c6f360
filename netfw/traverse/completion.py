"""What a packet's description leaves out, found from what is known of the host.

Nothing is filled in silently: each piece is said in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from netfw.ir.match import InterfaceMatch, Way
from netfw.ir.names import Family
from netfw.ir.net import Net, format_address, parse_address
from netfw.ir.ruleset import Ruleset
from netfw.traverse.host_facts import LOOPBACK, HostFacts, InterfaceAddress, Route
from netfw.traverse.routing_tables import (
    LOCAL_TABLE,
    Asked,
    RouteKind,
    RoutingTables,
    TableRoute,
)
from netfw.traverse.sketch import CompletionError, Sketch
from netfw.traverse.traversal import Stop

SOMEBODY = {
    Family.IPV4: parse_address("198.51.100.7")[1],
    Family.IPV6: parse_address("2001:db8::7")[1],
}
"""A source for packets of which none is said and no host is known (RFC 5737, RFC 3849)."""
_UNNAMED = "other"


def complete_alone(sketch: Sketch) -> Sketch:
    """The same with a source, where nothing but rules is known."""
    packet = sketch.packet
    if sketch.has_source:
        return sketch
    source = SOMEBODY[packet.family]
    said = f"source {format_address(packet.family, source)} (somebody's)"
    return replace(
        sketch,
        packet=replace(packet, source=source),
        has_source=True,
        completed=(said, *sketch.completed),
    )


def facts_said(sketch: Sketch) -> HostFacts:
    """What the description itself says of the host: ``in`` alone is for this host, ``out`` where
    routing sends everything."""
    packet = sketch.packet
    if sketch.leaves_by:
        return HostFacts(routes=(Route(Net.everything(packet.family), sketch.leaves_by),))
    mine = InterfaceAddress(packet.family, packet.destination, packet.family.bits)
    return HostFacts(addresses={packet.in_interface: (mine,)})


def interfaces_told_apart(ruleset: Ruleset) -> list[str]:
    """A name for each kind of interface that rules tell apart by ``-i``: all that are named, one
    for each pattern, and one that no rule speaks of."""
    patterns = {
        match.name
        for rule in ruleset.rules()
        for match in rule.matches
        if isinstance(match, InterfaceMatch) and match.way is Way.IN
    }
    return interface_kinds(patterns)


def interface_kinds(patterns: Iterable[str]) -> list[str]:
    """A name for each kind of interface that these patterns of ``-i`` tell apart."""
    known = set(patterns)
    names = {pattern for pattern in known if not pattern.endswith("+")}
    for pattern in known - names:
        names.add(_name_beside(names, pattern[:-1]))
    names.add(_name_beside(names | {pattern.rstrip("+") for pattern in known}, _UNNAMED))
    return sorted(names)


def _name_beside(names: set[str], beginning: str) -> str:
    number = 0
    while f"{beginning}{number}" in names:
        number += 1
    return f"{beginning}{number}"


def complete_on_host(
    sketch: Sketch, addresses: Mapping[str, tuple[InterfaceAddress, ...]], tables: RoutingTables
) -> Sketch:
    """The same with source and way as this host would have them; raises CompletionError.

    Without ``in``, a packet from an address of this host, or one without a source, is this
    host's; any other comes in where the way back to its source leads.
    """
    packet = sketch.packet
    family = packet.family
    said: list[str] = []
    source, came_by = packet.source, packet.in_interface
    if came_by and came_by not in addresses and not sketch.has_source:
        raise CompletionError(
            f"{came_by} has no {family} address", "say the source: 'SOURCE -> DESTINATION'"
        )
    if not sketch.has_source and came_by:
        source = _neighbour(addresses[came_by], family, packet.destination, came_by)
        said.append(f"source {format_address(family, source)} (in the network of {came_by})")
    elif not sketch.has_source:
        source, why = _own_source(sketch, addresses, tables)
        said.append(f"source {format_address(family, source)} ({why}), from this host")
    elif not came_by and not sketch.leaves_by:
        text = format_address(family, source)
        back = _find(tables, Asked(family, 0, source, "", 0), text)
        if back.kind is RouteKind.LOCAL:
            said.append(f"from this host ({text} is its address)")
        else:
            came_by = back.interface
            said.append(f"in {came_by} (where the way back to {text} leads)")
    return replace(
        sketch,
        packet=replace(packet, source=source, in_interface=came_by),
        has_source=True,
        completed=(*said, *sketch.completed),
    )


def _own_source(
    sketch: Sketch, addresses: Mapping[str, tuple[InterfaceAddress, ...]], tables: RoutingTables
) -> tuple[int, str]:
    """The address that this host would give a packet, and why."""
    packet = sketch.packet
    family, destination = packet.family, packet.destination
    text = format_address(family, destination)
    found = _find(tables, Asked(family, 0, destination, "", packet.mark), text)
    if found.kind is RouteKind.LOCAL:
        return destination, "the destination is this host's"
    if found.preferred_source is not None:
        return found.preferred_source, f"as the route to {found.destination} says"
    toward = destination if found.next_hop is None else found.next_hop
    facts = HostFacts(addresses=addresses)
    mine = facts.source_for(family, found.interface, toward)
    if mine is None:
        raise CompletionError(
            f"{found.interface} has no {family} address for packets to {text}",
            "say the source: 'SOURCE -> DESTINATION'",
        )
    return mine, f"of {found.interface}, by which {text} is reached"


def _neighbour(
    mine: tuple[InterfaceAddress, ...], family: Family, destination: int, interface: str
) -> int:
    """An address on the link that is not ours."""
    taken = {one.address for one in mine} | {destination}
    for one in mine:
        if one.family is not family:
            continue
        first = one.net.address
        top = family.bits - one.prefix_length
        for offset in range(1, min(1 << top, 256) - (family is Family.IPV4)):
            if first + offset not in taken:
                return first + offset
    raise CompletionError(
        f"no neighbour of {interface} is known", "say the source: 'SOURCE -> DESTINATION'"
    )


def _find(tables: RoutingTables, asked: Asked, text: str) -> TableRoute:
    hint = "say it: 'SOURCE -> DESTINATION in IF'"
    try:
        found = tables.find(asked)
    except Stop as stop:
        raise CompletionError(f"the way to {text} is not known: {stop.detail}", hint) from None
    if found is None or found.kind not in (RouteKind.UNICAST, RouteKind.LOCAL):
        raise CompletionError(f"this host has no route to {text}", hint)
    if found.kind is RouteKind.LOCAL and found.table != LOCAL_TABLE:
        return replace(found, interface=LOOPBACK)
    return found
