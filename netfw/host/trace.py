"""Trace events of both backends as one record, and the reader that both have."""

from __future__ import annotations

import errno
import select
import socket
import time
from enum import Enum
from typing import NamedTuple, Protocol

from netfw.host.namespace import Namespace
from netfw.ir.names import Backend, Family, Hook

DEFAULT_BUFFER = 64 * 1024 * 1024
"""Bytes; the kernel doubles it. Holds about 160,000 legacy or 100,000 nft events unread."""


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
    ``verdict`` is the kernel's (nft: accept, drop, continue, jump, goto, return…; legacy: None).
    ``mark`` is the packet's mark: behind the rule (nft), before the rule's target (legacy).
    ``packet_id`` ties the events of a packet at a hook together (nft; legacy: None).
    ``network`` and ``transport`` are the headers' first bytes; for nft they come with the first
    event at each hook only, otherwise they are empty. ``hook`` is None for nft.
    """

    family: Family
    table: str
    chain: str
    kind: EventKind
    number: int | None
    verdict: str | None
    mark: int
    packet_id: int | None
    network: bytes
    transport: bytes
    hook: Hook | None


class Decoder(Protocol):
    """Turns one datagram into events."""

    def decode(self, datagram: bytes) -> list[TraceEvent]: ...

    @property
    def gaps(self) -> int:
        """How many events the kernel counted and this decoder never saw."""
        ...


class TraceReader:
    """Reads trace events of one namespace; a context manager. Nothing is lost unnoticed.

    Open it before the first packet is sent.
    """

    def __init__(self, link: socket.socket, decoder: Decoder) -> None:
        self._link = link
        self._decoder = decoder
        self._overruns = 0
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
        """All events that are there; waits up to ``seconds`` for a first one."""
        events: list[TraceEvent] = []
        link, decode = self._link, self._decoder.decode
        deadline = time.monotonic() + seconds
        while True:
            try:
                while True:
                    events += decode(link.recv(65536))
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._overruns += 1
                continue
            left = deadline - time.monotonic()
            if events or left <= 0 or not self._poll.poll(left * 1000):
                return events

    @property
    def lost(self) -> str:
        """Why events are known to be missing; empty where none are."""
        if self._overruns:
            return "the kernel dropped trace events: the reader's buffer was full"
        if self._decoder.gaps:
            return f"{self._decoder.gaps} trace events are missing from the sequence"
        return ""

    def close(self) -> None:
        """Stop reading."""
        self._link.close()

    def __enter__(self) -> TraceReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
