"""pyroute2's socket in a namespace, on machines that have little time for it too.

pyroute2 opens it in a child, and gives the child a few seconds: a guest under software emulation,
or a machine that is busy, needs more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netfw.errors import HostError
from netfw.host.namespace import Namespace

if TYPE_CHECKING:
    from pyroute2 import IPRoute

_PATIENCE = 30
"""Seconds; on a machine with time for it, it takes some milliseconds."""


def open_route_socket(namespace: Namespace) -> IPRoute:
    """Links, addresses and routes of a namespace; to be closed. Raises HostError."""
    from pyroute2 import IPRoute, config

    config.default_communicate_timeout = _PATIENCE // 3  # then it begins anew
    config.default_create_socket_timeout = _PATIENCE
    try:
        return IPRoute(netns=namespace.path)
    except TimeoutError:
        raise HostError.at(
            "netlink",
            f"no socket in the namespace {namespace.path} in {_PATIENCE} seconds",
            "is this machine very busy? run it again",
        ) from None
