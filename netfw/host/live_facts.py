"""What a live host says of itself besides its rules: interfaces, addresses, routing, sysctls.

Nothing is changed: netlink dumps and files under /proc.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netfw.errors import CapabilityError, HostError
from netfw.host.live_namespace import LiveNamespace
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Family
from netfw.ir.net import Net, parse_address
from netfw.traverse.hooks import SECURITY_PRIORITY
from netfw.traverse.host_facts import LOOPBACK, InterfaceAddress
from netfw.traverse.packet import Packet
from netfw.traverse.routing_tables import (
    RoutedFacts,
    RouteKind,
    RoutingTables,
    TableRoute,
    TableRule,
)
from netfw.traverse.set_lookup import SetLookup

_AF = {Family.IPV4: 2, Family.IPV6: 10}
_IFF_UP = 0x1
_FIB_RULE_INVERT = 0x2
_ACTIONS = {
    1: RouteKind.UNICAST,
    3: RouteKind.THROW,
    6: RouteKind.BLACKHOLE,
    7: RouteKind.UNREACHABLE,
    8: RouteKind.PROHIBIT,
}
"""FR_ACT_* in linux/fib_rules.h; NOP is a rule that leads nowhere."""
_ACTION_GOTO = 2
_NO_SUPPRESSION = 0xFFFFFFFF
_RULE_SELECTORS = {
    "FRA_OIFNAME": "oif",
    "FRA_UID_RANGE": "uidrange",
    "FRA_IP_PROTO": "ipproto",
    "FRA_SPORT_RANGE": "sport",
    "FRA_DPORT_RANGE": "dport",
    "FRA_TUN_ID": "tun_id",
    "FRA_SUPPRESS_IFGROUP": "suppress_ifgroup",
    "FRA_FLOW": "realms",
}
"""Selectors of routing rules that a packet line says nothing of."""
_KNOWN_RULE_ATTRIBUTES = frozenset(
    {
        "FRA_TABLE",
        "FRA_SUPPRESS_PREFIXLEN",
        "FRA_PROTOCOL",
        "FRA_PRIORITY",
        "FRA_SRC",
        "FRA_DST",
        "FRA_IIFNAME",
        "FRA_FWMARK",
        "FRA_FWMASK",
        "FRA_L3MDEV",
        "FRA_GOTO",
    }
)
_NEXT_HOP_DEAD, _NEXT_HOP_LINKDOWN = 0x1, 0x10
_ROUTE_CLONED = 0x200
"""RTNH_F_DEAD, RTNH_F_LINKDOWN and RTM_F_CLONED in linux/rtnetlink.h."""
_ADDRESS_UNUSED = 0x08 | 0x20 | 0x40 | 0x04
"""IFA_F_DADFAILED, DEPRECATED, TENTATIVE and OPTIMISTIC: no source for new connections."""
_ADDRESS_SECONDARY = 0x01
"""IFA_F_SECONDARY; with IPv6 the same bit says that an address is temporary."""
_LINK_LOCAL = Net.parse("fe80::/10")


@dataclass(frozen=True, slots=True)
class Interface:
    """A link: its kind (``bridge``, ``vrf``, …, empty for hardware) and the one it belongs to."""

    name: str
    is_up: bool
    kind: str = ""
    master: str = ""
    master_kind: str = ""


@dataclass(frozen=True)
class LiveFacts:
    """Facts of a family; ``for_packet`` makes of them what a walk of one packet needs."""

    family: Family
    interfaces: Mapping[str, Interface]
    addresses: Mapping[str, tuple[InterfaceAddress, ...]]
    tables: RoutingTables
    sysctls: Mapping[str, int]
    sets: Mapping[str, SetLookup] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    """What of this host netfw cannot follow, for any packet."""

    def for_packet(
        self, packet: Packet, security_priority: int = SECURITY_PRIORITY
    ) -> RoutedFacts:
        """The facts as they are for this packet."""
        interface = packet.in_interface
        return RoutedFacts(
            addresses=self.addresses,
            forwarding=self._forwards(interface),
            sets=self.sets,
            security_priority=security_priority,
            tables=self.tables,
            packet_source=packet.source,
            packet_interface=interface,
            reverse_path=max(
                self._sysctl("ipv4", "all", "rp_filter"),
                self._sysctl("ipv4", interface, "rp_filter"),
            ),
            # IN_DEV_ORCONF in include/linux/inetdevice.h: for all interfaces, or for this one
            asks_mark=bool(
                self._sysctl("ipv4", "all", "src_valid_mark")
                or self._sysctl("ipv4", interface, "src_valid_mark")
            ),
        )

    @property
    def forwards(self) -> bool:
        """Whether this host forwards packets of the family at all."""
        return bool(self._sysctl(f"ipv{self.family.value}", "all", "forwarding"))

    def _forwards(self, interface: str) -> bool:
        if self.family is Family.IPV6:
            return bool(
                self._sysctl("ipv6", "all", "forwarding")
                or self._sysctl("ipv6", interface, "force_forwarding")
            )
        return bool(self._sysctl("ipv4", interface or "all", "forwarding"))

    def _sysctl(self, family: str, interface: str, name: str) -> int:
        return self.sysctls.get(f"{family}/{interface}/{name}", 0)

    def doubts_about(self, packet: Packet) -> tuple[str, ...]:
        """What netfw cannot follow on the way of this packet."""
        interface = self.interfaces.get(packet.in_interface)
        doubts = list(self.doubts)
        if interface is not None and interface.master_kind not in ("", *TRANSPARENT):
            doubts.append(
                f"{interface.name} belongs to {interface.master_kind} {interface.master}"
            )
        if interface is not None and self.family is Family.IPV4 and interface.name != LOOPBACK:
            doubts += [
                f"the sysctl {name} is on for {interface.name}"
                for name in ("accept_local", "route_localnet")
                if self._sysctl("ipv4", interface.name, name) or self._sysctl("ipv4", "all", name)
            ]
        return tuple(doubts)

    def refuses_interface(self, packet: Packet) -> str:
        """Why nothing comes in by the packet's interface; empty where it does."""
        interface = self.interfaces.get(packet.in_interface)
        if interface is None:
            return ""
        if not interface.is_up:
            return f"interface {interface.name} is down"
        if self.family is Family.IPV6 and self._sysctl("ipv6", interface.name, "disable_ipv6"):
            return f"IPv6 is off on {interface.name}"
        return ""


