"""The little of netlink's wire format that the trace readers and rule listings need.

Source: linux/netlink.h, linux/netfilter/nfnetlink.h. pyroute2's generic decoder manages a sixth
of the speed that tracing needs.
"""

from __future__ import annotations

import os
import socket
import struct

from netfw.errors import HostError
from netfw.host.namespace import Namespace, call_in

NETLINK_NETFILTER = 12
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
HEADER_LENGTH = 20
"""nlmsghdr (16 bytes) and nfgenmsg (4 bytes)."""
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
MESSAGE_ERROR, MESSAGE_DONE = 2, 3
_DUMP_INTERRUPTED = 0x10
_PATIENCE = 10.0
"""Seconds; the kernel answers a request at once."""
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")
_MEMINFO_DROPS = 8
"""Place in the answer (SK_MEMINFO_DROPS in linux/sock_diag.h)."""


def open_netfilter(namespace: Namespace | None, receive_buffer: int = 0) -> socket.socket:
    """A netfilter netlink socket in a namespace (None: where we are); ``receive_buffer`` in bytes
    (0: the default)."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        made.bind((0, 0))
        return made

    made = call_in(namespace, make)
    made.settimeout(_PATIENCE)
    if receive_buffer:
        set_receive_buffer(made, receive_buffer)
    return made


def set_receive_buffer(link: socket.socket, size: int) -> None:
    """Give a socket room for ``size`` bytes; the kernel doubles that."""
    try:
        link.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except PermissionError:
        # without CAP_NET_ADMIN in the first user namespace net.core.rmem_max is the limit
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def dropped(link: socket.socket) -> int:
    """How many messages or packets the kernel could not put into a socket's buffer so far.

    The number is right at any time: it needs no further message that would show a gap.
    """
    numbers = _MEMINFO.unpack(link.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
    return int(numbers[_MEMINFO_DROPS])


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    length = 4 + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length % 4)


def request(
    kind: int, flags: int, family: int, resource: int, attributes: bytes, sequence: int = 1
) -> bytes:
    """A whole nfnetlink message; ``resource`` is res_id, such as an NFLOG group."""
    body = struct.pack(">BBH", family, 0, resource) + attributes
    return link_message(kind, flags, body, sequence)


def link_message(kind: int, flags: int, body: bytes, sequence: int = 1) -> bytes:
    """A whole netlink message of any kind."""
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
    return {kind & 0x3FFF: value for kind, value in split_attributes(body, offset)}


def split_attributes(body: bytes, offset: int) -> list[tuple[int, bytes]]:
    """The attributes of a message body in their order, types with their flags."""
    found = []
    end = len(body)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < 4:
            break
        found.append((kind, body[offset + 4 : offset + length]))
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
    """Send a dump request and collect the bodies of all answers.

    Raises OSError, and HostError where what is listed changes under our hands.
    """
    link.send(message)
    bodies: list[bytes] = []
    while True:
        datagram = link.recv(1 << 20)
        if _HEADER.unpack_from(datagram)[2] & _DUMP_INTERRUPTED:
            raise HostError.at(what, "it changed while it was read", "try again")
        for kind, body in split(datagram):
            if kind == MESSAGE_DONE:
                return bodies
            if kind == MESSAGE_ERROR:
                (code,) = struct.unpack_from("=i", body)
                raise OSError(-code, os.strerror(-code), what)
            bodies.append(body)
