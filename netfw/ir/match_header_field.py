"""Matches on single fields of the IP header and of headers that are not for ports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netfw.ir.form import (
    UINT8,
    UINT16,
    UINT32,
    AddressSpan,
    Choice,
    Flag,
    Masked,
    Number,
    Pattern,
    Range,
    Span,
    Text,
    U32Tests,
)
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Family
from netfw.ir.spelling import Option, SpelledMatch, Wanted

TOS_NAMES = (
    ("Minimize-Delay", (0x10, 0x3F)),
    ("Maximize-Throughput", (0x08, 0x3F)),
    ("Maximize-Reliability", (0x04, 0x3F)),
    ("Minimize-Cost", (0x02, 0x3F)),
    ("Normal-Service", (0x00, 0x3F)),
)
"""Types of service, each with the mask that its name brings (tos_values.c in extensions/)."""
DSCP_CLASSES = (
    *((f"CS{number}", number << 3) for number in range(8)),
    ("BE", 0),
    *((f"AF{kind}{drop}", kind << 3 | drop << 1) for kind in range(1, 5) for drop in range(1, 4)),
    ("EF", 0x2E),
)
"""Classes of service by their code (dscp_helper.c in extensions/, RFC 2597 and 3246)."""
MAX_DSCP = 0x3F
MAX_PATTERN = 128
"""XT_STRING_MAX_PATTERN_SIZE, linux/netfilter/xt_string.h."""


@dataclass(frozen=True, slots=True)
class IprangeMatch(SpelledMatch):
    """``-m iprange``: the address lies between two, both included."""

    MODULE: ClassVar = "iprange"
    OPTIONS: ClassVar = (
        Option("--src-range", "source", AddressSpan(), wanted=True),
        Option("--dst-range", "destination", AddressSpan(), wanted=True),
    )
    SOME_OF: ClassVar = ("source", "destination")
    source: Wanted[Range] | None = None
    destination: Wanted[Range] | None = None


@dataclass(frozen=True, slots=True)
class LengthMatch(SpelledMatch):
    """``-m length``: bytes of the packet with its IP header, 0 to 65535."""

    MODULE: ClassVar = "length"
    OPTIONS: ClassVar = (Option("--length", "length", Span(UINT16), negate="negate"),)
    length: Range
    negate: bool = False


@dataclass(frozen=True, slots=True)
class TtlMatch(SpelledMatch):
    """``-m ttl`` (IPv4): the time to live is, is below, or is above a number (0 to 255)."""

    MODULE: ClassVar = "ttl"
    OPTIONS: ClassVar = (
        Option("--ttl-eq", "equal", Number(UINT8), negate="negate"),
        Option("--ttl", "equal", Number(UINT8), negate="negate", reads_only=True),
        Option("--ttl-lt", "below", Number(UINT8)),
        Option("--ttl-gt", "above", Number(UINT8)),
    )
    ONE_OF: ClassVar = (("equal", "below", "above"),)
    FAMILY: ClassVar = Family.IPV4
    equal: int | None = None
    below: int | None = None
    above: int | None = None
    negate: bool = False


@dataclass(frozen=True, slots=True)
class HlMatch(SpelledMatch):
    """``-m hl`` (IPv6): the hop limit is, is below, or is above a number (0 to 255)."""

    MODULE: ClassVar = "hl"
    OPTIONS: ClassVar = (
        Option("--hl-eq", "equal", Number(UINT8), negate="negate"),
        Option("--hl-lt", "below", Number(UINT8)),
        Option("--hl-gt", "above", Number(UINT8)),
    )
    ONE_OF: ClassVar = (("equal", "below", "above"),)
    FAMILY: ClassVar = Family.IPV6
    equal: int | None = None
    below: int | None = None
    above: int | None = None
    negate: bool = False


@dataclass(frozen=True, slots=True)
class TosMatch(SpelledMatch):
    """``-m tos``: the type of service (IPv6: traffic class) under a mask, 8 bits."""

    MODULE: ClassVar = "tos"
    OPTIONS: ClassVar = (
        Option("--tos", "tos", Masked(UINT8, 2, always=True, names=TOS_NAMES), negate="negate"),
    )
    tos: MaskedWord
    negate: bool = False


@dataclass(frozen=True, slots=True)
class DscpMatch(SpelledMatch):
    """``-m dscp``: the upper six bits of the type of service, 0 to 63."""

    MODULE: ClassVar = "dscp"
    OPTIONS: ClassVar = (
        Option("--dscp", "dscp", Number(MAX_DSCP, digits=2), negate="negate"),
        Option(
            "--dscp-class",
            "dscp",
            Number(MAX_DSCP, names=DSCP_CLASSES),
            negate="negate",
            reads_only=True,
        ),
    )
    dscp: int
    negate: bool = False


@dataclass(frozen=True, slots=True)
class EcnMatch(SpelledMatch):
    """``-m ecn``: congestion bits of the TCP header, and the two of the IP header (0 to 3)."""

    MODULE: ClassVar = "ecn"
    OPTIONS: ClassVar = (
        Option("--ecn-tcp-ece", "echo", Flag(), wanted=True),
        Option("--ecn-tcp-cwr", "reduced", Flag(), wanted=True),
        Option("--ecn-ip-ect", "ip", Number(3), wanted=True),
    )
    SOME_OF: ClassVar = ("echo", "reduced", "ip")
    echo: Wanted[bool] | None = None
    reduced: Wanted[bool] | None = None
    ip: Wanted[int] | None = None


@dataclass(frozen=True, slots=True)
class EspMatch(SpelledMatch):
    """``-m esp``: the security parameter index, 32 bits; None for any."""

    MODULE: ClassVar = "esp"
    OPTIONS: ClassVar = (Option("--espspi", "spi", Span(UINT32, drops_all=True), negate="negate"),)
    spi: Range | None = None
    negate: bool = False


@dataclass(frozen=True, slots=True)
class AhMatch(SpelledMatch):
    """``-m ah``: the security parameter index; in IPv6 also length and reserved bits."""

    MODULE: ClassVar = "ah"
    OPTIONS: ClassVar = (
        Option("--ahspi", "spi", Span(UINT32, drops_all=True), negate="negate"),
        Option("--ahlen", "length", Number(UINT32), wanted=True, only=Family.IPV6),
        Option("--ahres", "reserved", Flag(), only=Family.IPV6),
    )
    spi: Range | None = None
    negate: bool = False
    length: Wanted[int] | None = None
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class IpcompMatch(SpelledMatch):
    """``-m ipcomp``: the compression parameter index (16 bits on the wire, 32 in iptables)."""

    MODULE: ClassVar = "ipcomp"
    OPTIONS: ClassVar = (
        Option("--ipcompspi", "spi", Span(UINT32, drops_all=True), negate="negate"),
        Option("--compres", "reserved", Flag()),
    )
    spi: Range | None = None
    negate: bool = False
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class StringMatch(SpelledMatch):
    """``-m string``: the packet holds these bytes, up to 128, from one offset to another.

    ``algorithm`` is how the kernel searches; it changes nothing that is found.
    """

    MODULE: ClassVar = "string"
    OPTIONS: ClassVar = (
        Option("--string", "text", Pattern(MAX_PATTERN, is_hex=False), negate="negate"),
        Option("--hex-string", "octets", Pattern(MAX_PATTERN, is_hex=True), negate="negate"),
        Option("--algo", "algorithm", Choice(("bm", "kmp"))),
        Option("--from", "first", Number(UINT16)),
        Option("--to", "last", Number(UINT16)),
        Option("--icase", "ignores_case", Flag()),
    )
    ONE_OF: ClassVar = (("text", "octets"),)
    algorithm: str
    text: bytes | None = None
    octets: bytes | None = None
    negate: bool = False
    first: int = 0
    last: int = UINT16
    ignores_case: bool = False


@dataclass(frozen=True, slots=True)
class U32Match(SpelledMatch):
    """``-m u32``: tests of words of the packet, in iptables-save's own form."""

    MODULE: ClassVar = "u32"
    OPTIONS: ClassVar = (Option("--u32", "tests", U32Tests(), negate="negate"),)
    tests: str
    negate: bool = False


@dataclass(frozen=True, slots=True)
class BpfMatch(SpelledMatch):
    """``-m bpf``: a program says so: its instructions as text, or where it is pinned."""

    MODULE: ClassVar = "bpf"
    OPTIONS: ClassVar = (
        Option("--bytecode", "bytecode", Text(4096, quoted=True)),
        Option("--object-pinned", "pinned", Text(511, bare=True)),
    )
    ONE_OF: ClassVar = (("bytecode", "pinned"),)
    bytecode: str | None = None
    pinned: str | None = None


@dataclass(frozen=True, slots=True)
class OsfMatch(SpelledMatch):
    """``-m osf`` (IPv4): a SYN looks like that of a kind of system.

    ``ttl`` and ``log`` are libxt_osf's modes, 0 to 2.
    """

    MODULE: ClassVar = "osf"
    OPTIONS: ClassVar = (
        Option("--genre", "genre", Text(31, bare=True), negate="negate"),
        Option("--ttl", "ttl", Number(2)),
        Option("--log", "log", Number(2)),
    )
    FAMILY: ClassVar = Family.IPV4
    genre: str
    negate: bool = False
    ttl: int | None = None
    log: int | None = None
