"""The mark of a connection, as connection tracking has it now.

Source: ctnetlink_get_conntrack in net/netfilter/nf_conntrack_netlink.c; the attributes are those
of linux/netfilter/nfnetlink_conntrack.h. An entry is found by the tuple of either direction.
"""

from __future__ import annotations

import struct

from netfw.host.live_namespace import LiveNamespace
from netfw.host.netlink import (
    MESSAGE_ERROR,
    attribute,
    attributes_of,
    open_netfilter,
    request,
    split,
)
from netfw.ir.names import Family
from netfw.traverse.packet import PORT_PROTOCOLS, Packet

GET_CONNECTION = 1 << 8 | 1
"""NFNL_SUBSYS_CTNETLINK and IPCTNL_MSG_CT_GET."""
_NESTED = 0x8000
_TUPLE, _MARK = 1, 8
_ADDRESSES, _PROTOCOL = 1, 2
FAMILY = {Family.IPV4: 2, Family.IPV6: 10}
_IP = {Family.IPV4: (1, 2, 4), Family.IPV6: (3, 4, 16)}
"""Numbers of the attributes of source and destination, and an address' length in bytes."""
_ICMP = {Family.IPV4: (4, 5, 6), Family.IPV6: (7, 8, 9)}
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_U32 = struct.Struct(">I")


class ConnectionMarks:
    """Asks connection tracking of a namespace; a context manager that holds one socket."""

    def __init__(self, namespace: LiveNamespace) -> None:
        self._link = open_netfilter(namespace)

    def of(self, packet: Packet) -> int | None:
        """The mark of a packet's connection now; None where there is no entry, or nobody may
        know."""
        message = request(GET_CONNECTION, 0, FAMILY[packet.family], 0, tuple_of(packet))
        try:
            self._link.send(message)
            for kind, body in split(self._link.recv(65536)):
                if kind == MESSAGE_ERROR:
                    return None
                mark = attributes_of(body).get(_MARK)
                return 0 if mark is None else int(_U32.unpack(mark)[0])
        except OSError:
            return None
        return None

    def close(self) -> None:
        """Give the socket back."""
        self._link.close()


def tuple_of(packet: Packet) -> bytes:
    """The attribute by which a packet's connection is asked for."""
    source, destination, size = _IP[packet.family]
    addresses = attribute(source, packet.source.to_bytes(size, "big"))
    addresses += attribute(destination, packet.destination.to_bytes(size, "big"))
    protocol = attribute(_NUMBER, bytes([packet.protocol]))
    if packet.protocol in PORT_PROTOCOLS:
        protocol += attribute(_SOURCE_PORT, packet.source_port.to_bytes(2, "big"))
        protocol += attribute(_DESTINATION_PORT, packet.destination_port.to_bytes(2, "big"))
    elif packet.is_icmp:
        identifier, kind, code = _ICMP[packet.family]
        protocol += attribute(identifier, packet.icmp_id.to_bytes(2, "big"))
        protocol += attribute(kind, bytes([packet.icmp_type]))
        protocol += attribute(code, bytes([packet.icmp_code]))
    inner = attribute(_ADDRESSES | _NESTED, addresses) + attribute(_PROTOCOL | _NESTED, protocol)
    return attribute(_TUPLE | _NESTED, inner)
