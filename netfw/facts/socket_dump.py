"""Sockets as the kernel's inet_diag dumps them, with their marks.

Source: linux/inet_diag.h (inet_diag_msg, INET_DIAG_MARK), linux/tcp_states.h. The mark is there
only for those who may administer the network.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from netfw.ir.names import Family
from netfw.ir.net import format_address

_FAMILIES = {2: Family.IPV4, 10: Family.IPV6}
_HEAD = struct.Struct("=BBBB")
_PORTS = struct.Struct(">HH")
_NUMBERS = struct.Struct("=IIIII")
MESSAGE_LENGTH = 72
"""sizeof(struct inet_diag_msg); attributes follow."""
MARK = 15
"""INET_DIAG_MARK."""
_STATES = (
    "",
    "ESTAB",
    "SYN-SENT",
    "SYN-RECV",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "TIME-WAIT",
    "UNCONN",
    "CLOSE-WAIT",
    "LAST-ACK",
    "LISTEN",
    "CLOSING",
)


@dataclass(frozen=True, slots=True)
class DumpedSocket:
    """A socket. ``interface`` is a number (0: any), ``inode`` leads to its program (0: none has
    it any more), ``mark`` 0 where it has none."""

    family: Family
    state: str
    local: str
    remote: str
    interface: int
    uid: int
    inode: int
    mark: int = 0


def parse_socket(body: bytes) -> DumpedSocket | None:
    """Read one answer, behind its netlink header; None for a family that is no IP."""
    number, state, _, _ = _HEAD.unpack_from(body)
    family = _FAMILIES.get(number)
    if family is None:
        return None
    source_port, destination_port = _PORTS.unpack_from(body, 4)
    length = 4 if family is Family.IPV4 else 16
    source = int.from_bytes(body[8 : 8 + length], "big")
    destination = int.from_bytes(body[24 : 24 + length], "big")
    (interface,) = struct.unpack_from("=I", body, 40)
    _, _, _, uid, inode = _NUMBERS.unpack_from(body, 52)
    return DumpedSocket(
        family,
        _STATES[state] if state < len(_STATES) else str(state),
        _end(family, source, source_port),
        _end(family, destination, destination_port),
        interface,
        uid,
        inode,
        _mark(body),
    )


def _mark(body: bytes) -> int:
    offset = MESSAGE_LENGTH
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        if length < 4:
            break
        if kind == MARK:
            return int(struct.unpack_from("=I", body, offset + 4)[0])
        offset += (length + 3) & ~3
    return 0


def _end(family: Family, address: int, port: int) -> str:
    shown = "*" if not address else format_address(family, address)
    if family is Family.IPV6 and address:
        shown = f"[{shown}]"
    return f"{shown}:{port or '*'}"
