"""The interfaces of a live host with their addresses and default routes, by netlink dumps."""

from __future__ import annotations

from typing import Any

from netfw.errors import CapabilityError, HostError
from netfw.host.live_namespace import LiveNamespace
from netfw.ir.names import Family
from netfw.ir.net import parse_address
from netfw.policy.host_names import HostInterface, HostNames

_AF = {Family.IPV4: 2, Family.IPV6: 10}
_MAIN_TABLE = 254
"""RT_TABLE_MAIN in linux/rtnetlink.h."""
_UNICAST = 1
"""RTN_UNICAST there."""


def read_host_names(namespace: LiveNamespace) -> HostNames:
    """Look at a namespace; raises HostError."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        return namespace.call(_read)
    except NetlinkError as error:
        raise HostError.at(namespace.name, f"its interfaces cannot be read: {error}") from None
    except PermissionError:
        raise CapabilityError.at(namespace.name, "may not be looked at", "run as root") from None


def _read() -> HostNames:
    from pyroute2 import IPRoute

    with IPRoute() as link:
        names = {int(one["index"]): str(one.get_attr("IFLA_IFNAME")) for one in link.get_links()}
        addresses: dict[str, set[tuple[Family, int]]] = {name: set() for name in names.values()}
        leading: dict[str, set[Family]] = {name: set() for name in names.values()}
        for family, number in _AF.items():
            for message in link.get_addr(family=number):
                text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
                name = names.get(int(message["index"]))
                if name is not None and text is not None:
                    addresses[name].add(parse_address(str(text)))
            for message in link.get_routes(family=number, table=_MAIN_TABLE):
                for name in _leads_by(message, names):
                    leading[name].add(family)
    return HostNames(
        tuple(
            HostInterface(
                name,
                tuple(sorted(addresses[name], key=lambda each: (each[0].value, each[1]))),
                tuple(family for family in Family if family in leading[name]),
            )
            for name in sorted(names.values())
        )
    )


def _leads_by(route: Any, names: dict[int, str]) -> list[str]:  # noqa: ANN401 - pyroute2
    """The interfaces of a default route, also of one with several next hops."""
    if int(route["dst_len"]) != 0 or int(route["type"]) != _UNICAST:
        return []
    hops = route.get_attr("RTA_MULTIPATH") or []
    indexes = [int(hop["oif"]) for hop in hops] or [int(route.get_attr("RTA_OIF") or 0)]
    return [names[index] for index in indexes if index in names]