TRANSPARENT = frozenset({"bridge", "bond", "team"})
"""Kinds whose members give their packets to it before IP sees them."""


def read_facts(namespace: LiveNamespace, family: Family) -> LiveFacts:
    """Look at interfaces, addresses, routes, routing rules and sysctls of a family.

    Raises HostError.
    """
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        return namespace.call(lambda: _read(family))
    except NetlinkError as error:
        raise HostError.at(namespace.name, f"its routing cannot be read: {error}") from None
    except PermissionError:
        raise CapabilityError.at(namespace.name, "may not be looked at", "run as root") from None


def _read(family: Family) -> LiveFacts:
    from pyroute2 import IPRoute

    with IPRoute() as link:
        links = list(link.get_links())
        names = {int(one["index"]): str(one.get_attr("IFLA_IFNAME")) for one in links}
        interfaces = {one.name: one for one in _interfaces(links, names)}
        addresses = _addresses(link.get_addr(family=_AF[family]), family, names)
        rules = [routing_rule(one, family) for one in link.get_rules(family=_AF[family])]
        routes: dict[int, list[TableRoute]] = {}
        for message in link.get_routes(family=_AF[family], table=None):
            for route in _routes(message, family, names):
                routes.setdefault(route.table, []).append(route)
    ordered = sorted((one for one in rules if one is not None), key=lambda one: one.preference)
    doubts = []
    if _has_virtual_servers():
        doubts.append("IPVS balances connections on this host")
    return LiveFacts(
        family,
        interfaces,
        addresses,
        RoutingTables(tuple(ordered), {table: tuple(of) for table, of in routes.items()}),
        _sysctls(interfaces),
        doubts=tuple(doubts),
    )


def _interfaces(links: list[Any], names: Mapping[int, str]) -> list[Interface]:
    kinds = {int(one["index"]): _kind(one) for one in links}
    found = []
    for one in links:
        index, master = int(one["index"]), int(one.get_attr("IFLA_MASTER") or 0)
        found.append(
            Interface(
                names[index],
                bool(one["flags"] & _IFF_UP),
                kinds[index],
                names.get(master, ""),
                kinds.get(master, "") or ("a link" if master else ""),
            )
        )
    return found


def _kind(link: Any) -> str:  # noqa: ANN401 - pyroute2 has no types
    details = link.get_attr("IFLA_LINKINFO")
    return "" if details is None else str(details.get_attr("IFLA_INFO_KIND") or "")


def _addresses(
    messages: Any,  # noqa: ANN401 - pyroute2 has no types
    family: Family,
    names: Mapping[int, str],
) -> dict[str, tuple[InterfaceAddress, ...]]:
    """Addresses that new connections may use, in the kernel's order, link-local ones last.

    Where IPv6 has temporary addresses, which one the kernel prefers is not known: the interface
    is left without any.
    """
    found: dict[str, list[InterfaceAddress]] = {}
    unsure = set()
    for message in messages:
        name = names.get(int(message["index"]), "")
        flags = int(message.get_attr("IFA_FLAGS") or message["flags"])
        text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        if flags & _ADDRESS_SECONDARY and family is Family.IPV6:
            unsure.add(name)
        if flags & _ADDRESS_UNUSED:
            continue
        _, number = parse_address(str(text))
        mine = InterfaceAddress(family, number, int(message["prefixlen"]))
        found.setdefault(name, []).append(mine)
    return {
        name: tuple(
            sorted(of, key=lambda one: family is Family.IPV6 and one.address in _LINK_LOCAL)
        )
        for name, of in found.items()
        if name not in unsure
    }


