"""Targets that write a field of the packet or what the kernel keeps beside it, and go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netfw.ir.form import (
    UINT8,
    UINT16,
    UINT32,
    Choice,
    Flag,
    Masked,
    Number,
    Numbers,
    Text,
    TrafficClass,
)
from netfw.ir.mark import MaskedWord
from netfw.ir.match_header_field import DSCP_CLASSES, MAX_DSCP, TOS_NAMES
from netfw.ir.names import Family
from netfw.ir.spelling import Option, SpelledTarget

_TCP_OPTIONS = (
    ("wscale", 3),
    ("mss", 2),
    ("sack-permitted", 4),
    ("sack", 5),
    ("timestamp", 8),
    ("md5", 19),
)
"""TCP options that iptables takes by name (tcp_optionmap in libxt_TCPOPTSTRIP.c)."""


@dataclass(frozen=True, slots=True)
class Tcpmss(SpelledTarget):
    """``-j TCPMSS``: the maximum segment size that a SYN announces: a number (16 bits), or what
    the path takes.

    The kernel drops a SYN whose header is broken, which no rule can ask for beforehand.
    """

    MODULE: ClassVar = "TCPMSS"
    OPTIONS: ClassVar = (
        Option("--set-mss", "size", Number(UINT16)),
        Option("--clamp-mss-to-pmtu", "clamps", Flag()),
    )
    ONE_OF: ClassVar = (("size", "clamps"),)
    size: int | None = None
    clamps: bool = False


@dataclass(frozen=True, slots=True)
class Tcpoptstrip(SpelledTarget):
    """``-j TCPOPTSTRIP``: these options of the TCP header (2 to 255) become empty."""

    MODULE: ClassVar = "TCPOPTSTRIP"
    OPTIONS: ClassVar = (
        Option("--strip-options", "options", Numbers(UINT8, UINT8, least=2, names=_TCP_OPTIONS)),
    )
    options: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Tos(SpelledTarget):
    """``-j TOS``: type of service (IPv6: traffic class), 8 bits: ``(tos & ~mask) ^ value``."""

    MODULE: ClassVar = "TOS"
    OPTIONS: ClassVar = (
        Option("--set-tos", "tos", Masked(UINT8, 2, always=True, names=TOS_NAMES)),
    )
    tos: MaskedWord


@dataclass(frozen=True, slots=True)
class Dscp(SpelledTarget):
    """``-j DSCP``: the upper six bits of the type of service, 0 to 63."""

    MODULE: ClassVar = "DSCP"
    OPTIONS: ClassVar = (
        Option("--set-dscp", "dscp", Number(MAX_DSCP, digits=2)),
        Option("--set-dscp-class", "dscp", Number(MAX_DSCP, names=DSCP_CLASSES), reads_only=True),
    )
    dscp: int


@dataclass(frozen=True, slots=True)
class Ecn(SpelledTarget):
    """``-j ECN`` (IPv4): the congestion bits of the TCP header become 0."""

    MODULE: ClassVar = "ECN"
    OPTIONS: ClassVar = (Option("--ecn-tcp-remove", "removes", Flag()),)
    SOME_OF: ClassVar = ("removes",)
    FAMILY: ClassVar = Family.IPV4
    removes: bool = False


@dataclass(frozen=True, slots=True)
class Ttl(SpelledTarget):
    """``-j TTL`` (IPv4): the time to live becomes a number, more, or less (0 to 255)."""

    MODULE: ClassVar = "TTL"
    OPTIONS: ClassVar = (
        Option("--ttl-set", "to", Number(UINT8)),
        Option("--ttl-inc", "increase", Number(UINT8, least=1)),
        Option("--ttl-dec", "decrease", Number(UINT8, least=1)),
    )
    ONE_OF: ClassVar = (("to", "increase", "decrease"),)
    FAMILY: ClassVar = Family.IPV4
    to: int | None = None
    increase: int | None = None
    decrease: int | None = None


@dataclass(frozen=True, slots=True)
class HopLimit(SpelledTarget):
    """``-j HL`` (IPv6): the hop limit becomes a number, more, or less (0 to 255)."""

    MODULE: ClassVar = "HL"
    OPTIONS: ClassVar = (
        Option("--hl-set", "to", Number(UINT8)),
        Option("--hl-inc", "increase", Number(UINT8, least=1)),
        Option("--hl-dec", "decrease", Number(UINT8, least=1)),
    )
    ONE_OF: ClassVar = (("to", "increase", "decrease"),)
    FAMILY: ClassVar = Family.IPV6
    to: int | None = None
    increase: int | None = None
    decrease: int | None = None


@dataclass(frozen=True, slots=True)
class Checksum(SpelledTarget):
    """``-j CHECKSUM``: the transport checksum is computed where it was left to the hardware."""

    MODULE: ClassVar = "CHECKSUM"
    OPTIONS: ClassVar = (Option("--checksum-fill", "fills", Flag()),)
    SOME_OF: ClassVar = ("fills",)
    fills: bool = False


@dataclass(frozen=True, slots=True)
class Classify(SpelledTarget):
    """``-j CLASSIFY``: the packet's class for ``tc``: major and minor number, 16 bits each."""

    MODULE: ClassVar = "CLASSIFY"
    OPTIONS: ClassVar = (Option("--set-class", "priority", TrafficClass()),)
    priority: int


@dataclass(frozen=True, slots=True)
class Secmark(SpelledTarget):
    """``-j SECMARK``: the packet gets this security context."""

    MODULE: ClassVar = "SECMARK"
    OPTIONS: ClassVar = (Option("--selctx", "context", Text(255, bare=True)),)
    context: str


@dataclass(frozen=True, slots=True)
class Connsecmark(SpelledTarget):
    """``-j CONNSECMARK``: the security context goes to the connection (save) or comes from it."""

    MODULE: ClassVar = "CONNSECMARK"
    OPTIONS: ClassVar = (
        Option("--save", "way", Flag("save")),
        Option("--restore", "way", Flag("restore")),
    )
    way: str


@dataclass(frozen=True, slots=True)
class Hmark(SpelledTarget):
    """``-j HMARK``: the mark becomes a hash of addresses and ports, from ``offset`` on.

    Prefix lengths in bits, masks as numbers; ``modulus`` and ``offset`` have 32 bits.
    ``tuple`` is ct where the connection's addresses count.
    """

    MODULE: ClassVar = "HMARK"
    OPTIONS: ClassVar = (
        Option("--hmark-src-prefix", "source_length", Number(128)),
        Option("--hmark-dst-prefix", "destination_length", Number(128)),
        Option("--hmark-sport-mask", "source_port_mask", Number(UINT16, digits=4)),
        Option("--hmark-dport-mask", "destination_port_mask", Number(UINT16, digits=4)),
        Option("--hmark-spi-mask", "spi_mask", Number(UINT32, digits=8)),
        Option("--hmark-proto-mask", "protocol_mask", Number(UINT16, digits=2)),
        Option("--hmark-rnd", "seed", Number(UINT32, digits=8)),
        Option("--hmark-mod", "modulus", Number(UINT32, least=1)),
        Option("--hmark-offset", "offset", Number(UINT32)),
        Option("--hmark-tuple", "tuple", Choice(("ct",))),
    )
    modulus: int
    seed: int | None = None
    source_length: int | None = None
    destination_length: int | None = None
    source_port_mask: int | None = None
    destination_port_mask: int | None = None
    spi_mask: int | None = None
    protocol_mask: int | None = None
    offset: int | None = None
    tuple: str | None = None
