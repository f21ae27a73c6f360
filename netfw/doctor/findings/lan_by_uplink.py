"""Marked packets for a network on a link of this host leave by the uplink of their table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from netfw.doctor.asked import RULES, conditions_of
from netfw.doctor.conditions import exclude
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import RoutingRule
from netfw.doctor.place import Spot
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import (
    before_routing,
    bits_of,
    is_ordinary,
    may_obey,
    neighbour_by,
    routes_of,
    rule_at,
    spot_of,
    steering_rules,
    tables_of,
)
from netfw.doctor.way_symptoms import LeftElsewhere
from netfw.ir.match import AddressMatch, InterfaceMatch, Side, Way
from netfw.ir.names import Family
from netfw.ir.routing import MAIN_TABLE
from netfw.traverse.routing_tables import Asked, TableRoute
from netfw.traverse.traversal import Stop

CODE = "lan-by-uplink"
TITLE = "the table of a mark lacks a network on a link, so that its packets leave by the uplink"
EXPLANATION = """\
A routing table for marked packets often holds a default route alone. Packets with the mark that
are for a network on a link of this host (the LAN, containers) find that default route too, and
leave by the uplink: answers that come in with a restored mark go out again where they came from,
translated connections never reach their server, and programs of this host do not reach the LAN.

Put the networks on links into the table as well, or ask 'main' for everything but its default
route first: 'ip rule add pref N lookup main suppress_prefixlength 0'.
"""


class _Lan(NamedTuple):
    route: TableRoute
    """The route of main to a network on a link by which no default route leads."""
    taken: TableRoute
    """The route that packets with the mark take instead."""


def find(state: HostState) -> Iterator[Finding]:
    """Each rule by mark that leads packets for such a network out by a default route."""
    for one in steering_rules(state):
        if not any(
            is_ordinary(route) and not route.destination.mask for route in routes_of(state, one)
        ):
            continue
        for lan in _lans(state, one):
            writer = None if one.rule.invert else _writer(state, one, lan.route)
            if one.rule.invert or writer is not None:
                yield _finding(one, lan, writer)
                break


def _lans(state: HostState, one: RoutingRule) -> Iterator[_Lan]:
    """The networks on links that packets of the rule do not reach by them."""
    family = one.rule.family
    tables = tables_of(state, family)
    uplinks = {
        route.interface
        for routes in tables.routes.values()
        for route in routes
        if not route.destination.mask
    }
    assert one.rule.mark is not None
    mark = 0 if one.rule.invert else one.rule.mark.value & one.rule.mark.mask
    for route in tables.routes.get(MAIN_TABLE, ()):
        is_on_link = is_ordinary(route) and route.next_hop is None and route.destination.mask
        if not is_on_link or route.interface in uplinks or _is_link_local(route):
            continue
        link = state.link(route.interface)
        if link is not None and not link.is_up:
            continue
        if one.rule.in_interface == route.interface:
            continue
        asked = Asked(family, 0, neighbour_by(state, route), one.rule.in_interface, mark)
        try:
            taken = tables.find(asked)
        except Stop:
            continue
        if taken is not None and taken.table == one.rule.table and not taken.destination.mask:
            yield _Lan(route, taken)


def _is_link_local(route: TableRoute) -> bool:
    address = route.destination.address
    return route.destination.family is Family.IPV6 and address >> 118 == 0xFE80 >> 6


def _writer(state: HostState, one: RoutingRule, lan: TableRoute) -> MarkUse | None:
    """Whoever gives the mark to packets that may be for the network."""
    there = (
        AddressMatch(Side.DESTINATION, lan.destination),
        # what comes from the link itself is not for it
        InterfaceMatch(Way.IN, lan.interface, negate=True),
    )
    return next(
        (
            use
            for use in state.kinds_of_writers(Word.PACKET)
            if may_obey(use, one)
            and before_routing(use)
            and use.spot.system in RULES
            and not exclude(conditions_of(use), there)
        ),
        None,
    )


def _finding(one: RoutingRule, lan: _Lan, writer: MarkUse | None) -> Finding:
    spot = spot_of(one)
    family = "-6 " if one.rule.family is Family.IPV6 else ""
    net, link = lan.route.destination, lan.route.interface
    word = f"{'not ' if one.rule.invert else ''}fwmark {one.rule.mark}"
    guilty: tuple[Spot, ...] = (spot,) if writer is None else (spot, writer.spot)
    return Finding(
        CODE,
        Severity.WARNING,
        f"{spot} ({word}) has packets look into table {one.rule.table}, which has a default route "
        f"by {lan.taken.interface} and no route to {net}, the network on {link}",
        guilty,
        f"packets of that rule for {net} leave by {lan.taken.interface} instead of {link}",
        (
            f"ip {family}route add {net} dev {link} table {one.rule.table}",
            f"or: ip {family}rule add pref {max(one.rule.preference - 1, 1)} lookup main "
            "suppress_prefixlength 0",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet of the rule for the network on the link."""
    spot, *writers = finding.evidence
    one = rule_at(state, spot)
    lan = None if one is None else next(_lans(state, one), None)
    if one is None or lan is None:
        return NoProbing("its routing rule is not there any more")
    link = lan.route.interface
    there = Wanted(tuple(writers), one, to=neighbour_by(state, lan.route), but_in=link)
    found = conversations(state, there) if writers else ()
    found += conversations(
        state, replace(there, spots=(), mark=0 if one.rule.invert else bits_of(one))
    )
    return Probing(found, LeftElsewhere(spot, link))