def routing_rule(message: Any, family: Family) -> TableRule | None:  # noqa: ANN401 - pyroute2
    """A routing rule; None for one that no packet of a line follows (l3mdev)."""
    if message.get_attr("FRA_L3MDEV"):
        return None
    unknown = [word for name, word in _RULE_SELECTORS.items() if message.get_attr(name)]
    unknown += [
        name
        for name, _ in message["attrs"]
        if name not in _KNOWN_RULE_ATTRIBUTES and name not in _RULE_SELECTORS
    ]
    if message["tos"] or message.get_attr("FRA_DSCP"):
        unknown.append("tos")
    mark = message.get_attr("FRA_FWMARK")
    mask = message.get_attr("FRA_FWMASK")
    word = None
    if mark is not None or mask is not None:
        word = MaskedWord(int(mark or 0), 0xFFFFFFFF if mask is None else int(mask))
    suppressed = message.get_attr("FRA_SUPPRESS_PREFIXLEN")
    action = int(message["action"])
    return TableRule(
        int(message.get_attr("FRA_PRIORITY") or 0),
        family,
        int(message.get_attr("FRA_TABLE") or message["table"]),
        _ACTIONS.get(action, RouteKind.THROW),
        source=_selector(message.get_attr("FRA_SRC"), int(message["src_len"]), family),
        destination=_selector(message.get_attr("FRA_DST"), int(message["dst_len"]), family),
        in_interface=str(message.get_attr("FRA_IIFNAME") or ""),
        mark=word,
        invert=bool(message["flags"] & _FIB_RULE_INVERT),
        suppressed_prefix=-1 if suppressed in (None, _NO_SUPPRESSION) else int(suppressed),
        unknown=", ".join(dict.fromkeys(unknown)),
        leads_elsewhere=action == _ACTION_GOTO,
    )


def _selector(text: str | None, length: int, family: Family) -> Net | None:
    return None if text is None else _net(text, length, family)


def _net(text: str | None, length: int, family: Family) -> Net:
    if text is None:
        return Net.everything(family)
    full = (1 << family.bits) - 1
    mask = full ^ (full >> length)
    return Net(family, int(ipaddress.ip_address(text)) & mask, mask)


def _routes(message: Any, family: Family, names: Mapping[int, str]) -> list[TableRoute]:  # noqa: ANN401
    """What a route message says: one for each of several next hops; none for a dead one."""
    if message["flags"] & _ROUTE_CLONED:
        return []
    try:
        kind = RouteKind(int(message["type"]))
    except ValueError:
        kind = RouteKind.MULTICAST
    table = int(message.get_attr("RTA_TABLE") or message["table"])
    destination = _net(message.get_attr("RTA_DST"), int(message["dst_len"]), family)
    unknown = []
    if message["tos"] and family is Family.IPV4:
        unknown.append("it is for one TOS alone")
    if message["src_len"]:
        unknown.append("it is for some sources alone")
    hops = message.get_attr("RTA_MULTIPATH") or []
    index = message.get_attr("RTA_OIF")
    if message.get_attr("RTA_NH_ID") and not hops and index is None:
        unknown.append("it leads to a next hop object")
    if message.get_attr("RTA_ENCAP_TYPE"):
        unknown.append("it puts packets into a tunnel")
    found = []
    for hop in hops or [message]:
        flags = int(hop["flags"])
        if flags & _NEXT_HOP_DEAD:
            continue
        said = [*unknown]
        if flags & _NEXT_HOP_LINKDOWN:
            said.append("its link is down")
        interface = int(hop["oif"] if hops else index or 0)
        gateway = hop.get_attr("RTA_GATEWAY")
        preferred = message.get_attr("RTA_PREFSRC")
        found.append(
            TableRoute(
                table,
                kind,
                destination,
                names.get(interface, ""),
                None if gateway is None else parse_address(str(gateway))[1],
                int(message.get_attr("RTA_PRIORITY") or 0),
                "; ".join(said),
                None if preferred is None else parse_address(str(preferred))[1],
            )
        )
    return found


_SYSCTLS = (
    ("ipv4", "forwarding"),
    ("ipv4", "rp_filter"),
    ("ipv4", "accept_local"),
    ("ipv4", "route_localnet"),
    ("ipv4", "src_valid_mark"),
    ("ipv6", "forwarding"),
    ("ipv6", "force_forwarding"),
    ("ipv6", "disable_ipv6"),
)


def _sysctls(interfaces: Mapping[str, Interface]) -> dict[str, int]:
    """Settings by ``family/interface/name``; what this kernel lacks is left out."""
    found = {}
    for family, name in _SYSCTLS:
        for interface in ("all", *interfaces):
            path = Path("/proc/sys/net") / family / "conf" / interface / name
            try:
                found[f"{family}/{interface}/{name}"] = int(path.read_text(encoding="ascii"))
            except OSError:
                continue
    return found


def _has_virtual_servers() -> bool:
    try:
        lines = Path("/proc/thread-self/net/ip_vs").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    # three lines of headings come first
    return len(lines) > 3
