"""Connections of a namespace, summed up by mark."""

from __future__ import annotations

import os

from netfw.doctor.observed import ConnectionMarks
from netfw.facts.connection_dump import ConnectionTally
from netfw.host.live_namespace import LiveNamespace
from netfw.host.netlink import DUMP, open_netfilter, request

_GET = 1 << 8 | 1
"""NFNL_SUBSYS_CTNETLINK and IPCTNL_MSG_CT_GET in linux/netfilter/nfnetlink_conntrack.h."""


def read_connections(namespace: LiveNamespace) -> tuple[ConnectionMarks, ...]:
    """All connections, the commonest mark first. Raises OSError where the kernel does not say."""
    tally = ConnectionTally()
    with open_netfilter(namespace) as link:
        link.send(request(_GET, DUMP, 0, 0, b""))
        ended = None
        while ended is None:
            ended = tally.add(link.recv(1 << 18))
    if ended:
        raise OSError(ended, os.strerror(ended))
    return tuple(
        ConnectionMarks(family, mark, count, tally.examples[family, mark])
        for (family, mark), count in tally.counts.most_common()
    )
