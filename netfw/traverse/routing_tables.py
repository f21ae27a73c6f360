"""Routing as the kernel does it: rules in order of preference, tables, the longest prefix.

Source: fib_rules_lookup in net/core/fib_rules.c, fib_table_lookup in net/ipv4/fib_trie.c,
fib6_rule_lookup in net/ipv6/fib6_rules.c. What a packet line does not say (TOS, ports behind
routing rules, users) leaves open what the rule does: then the way ends undecided, unless both
answers are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from netfw.ir.mark import MaskedWord
from netfw.ir.names import Family
from netfw.ir.net import Net, format_address
from netfw.traverse.host_facts import LOOPBACK, Decision, HostFacts
from netfw.traverse.traversal import End, Stop

LOCAL_TABLE = 255
"""RT_TABLE_LOCAL in linux/rtnetlink.h."""


class RouteKind(Enum):
    """What a route does with packets (RTN_* in linux/rtnetlink.h)."""

    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8
    THROW = 9


REFUSING = frozenset({RouteKind.BLACKHOLE, RouteKind.UNREACHABLE, RouteKind.PROHIBIT})
_FOR_THIS_HOST = frozenset({RouteKind.LOCAL, RouteKind.ANYCAST})


@dataclass(frozen=True, slots=True)
class TableRoute:
    """A route in a table. ``unknown`` says in words what netfw cannot follow, if anything.

    Smaller metrics come first among routes to the same network.
    """

    table: int
    kind: RouteKind
    destination: Net
    interface: str = ""
    next_hop: int | None = None
    metric: int = 0
    unknown: str = ""
    preferred_source: int | None = None
    """The source of this host's own packets by this route (RTA_PREFSRC), where it says one."""


@dataclass(frozen=True, slots=True)
class TableRule:
    """An ``ip rule``: which packets it means, and the table that they look into.

    ``kind`` is UNICAST for a lookup, or what the rule does instead of one (THROW: nothing).
    ``unknown`` holds the selectors that netfw does not know, in words.
    """

    preference: int
    family: Family
    table: int
    kind: RouteKind = RouteKind.UNICAST
    source: Net | None = None
    destination: Net | None = None
    in_interface: str = ""
    mark: MaskedWord | None = None
    invert: bool = False
    suppressed_prefix: int = -1
    """Routes with a prefix no longer than this do not count (suppress_prefixlength)."""
    unknown: str = ""
    leads_elsewhere: bool = False
    """Whether it goes on at another rule (goto), which is not followed."""

    def applies(self, packet: Asked) -> bool | None:
        """Whether a packet follows the rule; None where that is not known.

        fib_rule_match compares ``(rule.mark ^ mark) & mask``.
        """
        known = (
            (self.source is None or packet.source in self.source)
            and (self.destination is None or packet.destination in self.destination)
            and self.in_interface in ("", packet.in_interface or LOOPBACK)
            and (self.mark is None or (packet.mark ^ self.mark.value) & self.mark.mask == 0)
        )
        if known and self.unknown:
            return None
        return known is not self.invert


@dataclass(frozen=True, slots=True)
class Asked:
    """What routing is asked about: ``in_interface`` is empty for a packet of this host."""

    family: Family
    source: int
    destination: int
    in_interface: str
    mark: int


@dataclass(frozen=True)
class RoutingTables:
    """All routing rules, in order of preference, and all routes of a family."""

    rules: Sequence[TableRule] = ()
    routes: Mapping[int, Sequence[TableRoute]] = field(default_factory=dict)

    def find(self, asked: Asked) -> TableRoute | None:
        """The route of a packet, of whatever kind; None where there is none.

        Raises Stop where it depends on what is not known.
        """
        return self._find(asked, 0)

    def _find(self, asked: Asked, start: int) -> TableRoute | None:
        for index in range(start, len(self.rules)):
            rule = self.rules[index]
            applies = rule.applies(asked)
            if applies is False:
                continue
            if rule.leads_elsewhere:
                raise Stop(End.UNDECIDED, f"ip rule {rule.preference} (goto)")
            found = self.answer_of(rule, asked)
            if found is None:
                continue
            if applies is None and self._find(asked, index + 1) != found:
                raise Stop(End.UNDECIDED, f"ip rule {rule.preference} ({rule.unknown})")
            return found
        return None

    def answer_of(self, rule: TableRule, asked: Asked) -> TableRoute | None:
        """The route that a rule which applies leads to; None where it goes on with the next.

        Raises Stop where it depends on what is not known.
        """
        if rule.kind in REFUSING:
            return TableRoute(rule.table, rule.kind, Net.everything(asked.family))
        if rule.kind is not RouteKind.UNICAST:
            return None
        found = self.look_up(rule.table, asked)
        if found is None or found.kind is RouteKind.THROW:
            return None
        length = found.destination.prefix_length or 0
        return None if length <= rule.suppressed_prefix else found

    def look_up(self, table: int, asked: Asked) -> TableRoute | None:
        """The longest prefix in one table, and of the same length the smallest metric."""
        best: list[TableRoute] = []
        for route in self.routes.get(table, ()):
            if asked.destination not in route.destination or not _fits_link(route, asked):
                continue
            rank = _rank(route)
            if not best or rank < _rank(best[0]):
                best = [route]
            elif rank == _rank(best[0]):
                best.append(route)
        if not best:
            return None
        first = best[0]
        unknown = next((route.unknown for route in best if route.unknown), "")
        if not unknown and any(
            (route.kind, route.interface) != (first.kind, first.interface) for route in best
        ):
            unknown = "several of them are equally good"
        if unknown:
            raise Stop(End.UNDECIDED, f"the route to {first.destination}: {unknown}")
        return first


