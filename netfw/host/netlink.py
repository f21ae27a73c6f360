"""The little of netlink's wire format that the trace readers and rule listings need.

Source: linux/netlink.h, linux/netfilter/nfnetlink.h. pyroute2's generic decoder manages a sixth
of the speed that tracing needs.
"""

from __future__ import annotations

import os
import socket
import struct

from netfw.errors import HostError
from netfw.host.namespace import Namespace

NETLINK_NETFILTER = 12
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
HEADER_LENGTH = 20
"""nlmsghdr (16 bytes) and nfgenmsg (4 bytes)."""
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
MESSAGE_ERROR, MESSAGE_DONE = 2, 3
_SO_RCVBUFFORCE = 33


def open_netfilter(namespace: Namespace, receive_buffer: int = 0) -> socket.socket:
    """A netfilter netlink socket in a namespace; ``receive_buffer`` in bytes (0: the default)."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        made.bind((0, 0))
        return made

    made = namespace.call(make)
    if receive_buffer:
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer)
        except PermissionError:
            # without CAP_NET_ADMIN in the first user namespace net.core.rmem_max is the limit
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    return made


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    length = 4 + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length % 4)


def request(
    kind: int, flags: int, family: int, resource: int, attributes: bytes, sequence: int = 1
) -> bytes:
    """A whole nfnetlink message; ``resource`` is res_id, such as an NFLOG group."""
    body = struct.pack(">BBH", family, 0, resource) + attributes
    return _HEADER.pack(16 + len(body), kind, flags | REQUEST, sequence, 0) + body


def split(datagram: bytes) -> list[tuple[int, bytes]]:
    """The messages of a datagram: type, and what follows nlmsghdr."""
    messages = []
    offset = 0
    while offset + 16 <= len(datagram):
        length, kind, _, _, _ = _HEADER.unpack_from(datagram, offset)
        if length < 16:
            break
        messages.append((kind, datagram[offset + 16 : offset + length]))
        offset += (length + 3) & ~3
    return messages


def attributes_of(body: bytes, offset: int = 4) -> dict[int, bytes]:
    """The attributes of a message body, by type (flags cut off)."""
    found = {}
    end = len(body)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = body[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def ask(link: socket.socket, message: bytes, what: str) -> None:
    """Send a request with ACK and wait for the answer; raises HostError with the kernel's word,
    and PermissionError or OSError where the kernel refuses."""
    link.send(message)
    for kind, body in split(link.recv(65536)):
        if kind == MESSAGE_ERROR:
            (code,) = struct.unpack_from("=i", body)
            if code:
                raise OSError(-code, os.strerror(-code), what)
            return
    raise HostError.at(what, "the kernel gave no answer")


def dump(link: socket.socket, message: bytes, what: str) -> list[bytes]:
    """Send a dump request and collect the bodies of all answers; raises OSError."""
    link.send(message)
    bodies: list[bytes] = []
    while True:
        for kind, body in split(link.recv(1 << 20)):
            if kind == MESSAGE_DONE:
                return bodies
            if kind == MESSAGE_ERROR:
                (code,) = struct.unpack_from("=i", body)
                raise OSError(-code, os.strerror(-code), what)
            bodies.append(body)
