"""The names of this host's interfaces."""

from __future__ import annotations

import socket


def interface_names() -> frozenset[str]:
    """Of the network namespace that this process is in."""
    return frozenset(name for _, name in socket.if_nameindex())