def _rank(route: TableRoute) -> tuple[int, int]:
    return -(route.destination.prefix_length or 0), route.metric


def _fits_link(route: TableRoute, asked: Asked) -> bool:
    """IPv6: link-local and multicast destinations belong to a link (rt6_need_strict)."""
    if asked.family is Family.IPV4 or not asked.in_interface:
        return True
    destination = asked.destination
    strict = destination >> 118 == 0xFE80 >> 6 or destination >> 120 == 0xFF
    return not strict or route.interface == asked.in_interface


@dataclass(frozen=True)
class RoutedFacts(HostFacts):
    """Facts of a host for one packet, with all of its routing.

    ``reverse_path`` is the rp_filter of the packet's interface (0 off, 1 strict, 2 loose), and
    ``asks_mark`` says that it looks for the way back with the packet's mark (src_valid_mark).
    """

    tables: RoutingTables = field(default_factory=RoutingTables)
    packet_source: int = 0
    packet_interface: str = ""
    reverse_path: int = 0
    asks_mark: bool = False

    def is_local(self, family: Family, address: int) -> bool:
        """Whether the local table says that an address is this host's."""
        asked = Asked(family, 0, address, "", 0)
        routes = self.tables.routes.get(LOCAL_TABLE, ())
        fitting = [route for route in routes if asked.destination in route.destination]
        best = min(fitting, key=_rank, default=None)
        return best is not None and best.kind in _FOR_THIS_HOST

    def route(self, family: Family, destination: int, mark: int) -> Decision | None:
        """Where the packet goes; raises Stop where that depends on what is not known."""
        asked = Asked(family, self.packet_source, destination, self.packet_interface, mark)
        if is_multicast(family, destination):
            raise Stop(End.UNDECIDED, "multicast: which groups this host has joined")
        found = self.tables.find(asked)
        if found is None or found.kind in REFUSING:
            return None
        if found.kind in _FOR_THIS_HOST:
            return Decision(LOOPBACK, is_local=True)
        if found.kind is RouteKind.BROADCAST:
            if not self.packet_interface:
                raise Stop(End.UNDECIDED, "a broadcast of this host goes out and comes back")
            return Decision(LOOPBACK, is_local=True)
        if found.kind is not RouteKind.UNICAST:
            raise Stop(End.UNDECIDED, f"a route of kind {found.kind.name.lower()}")
        return Decision(found.interface, is_local=False, next_hop=found.next_hop)

    def refused_source(self, family: Family, mark: int) -> str:
        """Why the kernel refuses the packet for its source where it is routed; empty if not.

        __fib_validate_source in net/ipv4/fib_frontend.c; IPv6 has no such check. Raises Stop
        where that depends on what is not known.
        """
        if family is not Family.IPV4 or not self.packet_interface or not self.reverse_path:
            return ""
        if self.packet_interface == LOOPBACK:
            return ""
        asked_mark = mark if self.asks_mark else 0
        back = Asked(family, 0, self.packet_source, self.packet_interface, asked_mark)
        found = self.tables.find(back)
        source = format_address(family, self.packet_source)
        if found is None or found.kind is not RouteKind.UNICAST:
            return f"rp_filter: there is no way back to {source}"
        if self.reverse_path == 1 and found.interface != self.packet_interface:
            return f"rp_filter: the way back to {source} is {found.interface}"
        return ""


def is_multicast(family: Family, address: int) -> bool:
    """Whether an address is a group's."""
    return address >> 28 == 14 if family is Family.IPV4 else address >> 120 == 0xFF
