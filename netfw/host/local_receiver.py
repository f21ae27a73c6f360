"""Sees what is really delivered to a namespace, behind INPUT, with the mark it ends with."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from netfw.host.namespace import Namespace
from netfw.host.netlink import dropped, set_receive_buffer
from netfw.ir.names import Family

_SO_MARK = 36
_SO_RCVMARK = 75
"""Since Linux 5.19: a received packet's mark as a control message (asm-generic/socket.h)."""
_IPV6_FLOWINFO = 11
_BUFFER = 16 * 1024 * 1024
_AF = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}


class Delivered(NamedTuple):
    """A packet from its IP header on, and its mark (None where this kernel does not tell)."""

    packet: bytes
    mark: int | None


class LocalReceiver:
    """Raw sockets that get a copy of every delivered packet of some protocols.

    raw_local_deliver in net/ipv4/raw.c hands packets out behind INPUT, whether or not a process
    has the port. IPv6 sockets give no header: it is put together from what the kernel tells.
    """

    def __init__(self, namespace: Namespace, family: Family, protocols: set[int]) -> None:
        self._family = family
        self.tells_marks = True
        self._sockets = [
            (protocol, self._open(namespace, protocol)) for protocol in sorted(protocols)
        ]

    def _open(self, namespace: Namespace, protocol: int) -> socket.socket:
        def make() -> socket.socket:
            return socket.socket(_AF[self._family], socket.SOCK_RAW, protocol)

        made = namespace.call(make)
        set_receive_buffer(made, _BUFFER)
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVMARK, 1)
        except OSError:
            self.tells_marks = False
        if self._family is Family.IPV6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FLOWINFO, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        made.setblocking(False)
        return made

    def arrived(self) -> list[Delivered]:
        """What has been delivered since the last call."""
        found = []
        for protocol, link in self._sockets:
            while True:
                try:
                    data, controls, _, sender = link.recvmsg(65536, 256)
                except BlockingIOError:
                    break
                mark = 0 if self.tells_marks else None
                flow, destination, hop_limit = b"\0" * 4, b"\0" * 16, 0
                for level, kind, value in controls:
                    if level == socket.SOL_SOCKET and kind == _SO_MARK:
                        (mark,) = struct.unpack("=I", value[:4])
                    elif level == socket.IPPROTO_IPV6 and kind == _IPV6_FLOWINFO:
                        flow = value[:4]
                    elif level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
                        destination = value[:16]
                    elif level == socket.IPPROTO_IPV6 and kind == socket.IPV6_HOPLIMIT:
                        (hop_limit,) = struct.unpack("=i", value[:4])
                if self._family is Family.IPV6:
                    source = socket.inet_pton(socket.AF_INET6, sender[0].partition("%")[0])
                    head = flow, len(data), protocol, hop_limit, source, destination
                    data = _ipv6_header(*head) + data
                found.append(Delivered(data, mark))
        return found

    @property
    def lost(self) -> int:
        """How many delivered packets found no room in a buffer and were never seen here."""
        return sum(dropped(link) for _, link in self._sockets)

    def close(self) -> None:
        """Give the sockets back."""
        for _, link in self._sockets:
            link.close()


def _ipv6_header(
    flow: bytes, length: int, protocol: int, hop_limit: int, source: bytes, destination: bytes
) -> bytes:
    first = bytes([0x60 | flow[0] & 0x0F]) + flow[1:4]
    return first + struct.pack(">HBB", length, protocol, hop_limit) + source + destination
