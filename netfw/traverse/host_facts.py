"""What a prediction has to know of the host besides its rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netfw.ir.clock import Clock
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.routing import MAIN_TABLE
from netfw.traverse.hooks import SECURITY_PRIORITY
from netfw.traverse.set_lookup import SetLookup

LAST_TABLE = 253
"""RT_TABLE_DEFAULT in linux/rtnetlink.h: asked behind the main table."""
LOOPBACK = "lo"


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of this host, with its prefix length in bits."""

    family: Family
    address: int
    prefix_length: int

    @property
    def net(self) -> Net:
        """The network on the link."""
        full = (1 << self.family.bits) - 1
        mask = full ^ (full >> self.prefix_length)
        return Net(self.family, self.address & mask, mask)


@dataclass(frozen=True, slots=True)
class Route:
    """A route: destination, leaving interface (empty: refused), and the next hop (None: on the
    link). Of routes to the same network the one with the smaller metric wins."""

    destination: Net
    interface: str
    next_hop: int | None = None
    table: int = MAIN_TABLE
    metric: int = 0


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """An ``ip rule`` by mark: packets whose mark matches look into ``table`` first.

    fib rules compare ``(rule.mark ^ mark) & mask`` (fib_rule_match in net/core/fib_rules.c).
    """

    preference: int
    mark: MaskedWord
    table: int
    family: Family
    without_default: bool = False
    """A default route found there does not count (suppress_prefixlength 0)."""

    def matches(self, word: int) -> bool:
        """Whether a packet with this mark follows the rule."""
        return (word ^ self.mark.value) & self.mark.mask == 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What routing says: the interface, whether the packet is for this host, the next hop."""

    interface: str
    is_local: bool
    next_hop: int | None = None


@dataclass(frozen=True)
class HostFacts:
    """Interfaces with addresses, routes, routing rules by mark, forwarding, and sets.

    ``security_priority`` is where the security table's chains are registered (50, or 150 with
    iptables-nft).

    ``sets`` are those of ipset by name; one that is not there is not known. ``clock`` is when
    the packets pass; None is not known.
    """

    addresses: Mapping[str, tuple[InterfaceAddress, ...]] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    rules: tuple[RoutingRule, ...] = ()
    forwarding: bool = True
    sets: Mapping[str, SetLookup] = field(default_factory=dict)
    security_priority: int = SECURITY_PRIORITY
    clock: Clock | None = None
    counts_nothing_yet: bool = False
    """Whether no packet has come to any rule before, so that limits are not used up."""

    def is_local(self, family: Family, address: int) -> bool:
        """Whether an address is this host's (127.0.0.0/8 is, all of it)."""
        if family is Family.IPV4 and address >> 24 == 127:
            return True
        if family is Family.IPV6 and address == 1:
            return True
        return any(
            mine.address == address and mine.family is family
            for addresses in self.addresses.values()
            for mine in addresses
        )

    def route(self, family: Family, destination: int, mark: int) -> Decision | None:
        """Where a packet goes, or None where there is no route.

        The local table answers first, then the rules by mark in order of preference, then the
        main and the last table; the longest prefix wins (fib4_rules_init in
        net/ipv4/fib_rules.c).
        """
        if self.is_local(family, destination):
            return Decision(LOOPBACK, is_local=True)
        tables = [
            (rule.table, rule.without_default)
            for rule in sorted(self.rules, key=lambda rule: rule.preference)
            if rule.family is family and rule.matches(mark)
        ]
        for table, without_default in (*tables, (MAIN_TABLE, False), (LAST_TABLE, False)):
            found = self._longest(family, destination, table)
            if found is None or (without_default and found.destination.mask == 0):
                continue
            if not found.interface:
                return None
            return Decision(found.interface, is_local=False, next_hop=found.next_hop)
        return None

    def _longest(self, family: Family, destination: int, table: int) -> Route | None:
        best: Route | None = None
        for route in self.routes:
            net = route.destination
            if (
                route.table == table
                and net.family is family
                and destination in net
                and (best is None or _beats(route, best))
            ):
                best = route
        if table != MAIN_TABLE:
            return best
        for interface, addresses in self.addresses.items():
            for mine in addresses:
                net = mine.net
                if (
                    mine.family is family
                    and destination in net
                    and (best is None or net.mask > best.destination.mask)
                ):
                    best = Route(net, interface)
        return best

    def refused_source(self, family: Family, mark: int) -> str:
        """Why routing refuses the packet for its source; empty if not. Nothing asks the way back
        unless the host's own rp_filter is known (``routing_tables``)."""
        return ""

    def source_for(self, family: Family, interface: str, toward: int) -> int | None:
        """The address that MASQUERADE takes: one on the link of ``toward``, else the first.

        inet_select_addr in net/ipv4/devinet.c; IPv6 has its own selection (RFC 6724), which
        agrees where an interface has a single global address.
        """
        mine = [a for a in self.addresses.get(interface, ()) if a.family is family]
        for address in mine:
            if toward in address.net:
                return address.address
        return mine[0].address if mine else None


def _beats(route: Route, other: Route) -> bool:
    mask, best = route.destination.mask, other.destination.mask
    return mask > best or (mask == best and route.metric < other.metric)
