"""The other end of a cable between namespaces (veth), so that a packet can come in by ours.

Nothing can make a packet come in by an interface from within: it has to be sent at the other end.
Source: RTM_GETNSID in linux/net_namespace.h, IFLA_LINK and IFLA_LINK_NETNSID in linux/if_link.h.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netfw.errors import CapabilityError, UsageError
from netfw.host.inject import FarEnd
from netfw.host.live_namespace import LiveNamespace
from netfw.host.netlink import attribute, attributes_of, link_message, split

_GET_NSID, _NEW_NSID = 90, 88
_NSID, _FD = 1, 3
_I32 = struct.Struct("=i")
_NAMED = Path("/run/netns")


@dataclass(frozen=True, slots=True)
class _Link:
    number: int
    peer: int
    peer_namespace: int | None
    """As our namespace numbers it; None: the peer is in the same one."""
    kind: str
    name: str
    hardware: str


def open_far_side(namespace: LiveNamespace, interface: str) -> FarEnd:
    """The other end of an interface.

    Raises UsageError where there is no such interface, CapabilityError where its other end is not
    on this machine, or in a namespace that nobody shows.
    """
    ours = next((one for one in namespace.call(_links) if one.name == interface), None)
    if ours is None:
        raise UsageError.at("--inject", f"there is no interface {interface} here")
    if ours.kind != "veth":
        raise CapabilityError.at(
            "--inject",
            f"nothing can be made to come in by {interface}: its other end is not on this machine",
            "send it from there, and follow it with a FILTER; or inject what this host sends",
        )
    for path in _namespaces():
        with contextlib.suppress(OSError, UsageError, CapabilityError):
            far = LiveNamespace(path)
            try:
                found = _peer_in(namespace, ours, far)
                if found is not None:
                    return FarEnd(far, found.name, found.hardware, ours.hardware)
            finally:
                far.close()
    raise CapabilityError.at(
        "--inject",
        f"the namespace with the other end of {interface} is not found",
        "no process is in it, and it has no name ('ip netns attach' gives it one)",
    )


def _peer_in(namespace: LiveNamespace, ours: _Link, far: LiveNamespace) -> _Link | None:
    if _number_of(namespace, far) != ours.peer_namespace:
        return None
    for one in far.call(_links):
        if one.number == ours.peer and one.peer == ours.number and one.kind == "veth":
            return one
    return None


def _number_of(namespace: LiveNamespace, far: LiveNamespace) -> int | None:
    """The number that a namespace has for another one; None for itself, -1 for none."""
    if os.fstat(namespace.descriptor).st_ino == os.fstat(far.descriptor).st_ino:
        return None

    def ask() -> int:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
            body = bytes(4) + attribute(_FD, _I32.pack(far.descriptor))
            link.send(link_message(_GET_NSID, 0, body))
            for kind, answer in split(link.recv(65536)):
                if kind == _NEW_NSID:
                    return int(_I32.unpack(attributes_of(answer)[_NSID])[0])
        return -1

    return namespace.call(ask)


def _namespaces() -> Iterator[str]:
    """A path to each namespace of this machine that is shown, each once."""
    seen = set()
    paths = [_NAMED / name for name in sorted(os.listdir(_NAMED))] if _NAMED.is_dir() else []
    paths += [Path("/proc", name, "ns", "net") for name in os.listdir("/proc") if name.isdigit()]
    for path in paths:
        try:
            number = path.stat().st_ino
        except OSError:
            continue
        if number not in seen:
            seen.add(number)
            yield str(path)


def _links() -> list[_Link]:
    from pyroute2 import IPRoute

    with IPRoute() as link:
        found = []
        for one in link.get_links():
            details = one.get_attr("IFLA_LINKINFO")
            found.append(
                _Link(
                    int(one["index"]),
                    int(one.get_attr("IFLA_LINK") or 0),
                    one.get_attr("IFLA_LINK_NETNSID"),
                    "" if details is None else str(details.get_attr("IFLA_INFO_KIND") or ""),
                    str(one.get_attr("IFLA_IFNAME")),
                    str(one.get_attr("IFLA_ADDRESS") or ""),
                )
            )
        return found
