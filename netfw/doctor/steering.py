"""Routing by marks: the rules, their tables, and where packets of some mark leave."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.conditions import exclude
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import RoutingRule
from netfw.doctor.place import REROUTING_PRIORITY, Passage, Spot, Stage, System
from netfw.ir.mark import MAX_MARK
from netfw.ir.match import AddressMatch, Side
from netfw.ir.names import Family
from netfw.ir.net import Net, parse_address
from netfw.traverse.host_facts import LOOPBACK
from netfw.traverse.routing_tables import Asked, RouteKind, RoutingTables, TableRoute
from netfw.traverse.traversal import Stop

_AFAR = {
    Family.IPV4: parse_address("198.51.100.1")[1],
    Family.IPV6: parse_address("2001:db8:ffff::1")[1],
}
"""Somewhere on the Internet that a default route alone leads to (RFC 5737, RFC 3849)."""
TUNNELS_THAT_KEEP_MARKS = frozenset(
    {"vxlan", "geneve", "bareudp", "gretap", "gre", "ip6gre", "ip6gretap", "ipip", "sit", "ip6tnl"}
)
"""Kinds whose outer packets carry the inner packet's mark, unless the device gives them one."""


def spot_of(one: RoutingRule) -> Spot:
    """The spot of a routing rule, as that of its use."""
    rule = one.rule
    return Spot(
        System.ROUTING,
        rule.family,
        f"table {rule.table}",
        f"preference {rule.preference}",
        text=one.text,
    )


def rule_at(state: HostState, spot: Spot | None) -> RoutingRule | None:
    """The routing rule of a spot; None where the spot is none, or it is not there."""
    if spot is None or spot.system is not System.ROUTING:
        return None
    return next((one for one in state.routing_rules if spot_of(one) == spot), None)


def steering_rules(state: HostState) -> Iterator[RoutingRule]:
    """Routing rules that a set bit of the packet mark takes to a table, or keeps from one."""
    for one in state.routing_rules:
        mark = one.rule.mark
        if mark is not None and mark.value & mark.mask and one.rule.kind is RouteKind.UNICAST:
            yield one


def bits_of(one: RoutingRule) -> int:
    """The bits that must be 1 for its mark."""
    mark = one.rule.mark
    return 0 if mark is None else mark.value & mark.mask


def may_obey(use: MarkUse, one: RoutingRule) -> bool:
    """Whether a packet that this writer has marked has the mark of the rule."""
    mark = one.rule.mark
    if mark is None or use.spot.family not in (None, one.rule.family):
        return False
    wanted = mark.value & mark.mask
    gives = any(
        effect.may_set & wanted == wanted and not (effect.sets & mark.mask & ~wanted)
        for effect in use.effects
        if effect.word is Word.PACKET and wanted
    )
    if not gives or use.spot.family is not None:
        return gives
    # a rule of a table for both families may be for one alone
    of_family = AddressMatch(Side.SOURCE, Net.everything(one.rule.family))
    return not exclude((*use.matches, *use.calls), (of_family,))


def tables_of(state: HostState, family: Family) -> RoutingTables:
    """The routing of a family; empty where it was not read."""
    return state.routes.get(family, RoutingTables())


def routes_of(state: HostState, one: RoutingRule) -> tuple[TableRoute, ...]:
    """What the table of a rule holds."""
    return tuple(tables_of(state, one.rule.family).routes.get(one.rule.table, ()))


def leaves_by(
    state: HostState, family: Family, destination: int, mark: int, source: int = 0
) -> TableRoute | None:
    """The route of a packet of this host; None where there is none, or it is not known."""
    try:
        return tables_of(state, family).find(Asked(family, source, destination, "", mark))
    except Stop:
        return None


def comes_back_by(
    state: HostState, family: Family, source: int, interface: str, mark: int
) -> TableRoute | None:
    """The way back to the source of a packet that came by an interface, as rp_filter asks."""
    try:
        return tables_of(state, family).find(Asked(family, 0, source, interface, mark))
    except Stop:
        return None


def sample_of(route: TableRoute) -> int:
    """An address that the route leads to."""
    net = route.destination
    if net.mask == 0:
        return _AFAR[net.family]
    return net.address if net.is_single else net.address | 1


def neighbour_by(state: HostState, route: TableRoute) -> int:
    """An address that the route leads to, and that is none of this host's own."""
    own = {
        parse_address(text.partition("/")[0])[1] for link in state.links for text in link.addresses
    }
    net = route.destination
    free = ~net.mask & ((1 << net.family.bits) - 1)
    offsets = (offset for offset in range(1, 8) if offset & ~free == 0)
    found = (net.address | offset for offset in offsets)
    return next((one for one in found if one not in own), sample_of(route))


def covers(outer: Net, inner: Net) -> bool:
    """Whether a network holds all of another one."""
    return inner.mask & outer.mask == outer.mask and inner.address & outer.mask == outer.address


def is_ordinary(route: TableRoute) -> bool:
    """Whether packets leave by it on a link that is not lo."""
    return route.kind is RouteKind.UNICAST and route.interface not in ("", LOOPBACK)


def before_routing(use: MarkUse) -> bool:
    """Whether packets meet a writer before the decision that reads its mark."""
    return any(_in_time(passage) for passage in use.passages)


def _in_time(passage: Passage) -> bool:
    if passage.stage is Stage.OUTPUT:
        return passage.priority < REROUTING_PRIORITY
    return passage.stage in (Stage.INGRESS, Stage.BRIDGE, Stage.PREROUTING, Stage.SOCKET)


def keeps_its_way(state: HostState, use: MarkUse) -> bool:
    """Whether a writer marks packets of this host where no chain has them routed again."""
    spot = use.spot
    own = [where for where in use.passages if where.stage is Stage.OUTPUT]
    if not own or use.is_first_only:
        return False
    if spot.system is not System.NFTABLES:
        return spot.table != "mangle"
    bases = {where.base.rpartition(" ")[2] for where in own}
    kinds = {
        chain.kind
        for table in state.tables
        if f"{table.family} {table.name}" == spot.table
        for chain in table.chains
        if chain.name in bases
    }
    return bool(kinds) and "route" not in kinds


def free_of(mask: int) -> int:
    """The bits outside a mask."""
    return ~mask & MAX_MARK
