"""Local packets are sent another way by a mark, and keep the source address of the first way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netfw.doctor.asked import RULES
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import RoutingRule
from netfw.doctor.place import Spot, Stage
from netfw.doctor.place import Way as PacketWay
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import (
    is_ordinary,
    leaves_by,
    may_obey,
    routes_of,
    rule_at,
    sample_of,
    spot_of,
    steering_rules,
)
from netfw.doctor.way_symptoms import ForeignSource
from netfw.ir.match import InterfaceMatch
from netfw.ir.match_header import Way
from netfw.ir.names import Family, TableName
from netfw.ir.net import format_address, parse_address
from netfw.ir.target import Masquerade, Netmap, Snat
from netfw.traverse.routing_tables import TableRoute

CODE = "rerouted-source"
TITLE = "this host's packets leave by another uplink with the first uplink's source address"
EXPLANATION = """\
The source address of a local packet is chosen by the first route lookup, before OUTPUT, with the
socket's own mark. A mark set in OUTPUT has the packet routed again, but leaves the address: it
goes out by the second uplink with the first one's address, and a provider that checks sources
drops it, or the answer comes back by the wrong uplink.

Translate the source there (MASQUERADE), or let the program mark its socket (SO_MARK) or bind the
right address: then the first lookup is the right one.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each OUTPUT writer that leads to an uplink with other addresses and no translation."""
    for one in steering_rules(state):
        if one.rule.in_interface not in ("", "lo") or one.rule.invert:
            continue
        for use in state.writers(Word.PACKET):
            if use.spot.system not in RULES or not may_obey(use, one) or _is_copied(use):
                continue
            if not any(where.stage is Stage.OUTPUT for where in use.passages):
                continue
            found = _wrong_source(state, one)
            if found is not None:
                yield _finding(use, spot_of(one), *found, one.rule.family)
                break


def _is_copied(use: MarkUse) -> bool:
    """A restored mark is that of a connection, whose addresses are settled."""
    return any(effect.mixed for effect in use.effects)


def _wrong_source(state: HostState, one: RoutingRule) -> tuple[TableRoute, TableRoute] | None:
    """The way without the mark and the way with it, where their addresses differ."""
    for route in routes_of(state, one):
        if not is_ordinary(route):
            continue
        first = leaves_by(state, one.rule.family, sample_of(route), 0)
        if first is None or not is_ordinary(first) or first.interface == route.interface:
            continue
        there = _addresses(state, route.interface, one.rule.family)
        if not there or there & _addresses(state, first.interface, one.rule.family):
            continue
        if not _is_translated(state, one.rule.family, route.interface):
            return first, route
    return None


def _addresses(state: HostState, interface: str, family: Family) -> frozenset[str]:
    link = state.link(interface)
    found = () if link is None else link.addresses
    return frozenset(one for one in found if (":" in one) is (family is Family.IPV6))


def _is_translated(state: HostState, family: Family, interface: str) -> bool:
    """Whether some rule may give what leaves by an interface another source."""
    for held in state.rules:
        table = held.ruleset.table(TableName.NAT) if held.family is family else None
        for chain in () if table is None else table.chains:
            for rule in chain.rules:
                if isinstance(rule.target, Masquerade | Snat | Netmap) and _fits(
                    rule.matches, interface
                ):
                    return True
    return any(
        _translates(rule.expressions) and not _names_another(rule.expressions, interface)
        for table in state.tables
        if table.family in ("inet", "ip" if family is Family.IPV4 else "ip6")
        for chain in table.chains
        for rule in chain.rules
    )


def _fits(matches: tuple[object, ...], interface: str) -> bool:
    return all(
        one.covers(interface) is not one.negate
        for one in matches
        if isinstance(one, InterfaceMatch) and one.way is Way.OUT
    )


def _translates(expressions: tuple[Any, ...]) -> bool:
    return any(isinstance(one, dict) and {"masquerade", "snat"} & set(one) for one in expressions)


def _names_another(expressions: tuple[Any, ...], interface: str) -> bool:
    for one in expressions:
        match = one.get("match") if isinstance(one, dict) else None
        if isinstance(match, dict) and match.get("left") == {"meta": {"key": "oifname"}}:
            named = match.get("right")
            if isinstance(named, str) and not named.startswith("@"):
                fits = (
                    interface.startswith(named[:-1]) if named[-1:] == "*" else named == interface
                )
                return fits is (match.get("op") == "!=")
    return False


def _finding(
    use: MarkUse, reader: Spot, first: TableRoute, route: TableRoute, family: Family
) -> Finding:
    program = "iptables" if family is Family.IPV4 else "ip6tables"
    to = "everything" if route.destination.mask == 0 else str(route.destination)
    via = "" if route.next_hop is None else f" via {format_address(family, route.next_hop)}"
    return Finding(
        CODE,
        Severity.ERROR,
        f"{use.spot} sends this host's packets to {to} out by {route.interface}{via} ({reader}), "
        f"and they keep the source address that they were given for {first.interface}",
        (use.spot, reader),
        f"they leave {route.interface} with an address of {first.interface}: dropped where "
        "sources "
        f"are checked, else answered to {first.interface}",
        (
            f"{program} -t nat -A POSTROUTING -o {route.interface} -j MASQUERADE",
            "or let the program mark its socket (SO_MARK) or bind an address of "
            f"{route.interface}",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet of this host that the writer sends another way."""
    spot, reader = finding.evidence
    one = rule_at(state, reader)
    found = None if one is None else _wrong_source(state, one)
    if one is None or found is None:
        return NoProbing("its routing rule is not there any more")
    first, route = found
    mine = _addresses(state, first.interface, one.rule.family)
    sources = frozenset(parse_address(text.partition("/")[0])[1] for text in mine)
    wanted = Wanted((spot,), one, ways=frozenset({PacketWay.FROM_HOST}))
    return Probing(conversations(state, wanted), ForeignSource(route.interface, sources))
