"""Trace events of both backends as one record, and the reader that both have."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple, Protocol

from netfw.host.namespace import Namespace
from netfw.host.netlink import dropped
from netfw.ir.names import Backend, Family, Hook
from netfw.traverse.kernel_refinements import KernelRefinement

DEFAULT_BUFFER = 64 * 1024 * 1024
"""Bytes; the kernel doubles it. Holds about 160,000 legacy or 100,000 nft events unread."""
MOST_AT_ONCE = 100_000
"""Datagrams that one call of ``read`` takes at most."""
_LARGEST_DATAGRAM = 65536
"""Bytes, more than any event has: the kernel would cut off the rest and say nothing."""


class EventKind(Enum):
    """What the kernel reports."""

    RULE = "rule"
    END = "end"
    """The end of a chain."""
    POLICY = "policy"


class TraceEvent(NamedTuple):
    """One report of the kernel about one packet.

    ``number`` is the rule's number from 1 (legacy; one more than there are rules: the end or the
    chain policy) or its handle (nft; None: the end of the chain).
    ``verdict`` is the kernel's (nft: accept, drop, continue, jump, goto, return…; legacy: None),
    and ``jump`` the chain that a jump or goto leads to (otherwise empty).
    ``mark`` is the packet's mark: behind the rule (nft), before the rule's target (legacy).
    ``iif`` and ``oif`` are the numbers of its interfaces, 0 for none; for nft they come with the
    headers.
    ``packet_id`` ties the events of a packet at a hook together (nft; legacy: None).
    ``network`` and ``transport`` are the headers' first bytes; for nft they come with the first
    event at each hook only, otherwise they are empty. ``hook`` is None for nft.
    ``table_family`` is that of nft's table (NFPROTO_*; legacy: 0), and ``state`` what connection
    tracking says, a bit for each state of nft (None: nothing, or this kernel does not tell).
    """

    family: Family
    table: str
    chain: str
    kind: EventKind
    number: int | None
    verdict: str | None
    jump: str
    mark: int
    iif: int
    oif: int
    packet_id: int | None
    network: bytes
    transport: bytes
    hook: Hook | None
    table_family: int = 0
    state: int | None = None


class Decoder(Protocol):
    """Turns one datagram into events."""

    def decode(self, datagram: bytes) -> list[TraceEvent]: ...

    @property
    def gaps(self) -> int:
        """How many events the kernel counted and this decoder never saw."""
        ...

    @property
    def refinements(self) -> Mapping[KernelRefinement, int]:
        """In how many events this kernel differs from the newest, by the name of it."""
        ...


class TraceReader:
    """Reads trace events of one namespace; a context manager. Nothing is lost unnoticed.

    Open it before the first packet is sent.
    """

    def __init__(self, link: socket.socket, decoder: Decoder) -> None:
        self._link = link
        self._decoder = decoder
        link.setblocking(False)
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)

    @classmethod
    def open(
        cls, namespace: Namespace, backend: Backend, buffer: int = DEFAULT_BUFFER
    ) -> TraceReader:
        """A reader for a backend; ``buffer`` in bytes.

        Raises CapabilityError where the kernel has no such reports, ConflictError where another
        process of the namespace reads the legacy ones already.
        """
        if backend is Backend.NFT:
            from netfw.host.nft_trace import NftDecoder, subscribe

            return cls(subscribe(namespace, buffer), NftDecoder())
        from netfw.host.legacy_trace import LegacyDecoder, bind_log_group

        return cls(bind_log_group(namespace, buffer), LegacyDecoder())

    def read(self, seconds: float = 0.0) -> list[TraceEvent]:
        """All events that are there; waits up to ``seconds`` for a first one.

        Comes back after ``MOST_AT_ONCE`` datagrams even if there are more.
        """
        events: list[TraceEvent] = []
        link, decode = self._link, self._decoder.decode
        deadline = time.monotonic() + seconds
        while True:
            try:
                for _ in range(MOST_AT_ONCE):
                    events += decode(link.recv(_LARGEST_DATAGRAM))
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # the kernel says once for each overrun that events were dropped; `lost` counts
                continue
            # asked once more where time is over: perhaps this process had none meanwhile
            left = max(deadline - time.monotonic(), 0)
            if events or not self._poll.poll(left * 1000):
                return events

    @property
    def lost(self) -> str:
        """Why events are known to be missing, and how many; empty where none are.

        The kernel counts what finds no room in the buffer, the last events included, which show
        in no gap. Legacy events have numbers of their own, which show other losses.
        """
        missing = dropped(self._link)
        if missing:
            return f"the kernel dropped {missing} trace events: the reader's buffer was full"
        if self._decoder.gaps:
            return f"{self._decoder.gaps} trace events are missing from the sequence"
        return ""

    @property
    def refinements(self) -> Mapping[KernelRefinement, int]:
        """In how many events so far this kernel differs from the newest, by the name of it."""
        return self._decoder.refinements

    def close(self) -> None:
        """Stop reading."""
        self._link.close()

    def __enter__(self) -> TraceReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
