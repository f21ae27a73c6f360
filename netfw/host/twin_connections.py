"""Connections of a host, made again in its twin: as the host's connection tracking has them now.

Source: ctnetlink_create_conntrack in net/netfilter/nf_conntrack_netlink.c.
"""

from __future__ import annotations

from netfw.host.connection_mark import FAMILY, GET_CONNECTION, tuple_of
from netfw.host.live_namespace import LiveNamespace
from netfw.host.namespace import Namespace
from netfw.host.netlink import (
    ACK,
    MESSAGE_ERROR,
    ask,
    attribute,
    open_netfilter,
    request,
    split,
    split_attributes,
)
from netfw.traverse.packet import Packet

_NEW = 1 << 8 | 0
"""NFNL_SUBSYS_CTNETLINK and IPCTNL_MSG_CT_NEW."""
_CREATE = 0x400
_ORIGINAL, _REPLY, _STATUS, _PROTOCOL, _TIMEOUT, _MARK = 1, 2, 3, 4, 7, 8
_COPIED = frozenset({_ORIGINAL, _REPLY, _PROTOCOL, _TIMEOUT, _MARK})
_TYPE = 0x3FFF
_SEEN_REPLY_AND_ASSURED = 0x2 | 0x4
_CONFIRMED = 0x8


def copy_connection(host: LiveNamespace, twin: Namespace, packet: Packet) -> bool:
    """Give the twin the connection that a packet of the host belongs to; False where the host has
    none. Raises OSError where the kernel refuses."""
    found = _read(host, packet)
    if found is None:
        return False
    wanted = b"".join(attribute(kind, value) for kind, value in found if kind & _TYPE in _COPIED)
    for kind, value in found:
        if kind & _TYPE == _STATUS:
            status = int.from_bytes(value, "big") & _SEEN_REPLY_AND_ASSURED | _CONFIRMED
            wanted += attribute(_STATUS, status.to_bytes(4, "big"))
    with open_netfilter(twin) as link:
        message = request(_NEW, ACK | _CREATE, FAMILY[packet.family], 0, wanted)
        ask(link, message, "connection")
    return True


def _read(host: LiveNamespace, packet: Packet) -> list[tuple[int, bytes]] | None:
    """The attributes of the packet's connection."""
    with open_netfilter(host) as link:
        link.send(request(GET_CONNECTION, 0, FAMILY[packet.family], 0, tuple_of(packet)))
        for kind, body in split(link.recv(65536)):
            if kind != MESSAGE_ERROR:
                return split_attributes(body, 4)
    return None
