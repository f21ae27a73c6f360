"""Who besides rules may write packet marks in a namespace: processes behind queues, tc, eBPF."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from netfw.host.live_namespace import LiveNamespace

_BPF_OF_TC = frozenset({"clsact", "ingress"})


@dataclass(frozen=True, slots=True)
class OutsideWriters:
    """``queues`` are the processes that read NFQUEUE's queues, by number; ``tc`` the interfaces
    with tc filters at their entrance or exit (what the filters do is not looked at)."""

    queues: Mapping[int, str] = field(default_factory=dict)
    tc: frozenset[str] = frozenset()
    has_legacy: bool = False


def read_outside_writers(namespace: LiveNamespace, *, has_legacy: bool) -> OutsideWriters:
    """Look at a namespace; what may not be read is left out."""
    queues = namespace.call(_queues)
    try:
        with_tc = namespace.call(_with_tc)
    except OSError:
        with_tc = frozenset()
    return OutsideWriters(queues, with_tc, has_legacy)


def _queues() -> dict[int, str]:
    path = Path("/proc/thread-self/net/netfilter/nfnetlink_queue")
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        words = line.split()
        if len(words) >= 2:
            found[int(words[0])] = _process(int(words[1]))
    return found


def _process(port: int) -> str:
    """A netlink port is usually the number of the process that opened it."""
    try:
        name = Path("/proc", str(port), "comm").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"netlink port {port}"
    return f"{name.strip()} (process {port})"


def _with_tc() -> frozenset[str]:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    names = dict(socket.if_nameindex())
    try:
        with IPRoute() as link:
            messages = list(link.get_qdiscs())
    except NetlinkError:
        return frozenset()
    return frozenset(
        names.get(int(one["index"]), "")
        for one in messages
        if one.get_attr("TCA_KIND") in _BPF_OF_TC
    )
