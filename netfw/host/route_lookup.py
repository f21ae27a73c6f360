"""What the kernel answers when it is asked for the route of a packet (RTM_GETROUTE).

The answer is that of an incoming packet where an interface is named, with its source checked as
routing does (rp_filter); the packet itself is not there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass

from netfw.host.live_namespace import LiveNamespace
from netfw.ir.names import Family
from netfw.ir.net import format_address
from netfw.traverse.routing_tables import Asked

_AF = {Family.IPV4: 2, Family.IPV6: 10}
_LOCAL = 2
"""RTN_LOCAL in linux/rtnetlink.h."""
_REFUSALS = {
    errno.EXDEV: "refused for its source: rp_filter",
    errno.EINVAL: "refused for its source (rp_filter, or a martian) or destination",
    errno.EHOSTUNREACH: "no route to host, or forwarding is off",
    errno.ENETUNREACH: "no route",
    errno.EACCES: "prohibited by a route or rule",
}


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """``interface`` is empty where the kernel refuses; ``text`` says all of it in words."""

    interface: str
    is_local: bool
    text: str
    error: int = 0


def look_up_route(namespace: LiveNamespace, asked: Asked, names: Mapping[int, str]) -> RouteAnswer:
    """Ask the kernel; ``names`` are the interfaces by number."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    numbers = {name: number for number, name in names.items()}
    words: dict[str, object] = {
        "dst": format_address(asked.family, asked.destination),
        "family": _AF[asked.family],
    }
    if asked.source:
        words["src"] = format_address(asked.family, asked.source)
    if asked.in_interface in numbers:
        words["iif"] = numbers[asked.in_interface]
    if asked.mark:
        words["mark"] = asked.mark

    def ask() -> RouteAnswer:
        with IPRoute() as link:
            (answer, *_) = link.route("get", **words)
        name = names.get(int(answer.get_attr("RTA_OIF") or 0), "")
        gateway = answer.get_attr("RTA_GATEWAY")
        if int(answer["type"]) == _LOCAL:
            return RouteAnswer(name, True, "for this host")
        via = f" via {gateway}" if gateway else ""
        return RouteAnswer(name, False, f"out by {name}{via}")

    try:
        return namespace.call(ask)
    except (NetlinkError, OSError) as error:
        number = int(getattr(error, "code", 0) or getattr(error, "errno", 0) or 0)
        said = _REFUSALS.get(number) or os.strerror(number)
        return RouteAnswer("", False, said, number)
