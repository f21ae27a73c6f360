"""Trace events of the legacy tables, which the kernel writes to the packet log.

Source: trace_packet in ip_tables.c, nf_log_trace in nf_log.c, nfnetlink_log.c. The log of a
namespace is turned to netlink for both families, and group 0 is bound, which only one process
can do. TRACE events are numbered, so that gaps show.
"""

from __future__ import annotations

import errno
import re
import socket
import struct
from collections import Counter

from netfw.errors import CapabilityError, ConflictError
from netfw.host.namespace import Namespace
from netfw.host.netlink import ACK, ask, attribute, open_netfilter, request
from netfw.host.trace import EventKind, TraceEvent
from netfw.ir.names import Family, Hook
from netfw.traverse.kernel_refinements import KernelRefinement

_MESSAGE_PACKET, _MESSAGE_CONFIG = 4 << 8, 4 << 8 | 1
_CONFIG_COMMAND, _CONFIG_MODE, _CONFIG_THRESHOLD, _CONFIG_FLAGS = 1, 2, 5, 6
_BIND, _BIND_FAMILY = 1, 3
_COPY_PACKET = 2
_FLAG_SEQUENCE = 1
_COPIED = 128
"""Bytes of each packet that are copied: both headers and our cookie."""
_GROUP = 0
"""TRACE has no group of its own: nfulnl_log_packet falls back to group 0."""
_FAMILIES = {2: Family.IPV4, 10: Family.IPV6}
_HOOKS = (Hook.PREROUTING, Hook.INPUT, Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING)
_HEADER = struct.Struct("=IHHIIB3x")
_ATTRIBUTE = struct.Struct("=HH")
_U32 = struct.Struct(">I")
_PREFIX = re.compile(rb"TRACE: (raw|mangle|nat|filter|security):(.+):(rule|return|policy):(\d+)")
_KINDS = {b"rule": EventKind.RULE, b"return": EventKind.END, b"policy": EventKind.POLICY}
_IPV6_HEADER = 40

Place = tuple[str, str, EventKind, int]


def bind_log_group(namespace: Namespace, buffer: int) -> socket.socket:
    """Turn the namespace's packet log to a socket; raises ConflictError where somebody has it."""
    link = open_netfilter(namespace, buffer)
    mode = struct.pack(">IBx", _COPIED, _COPY_PACKET)
    try:
        for family in _FAMILIES:
            _configure(link, family, attribute(_CONFIG_COMMAND, bytes([_BIND_FAMILY])))
        _configure(link, 0, attribute(_CONFIG_COMMAND, bytes([_BIND])))
        _configure(link, 0, attribute(_CONFIG_MODE, mode))
        _configure(link, 0, attribute(_CONFIG_FLAGS, struct.pack(">H", _FLAG_SEQUENCE)))
        _configure(link, 0, attribute(_CONFIG_THRESHOLD, _U32.pack(1)))
    except OSError as error:
        link.close()
        if error.errno in (errno.EBUSY, errno.EPERM):
            raise ConflictError.at(
                "legacy trace",
                "log group 0 of this namespace is taken by another process",
                "stop the reader of NFLOG group 0 (ulogd, for example)",
            ) from None
        raise CapabilityError.at(
            "legacy trace",
            f"this kernel cannot log packets to netlink: {error.strerror}",
            "load the module nfnetlink_log",
        ) from None
    return link


def _configure(link: socket.socket, family: int, attributes: bytes) -> None:
    message = request(_MESSAGE_CONFIG, ACK, family, _GROUP, attributes)
    ask(link, message, "set-up of the packet log")


class LegacyDecoder:
    """Decodes datagrams of log group 0, and counts gaps in their numbers."""

    def __init__(self) -> None:
        self.gaps = 0
        self.refinements: Counter[KernelRefinement] = Counter()
        self._next: int | None = None
        self._places: dict[bytes, Place | None] = {}

    def decode(self, datagram: bytes) -> list[TraceEvent]:
        """The TRACE events of a datagram; other log messages are counted and passed over."""
        events = []
        start, end = 0, len(datagram)
        attribute_at, u32 = _ATTRIBUTE.unpack_from, _U32.unpack_from
        while start + 20 <= end:
            length, kind, _, _, _, family = _HEADER.unpack_from(datagram, start)
            stop = start + length
            if kind == _MESSAGE_PACKET:
                mark = hook = iif = oif = 0
                payload = prefix = b""
                at = start + 20
                while at + 4 <= stop:
                    size, number = attribute_at(datagram, at)
                    number &= 0x3FFF
                    if number == 1:
                        hook = datagram[at + 6]
                    elif number == 2:
                        mark = u32(datagram, at + 4)[0]
                    elif number == 4:
                        iif = u32(datagram, at + 4)[0]
                    elif number == 5:
                        oif = u32(datagram, at + 4)[0]
                    elif number == 9:
                        payload = datagram[at + 4 : at + size]
                    elif number == 10:
                        prefix = datagram[at + 4 : at + size]
                    elif number == 12:
                        self._count(u32(datagram, at + 4)[0])
                    at += (size + 3) & ~3
                place = self._place(prefix)
                if place is not None and family in _FAMILIES and payload:
                    table, chain, event_kind, rule = place
                    header = (payload[0] & 15) * 4 if family == 2 else _IPV6_HEADER
                    events.append(
                        TraceEvent(
                            _FAMILIES[family],
                            table,
                            chain,
                            event_kind,
                            rule,
                            None,
                            "",
                            mark,
                            iif,
                            oif,
                            None,
                            payload[:header],
                            payload[header:],
                            _HOOKS[hook],
                        )
                    )
            start += (length + 3) & ~3
        return events

    def _count(self, number: int) -> None:
        if self._next is not None and number != self._next:
            self.gaps += (number - self._next) & 0xFFFFFFFF
        self._next = (number + 1) & 0xFFFFFFFF

    def _place(self, prefix: bytes) -> Place | None:
        if prefix not in self._places:
            self._places[prefix] = _parse(prefix)
        return self._places[prefix]


def _parse(prefix: bytes) -> Place | None:
    """``TRACE: raw:PREROUTING:rule:2 `` and a NUL; chain names may hold colons.

    None for the prefix of anybody's LOG or NFLOG rule, which come by the same way.
    """
    found = _PREFIX.fullmatch(prefix.rstrip(b"\0 "))
    if found is None:
        return None
    table, chain, kind, number = found.groups()
    return table.decode(), chain.decode("utf-8", "replace"), _KINDS[kind], int(number)
