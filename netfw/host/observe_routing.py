"""Interfaces with the marks of tunnels, and routing rules in words."""

from __future__ import annotations

from typing import Any

from netfw.doctor.observed import Link, RoutingRule
from netfw.errors import HostError
from netfw.host.live_facts import routing_rule
from netfw.host.live_namespace import LiveNamespace
from netfw.ir.names import Family
from netfw.traverse.routing_tables import RouteKind, TableRule

_AF = {Family.IPV4: 2, Family.IPV6: 10}
_IFF_UP = 0x1
_TABLES = {255: "local", 254: "main", 253: "default"}
_NOTHING = -1


def read_links(namespace: LiveNamespace) -> tuple[Link, ...]:
    """The interfaces, with the marks that tunnels and WireGuard give. Raises HostError."""
    return namespace.call(lambda: _checked(_links, namespace.name))


def read_routing_rules(namespace: LiveNamespace) -> tuple[RoutingRule, ...]:
    """The routing rules of both families, in order of preference. Raises HostError."""
    return namespace.call(lambda: _checked(_routing_rules, namespace.name))


def _checked(function: Any, name: str) -> Any:  # noqa: ANN401 - what the function gives
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        return function()
    except NetlinkError as error:
        raise HostError.at(name, f"its interfaces or rules cannot be read: {error}") from None


def _links() -> tuple[Link, ...]:
    from pyroute2 import IPRoute

    with IPRoute() as link:
        messages = list(link.get_links())
        addresses: dict[int, list[str]] = {}
        for one in link.get_addr():
            text = one.get_attr("IFA_LOCAL") or one.get_attr("IFA_ADDRESS")
            addresses.setdefault(int(one["index"]), []).append(f"{text}/{one['prefixlen']}")
    names = {int(one["index"]): str(one.get_attr("IFLA_IFNAME")) for one in messages}
    return tuple(_link(one, names, addresses) for one in messages)


def _link(one: Any, names: dict[int, str], addresses: dict[int, list[str]]) -> Link:  # noqa: ANN401 - pyroute2
    index = int(one["index"])
    details = one.get_attr("IFLA_LINKINFO")
    kind, data = "", None
    if details is not None:
        kind = str(details.get_attr("IFLA_INFO_KIND") or "")
        data = details.get_attr("IFLA_INFO_DATA")
    statistics = one.get_attr("IFLA_STATS64") or {}
    mark = _mark_of(data)
    if kind == "wireguard":
        mark = _wireguard_mark(names[index])
    return Link(
        names[index],
        index,
        kind,
        names.get(int(one.get_attr("IFLA_MASTER") or 0), ""),
        bool(one["flags"] & _IFF_UP),
        tuple(addresses.get(index, ())),
        mark,
        int(statistics.get("collisions", 0)),
        _filters_bridged(data),
    )


def _attributes(data: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - pyroute2
    try:
        return [(str(name), value) for name, value in data["attrs"]]
    except (TypeError, KeyError, ValueError):
        # kinds of links that pyroute2 does not take apart
        return []


def _mark_of(data: Any) -> int:  # noqa: ANN401 - pyroute2
    """IFLA_IPIP_FWMARK, IFLA_GRE_FWMARK, IFLA_VTI_FWMARK and the like."""
    for name, value in _attributes(data):
        if name.endswith("_FWMARK") and isinstance(value, int):
            return value
    return 0


def _filters_bridged(data: Any) -> bool:  # noqa: ANN401 - pyroute2
    return any(
        name in ("IFLA_BR_NF_CALL_IPTABLES", "IFLA_BR_NF_CALL_IP6TABLES") and bool(value)
        for name, value in _attributes(data)
    )


def _wireguard_mark(name: str) -> int:
    from pyroute2 import WireGuard

    with WireGuard() as link:
        for message in link.info(name):
            return int(message.get_attr("WGDEVICE_A_FWMARK") or 0)
    return 0


def _routing_rules() -> tuple[RoutingRule, ...]:
    from pyroute2 import IPRoute

    found = []
    with IPRoute() as link:
        for family, number in _AF.items():
            for message in link.get_rules(family=number):
                rule = routing_rule(message, family)
                if rule is not None:
                    made_by = message.get_attr("FRA_PROTOCOL")
                    found.append(RoutingRule(rule, int(made_by or 0), rule_text(rule)))
    return tuple(sorted(found, key=lambda one: (one.rule.family.value, one.rule.preference)))


def rule_text(rule: TableRule) -> str:
    """A routing rule as ``ip rule`` prints it, but tables by their numbers."""
    words = [f"{rule.preference}:"]
    if rule.invert:
        words.append("not")
    words += ["from", "all" if rule.source is None else str(rule.source)]
    if rule.destination is not None:
        words += ["to", str(rule.destination)]
    if rule.mark is not None:
        mask = "" if rule.mark.mask == 0xFFFFFFFF else f"/{rule.mark.mask:#x}"
        words += ["fwmark", f"{rule.mark.value:#x}{mask}"]
    if rule.in_interface:
        words += ["iif", rule.in_interface]
    if rule.unknown:
        words.append(f"({rule.unknown})")
    if rule.leads_elsewhere:
        words.append("goto")
    elif rule.kind is RouteKind.UNICAST:
        words += ["lookup", _TABLES.get(rule.table, str(rule.table))]
        if rule.suppressed_prefix != _NOTHING:
            words += ["suppress_prefixlength", str(rule.suppressed_prefix)]
    else:
        words.append("nop" if rule.kind is RouteKind.THROW else rule.kind.name.lower())
    return " ".join(words)
