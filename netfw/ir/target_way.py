"""Targets that change a packet's way or addresses, or take it out of the kernel's hands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netfw.ir.form import UINT16, Address, Flag, Masked, Network, Number, Range, Span
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.spelling import Option, SpelledTarget


@dataclass(frozen=True, slots=True)
class Nfqueue(SpelledTarget):
    """``-j NFQUEUE``: a program decides; it listens to a queue, or to a range of them (16 bits).

    ``bypasses``: where nobody listens the packet goes on.
    """

    MODULE: ClassVar = "NFQUEUE"
    OPTIONS: ClassVar = (
        Option("--queue-num", "queue", Number(UINT16)),
        Option("--queue-balance", "balance", Span(UINT16 - 1)),
        Option("--queue-bypass", "bypasses", Flag()),
        Option("--queue-cpu-fanout", "by_processor", Flag()),
    )
    ONE_OF: ClassVar = (("queue", "balance"),)
    queue: int | None = None
    balance: Range | None = None
    bypasses: bool = False
    by_processor: bool = False


@dataclass(frozen=True, slots=True)
class Tproxy(SpelledTarget):
    """``-j TPROXY``: to a socket on this host, without a translation; the mark is set besides.

    Port 0 is the packet's own, address 0 the one of the interface it came in by.
    """

    MODULE: ClassVar = "TPROXY"
    OPTIONS: ClassVar = (
        Option("--on-port", "port", Number(UINT16), always=True),
        Option("--on-ip", "address", Address(), always=True),
        Option("--tproxy-mark", "mark", Masked(always=True), always=True),
    )
    port: int
    address: int
    mark: MaskedWord


@dataclass(frozen=True, slots=True)
class Netmap(SpelledTarget):
    """``-j NETMAP``: the address moves into this network, host part and all."""

    MODULE: ClassVar = "NETMAP"
    OPTIONS: ClassVar = (Option("--to", "to", Network()),)
    to: Net


@dataclass(frozen=True, slots=True)
class Snpt(SpelledTarget):
    """``-j SNPT`` (IPv6): the source's prefix is translated (RFC 6296)."""

    MODULE: ClassVar = "SNPT"
    OPTIONS: ClassVar = (
        Option("--src-pfx", "before", Network(prefix_only=True, keeps_host=True)),
        Option("--dst-pfx", "after", Network(prefix_only=True, keeps_host=True)),
    )
    FAMILY: ClassVar = Family.IPV6
    before: Net
    after: Net


@dataclass(frozen=True, slots=True)
class Dnpt(SpelledTarget):
    """``-j DNPT`` (IPv6): the destination's prefix is translated (RFC 6296)."""

    MODULE: ClassVar = "DNPT"
    OPTIONS: ClassVar = (
        Option("--src-pfx", "before", Network(prefix_only=True, keeps_host=True)),
        Option("--dst-pfx", "after", Network(prefix_only=True, keeps_host=True)),
    )
    FAMILY: ClassVar = Family.IPV6
    before: Net
    after: Net


@dataclass(frozen=True, slots=True)
class Synproxy(SpelledTarget):
    """``-j SYNPROXY``: the kernel answers a SYN in the server's place.

    ``scale`` is the window scale (0 to 14), ``size`` the maximum segment size that it announces.
    """

    MODULE: ClassVar = "SYNPROXY"
    OPTIONS: ClassVar = (
        Option("--sack-perm", "selective", Flag()),
        Option("--timestamp", "timestamp", Flag()),
        Option("--wscale", "scale", Number(14)),
        Option("--mss", "size", Number(UINT16)),
        Option("--ecn", "congestion", Flag()),
    )
    selective: bool = False
    timestamp: bool = False
    scale: int | None = None
    size: int | None = None
    congestion: bool = False
