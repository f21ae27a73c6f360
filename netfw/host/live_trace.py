"""A trace of a live namespace: chosen packets, through nf_tables and the legacy tables at once.

One netlink socket is the reader of both: the events of a packet come in the order in which they
happened. What is changed (a table of ours, and where legacy tables are there the packet's logger)
is put back on every way out; after kill -9 the next run does it (``trace_table``).
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections import deque
from pathlib import Path

from netfw.errors import CapabilityError, ConflictError
from netfw.host.legacy_trace import LegacyDecoder, bind_log_group
from netfw.host.live_namespace import LiveNamespace
from netfw.host.namespace import Namespace
from netfw.host.netlink import dropped
from netfw.host.nft_trace import NftDecoder, join_trace_group, subscribe
from netfw.host.packet_logger import read_loggers, restore_loggers
from netfw.host.trace import DEFAULT_BUFFER, TraceEvent
from netfw.host.trace_table import (
    find_leftover,
    load_table,
    read_counts,
    remove_table,
)
from netfw.traverse.packet_filter import PacketFilter

_LARGEST_DATAGRAM = 65536
_PACKET_LOG = 4
"""NFNL_SUBSYS_ULOG in linux/netfilter/nfnetlink.h."""
_DECODED_AT_ONCE = 2000
_MOST_WAITING = 200_000
"""Datagrams that wait here to be decoded; the rest waits in the kernel, which counts losses."""


def clear_leftover(namespace: LiveNamespace) -> str:
    """Take away what a trace left behind that was ended by force; says what, in words.

    Raises ConflictError where a trace runs, HostError where it cannot be taken away.
    """
    inside = None if namespace.is_own else namespace
    found = find_leftover(inside)
    if found is None:
        return ""
    if not found.is_over:
        raise ConflictError.at(
            "netfw trace",
            f"another trace runs here (process {found.process})",
            "wait for its end: packets of both would be taken for each other's",
        )
    _put_back(inside, found.handle, found.loggers)
    return f"took away what the trace of process {found.process} had left behind"


def _put_back(inside: Namespace | None, handle: int, loggers: tuple[str, str] | None) -> None:
    """The loggers first, as the table says what they were; but it goes in any case."""
    try:
        if loggers is not None:
            restore_loggers(inside, loggers)
    finally:
        remove_table(inside, handle)


def has_legacy_tables(namespace: LiveNamespace) -> bool:
    """Whether the kernel holds a legacy table of any family in the namespace."""

    def look() -> bool:
        for name in ("ip_tables_names", "ip6_tables_names"):
            try:
                if Path("/proc/thread-self/net", name).read_text(encoding="ascii").split():
                    return True
            except OSError:
                continue
        return False

    return namespace.call(look)


class LiveTrace:
    """Follows packets; a context manager that leaves nothing behind.

    ``rate`` in packets a second (0: no limit); ``seconds`` until nothing is followed any more.
    Raises CapabilityError, ConflictError where another trace runs or somebody else reads the
    legacy tables' events, and HostError.
    """

    def __init__(
        self,
        namespace: LiveNamespace,
        wanted: PacketFilter,
        *,
        rate: int,
        seconds: float,
        buffer: int = DEFAULT_BUFFER,
    ) -> None:
        self._inside = None if namespace.is_own else namespace
        self._nft = NftDecoder(both_families=True)
        self._legacy = LegacyDecoder()
        self._waiting: deque[bytes] = deque()
        clear_leftover(namespace)
        self.follows_legacy = has_legacy_tables(namespace)
        self._loggers = read_loggers(self._inside) if self.follows_legacy else None
        self._handle: int | None = None
        # the table first: it holds what is to be put back
        self._handle = load_table(
            self._inside, wanted, rate=rate, seconds=seconds, loggers=self._loggers
        )
        self.counts = (0, 0)
        self.taken_away = False
        """Whether somebody else took the table away before its time, once it has been stopped."""
        try:
            if self.follows_legacy:
                self._link = bind_log_group(namespace, buffer)
                join_trace_group(self._link)
            else:
                self._link = subscribe(namespace, buffer)
        except BaseException:
            self._undo()
            raise
        self._link.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._link, select.POLLIN)

    def read(self, seconds: float = 0.0) -> list[TraceEvent]:
        """Some of the events that are there; waits up to ``seconds`` for a first one."""
        self._take_in()
        if not self._waiting and self._poll.poll(seconds * 1000):
            self._take_in()
        events: list[TraceEvent] = []
        for _ in range(min(_DECODED_AT_ONCE, len(self._waiting))):
            datagram = self._waiting.popleft()
            (kind,) = struct.unpack_from("=H", datagram, 4)
            decoder = self._legacy if kind >> 8 == _PACKET_LOG else self._nft
            events += decoder.decode(datagram)
        return events

    @property
    def has_more(self) -> bool:
        """Whether events wait here that ``read`` has not given yet."""
        return bool(self._waiting)

    @property
    def lost(self) -> int:
        """How many events the kernel could not hand over so far."""
        return dropped(self._link) + self._legacy.gaps

    def _take_in(self) -> None:
        receive, waiting = self._link.recv, self._waiting
        while len(waiting) < _MOST_WAITING:
            try:
                waiting.append(receive(_LARGEST_DATAGRAM))
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise

    def stop_choosing(self) -> None:
        """Take the table away: no further packet is followed; what waits may still be read."""
        if self._handle is not None:
            left = find_leftover(self._inside)
            self.taken_away = left is None or left.handle != self._handle
            self.counts = read_counts(self._inside)
        self._undo()

    def _undo(self) -> None:
        handle, self._handle = self._handle, None
        if handle is None:
            return
        _put_back(self._inside, handle, self._loggers)

    def __enter__(self) -> LiveTrace:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop_choosing()
        finally:
            self._link.close()


def interface_names(namespace: LiveNamespace) -> dict[int, str]:
    """The interfaces of a namespace by number."""
    return namespace.call(lambda: dict(socket.if_nameindex()))


def check_privilege(namespace: LiveNamespace) -> None:
    """Say in one line where we may not trace at all; raises CapabilityError."""
    from netfw.host.netlink import DUMP, dump, open_netfilter, request

    try:
        with open_netfilter(namespace) as link:
            dump(link, request(10 << 8 | 1, DUMP, 0, 0, b""), "list of nft tables")
    except PermissionError:
        raise CapabilityError.at(
            "netfw trace", "packets may not be followed", "run as root (CAP_NET_ADMIN)"
        ) from None
    except OSError as error:
        raise CapabilityError.at(
            "netfw trace", f"this kernel has no nf_tables: {error.strerror}"
        ) from None
