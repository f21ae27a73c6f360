"""The stage as data: a firewall with one link for each interface, and a far end behind each.

Addresses come from the blocks set aside for benchmarks (198.18.0.0/15, RFC 2544, and
2001:2::/48, RFC 5180), so that they seldom meet those of a policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from netfw.errors import PolicyError
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.routing import MAIN_TABLE, Routing
from netfw.traverse.host_facts import (
    LAST_TABLE,
    HostFacts,
    InterfaceAddress,
    Route,
    RoutingRule,
)

PREFIX_LENGTH = {Family.IPV4: 24, Family.IPV6: 64}
_BASE = {Family.IPV4: 0xC6120000, Family.IPV6: 0x20010002 << 96}
_LINK_SHIFT = {Family.IPV4: 8, Family.IPV6: 64}
MAX_LINKS = 250


@dataclass(frozen=True, slots=True)
class Link:
    """One interface of the firewall and the far end of its cable. ``number`` is 1 to 250."""

    number: int
    interface: str

    def near(self, family: Family) -> int:
        """The firewall's address on this link."""
        return self._address(family, 1)

    def far(self, family: Family) -> int:
        """The far end's address on this link."""
        return self._address(family, 2)

    def neighbour(self, family: Family, index: int) -> int:
        """Another address behind this link; index 3 to 250."""
        return self._address(family, index)

    def _address(self, family: Family, host: int) -> int:
        return _BASE[family] + (self.number << _LINK_SHIFT[family]) + host

    @property
    def near_mac(self) -> str:
        """The firewall's hardware address here (locally administered)."""
        return f"02:00:00:00:{self.number:02x}:01"

    @property
    def far_mac(self) -> str:
        """The far end's hardware address (locally administered)."""
        return f"02:00:00:00:{self.number:02x}:02"


@dataclass(slots=True)
class Layout:
    """Links by interface name, and which addresses lie behind which link."""

    links: tuple[Link, ...]
    behind: dict[tuple[Family, int], Link] = field(default_factory=dict)
    own: dict[tuple[Family, int], Link] = field(default_factory=dict)
    """Further addresses of the firewall itself."""
    reserved: set[tuple[Family, int]] = field(default_factory=set)
    """Addresses that rules name as destinations: better nobody else's."""
    foreign: set[tuple[Family, int]] = field(default_factory=set)
    """Addresses that packets from outside have as their source: never the firewall's own."""
    routing: dict[Family, Routing] = field(default_factory=dict)
    """Rules that read marks, and the routes of their tables."""
    gateways: dict[tuple[Family, int], Link] = field(default_factory=dict)
    """Next hops of those routes, on their links."""

    @classmethod
    def of_interfaces(cls, names: Iterable[str]) -> Layout:
        """A link for each interface, in order; raises PolicyError for more than 250."""
        links = tuple(Link(number, name) for number, name in enumerate(names, start=1))
        if len(links) > MAX_LINKS:
            raise PolicyError.at(
                "verify",
                f"the policy names {len(links)} interfaces, and the stage holds {MAX_LINKS}",
                "verify a policy with fewer interfaces",
            )
        return cls(links)

    def link(self, interface: str) -> Link:
        """The link of an interface; raises KeyError."""
        for link in self.links:
            if link.interface == interface:
                return link
        raise KeyError(interface)

    def place(self, family: Family, address: int, link: Link) -> bool:
        """Put an address behind a link, by a route; False if it already lies elsewhere."""
        if self.is_on_stage(family, address):
            return address == link.far(family)
        if (family, address) in self.own or (family, address) in self.gateways:
            return False
        return self.behind.setdefault((family, address), link) is link

    def reserve(self, family: Family, address: int) -> None:
        """Keep an address for the firewall: rules name it as a destination."""
        self.reserved.add((family, address))

    def adopt(self, family: Family, address: int, link: Link) -> bool:
        """Make an address one of the firewall's own; False if it already lies elsewhere."""
        if self.is_on_stage(family, address):
            return any(address == other.near(family) for other in self.links)
        key = (family, address)
        if key in self.behind or key in self.foreign or key in self.gateways:
            return False
        self.own.setdefault((family, address), link)
        return True

    def send_from(self, family: Family, address: int) -> bool:
        """Let packets come from an address; False if it is the firewall's own, which the kernel
        refuses to see as a source on any link (a martian, fib_validate_source)."""
        if (
            (family, address) in self.own
            or (family, address) in self.reserved
            or (family, address) in self.gateways
            or any(address == link.near(family) for link in self.links)
        ):
            return False
        self.foreign.add((family, address))
        return True

    def is_own(self, family: Family, address: int) -> bool:
        """Whether an address is the firewall's own."""
        return (family, address) in self.own or any(
            address == link.near(family) for link in self.links
        )

    def link_behind(self, family: Family, address: int) -> Link | None:
        """The link by which an address is reached, or None."""
        for link in self.links:
            if address == link.far(family):
                return link
        return self.behind.get((family, address))

    def net(self, family: Family) -> Net:
        """A network that holds the block of all links, and nothing that a policy should name."""
        length = PREFIX_LENGTH[family] - MAX_LINKS.bit_length()
        full = (1 << family.bits) - 1
        mask = full ^ (full >> length)
        return Net(family, _BASE[family] & mask, mask)

    def is_on_stage(self, family: Family, address: int) -> bool:
        """Whether an address lies in the block that the links use."""
        first = _BASE[family]
        return first <= address < first + ((MAX_LINKS + 1) << _LINK_SHIFT[family])

    @property
    def is_steered(self) -> bool:
        """Whether marks choose routes here."""
        return any(not routing.is_empty for routing in self.routing.values())

    @property
    def direct(self) -> tuple[Link, ...]:
        """Links by which a route leads straight out, so that everybody there is a neighbour."""
        names = {
            route.interface
            for routing in self.routing.values()
            for route in routing.routes
            if route.interface and route.next_hop is None
        }
        return tuple(link for link in self.links if link.interface in names)

    def routes(self) -> tuple[Route, ...]:
        """A host route for every address that lies behind a link's far end.

        Where marks choose routes, those are the last to be asked: a table that stands for the
        default route must come before them.
        """
        table = LAST_TABLE if self.is_steered else MAIN_TABLE
        return tuple(
            Route(_host(family, address), link.interface, link.far(family), table)
            for (family, address), link in self.behind.items()
        )

    def _table_routes(self) -> tuple[Route, ...]:
        found = [
            Route(_host(family, address), link.interface)
            for (family, address), link in self.gateways.items()
        ]
        found += [
            Route(route.destination, route.interface, route.next_hop, route.table, route.metric)
            for routing in self.routing.values()
            for route in routing.routes
        ]
        return tuple(found)

    def _rules(self) -> tuple[RoutingRule, ...]:
        return tuple(
            RoutingRule(rule.preference, rule.mark, rule.table, family, rule.without_default)
            for family, routing in self.routing.items()
            for rule in routing.rules
        )

    def facts(self) -> HostFacts:
        """What a prediction has to know of the stage."""
        return HostFacts(
            addresses={
                link.interface: (
                    *(
                        InterfaceAddress(family, link.near(family), PREFIX_LENGTH[family])
                        for family in Family
                    ),
                    *(
                        InterfaceAddress(family, address, family.bits)
                        for (family, address), owner in self.own.items()
                        if owner is link
                    ),
                )
                for link in self.links
            },
            routes=(*self._table_routes(), *self.routes()),
            rules=self._rules(),
        )


def _host(family: Family, address: int) -> Net:
    return Net(family, address, (1 << family.bits) - 1)
