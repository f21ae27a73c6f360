"""Matches on IPv6 extension headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netfw.ir.form import (
    UINT8,
    UINT16,
    UINT32,
    Choices,
    Flag,
    HeaderOptions,
    Network,
    Number,
    Range,
    Span,
)
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.spelling import Option, SpelledMatch, Wanted

HEADERS = (
    "hop-by-hop",
    "ipv6-opts",
    "ipv6-route",
    "ipv6-frag",
    "ah",
    "esp",
    "ipv6-nonxt",
    "protocol",
)
"""Extension headers as iptables-save names them (chain_flags in libip6t_ipv6header.c)."""
HEADER_ALIASES = (
    ("hop", "hop-by-hop"),
    ("dst", "ipv6-opts"),
    ("route", "ipv6-route"),
    ("frag", "ipv6-frag"),
    ("auth", "ah"),
    ("none", "ipv6-nonxt"),
    ("prot", "protocol"),
)

OptionsOfHeader = tuple[tuple[int, int | None], ...]
"""IPv6 options by type, and perhaps length, 8 bits each."""


@dataclass(frozen=True, slots=True)
class FragMatch(SpelledMatch):
    """``-m frag``: the fragment header: identification, length, and which fragment it is."""

    MODULE: ClassVar = "frag"
    OPTIONS: ClassVar = (
        Option("--fragid", "identification", Span(UINT32, drops_all=True), negate="negate"),
        Option("--fraglen", "length", Number(UINT32), wanted=True),
        Option("--fragres", "reserved", Flag()),
        Option("--fragfirst", "first", Flag()),
        Option("--fragmore", "more", Flag()),
        Option("--fraglast", "last", Flag()),
    )
    FAMILY: ClassVar = Family.IPV6
    identification: Range | None = None
    negate: bool = False
    length: Wanted[int] | None = None
    reserved: bool = False
    first: bool = False
    more: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True)
class HbhMatch(SpelledMatch):
    """``-m hbh``: the hop-by-hop header: its length in bytes and its options."""

    MODULE: ClassVar = "hbh"
    OPTIONS: ClassVar = (
        Option("--hbh-len", "length", Number(UINT32), wanted=True),
        Option("--hbh-opts", "options", HeaderOptions()),
    )
    FAMILY: ClassVar = Family.IPV6
    length: Wanted[int] | None = None
    options: OptionsOfHeader | None = None


@dataclass(frozen=True, slots=True)
class DstMatch(SpelledMatch):
    """``-m dst``: the destination options header: its length in bytes and its options."""

    MODULE: ClassVar = "dst"
    OPTIONS: ClassVar = (
        Option("--dst-len", "length", Number(UINT32), wanted=True),
        Option("--dst-opts", "options", HeaderOptions()),
    )
    FAMILY: ClassVar = Family.IPV6
    length: Wanted[int] | None = None
    options: OptionsOfHeader | None = None


@dataclass(frozen=True, slots=True)
class RtMatch(SpelledMatch):
    """``-m rt``: the routing header; lists of addresses in it are not typed."""

    MODULE: ClassVar = "rt"
    OPTIONS: ClassVar = (
        Option("--rt-type", "type", Number(UINT32), wanted=True),
        Option("--rt-segsleft", "left", Span(UINT32, drops_all=True), negate="negate"),
        Option("--rt-len", "length", Number(UINT32), wanted=True),
        Option("--rt-0-res", "reserved", Flag()),
    )
    FAMILY: ClassVar = Family.IPV6
    type: Wanted[int] | None = None
    left: Range | None = None
    negate: bool = False
    length: Wanted[int] | None = None
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class SrhMatch(SpelledMatch):
    """``-m srh``: the segment routing header (RFC 8754), numbers of 8 bits, the tag of 16."""

    MODULE: ClassVar = "srh"
    OPTIONS: ClassVar = (
        Option("--srh-next-hdr", "next_header", Number(UINT8), wanted=True),
        Option("--srh-hdr-len-eq", "length_equal", Number(UINT8), wanted=True),
        Option("--srh-hdr-len-gt", "length_above", Number(UINT8), wanted=True),
        Option("--srh-hdr-len-lt", "length_below", Number(UINT8), wanted=True),
        Option("--srh-segs-left-eq", "left_equal", Number(UINT8), wanted=True),
        Option("--srh-segs-left-gt", "left_above", Number(UINT8), wanted=True),
        Option("--srh-segs-left-lt", "left_below", Number(UINT8), wanted=True),
        Option("--srh-last-entry-eq", "last_equal", Number(UINT8), wanted=True),
        Option("--srh-last-entry-gt", "last_above", Number(UINT8), wanted=True),
        Option("--srh-last-entry-lt", "last_below", Number(UINT8), wanted=True),
        Option("--srh-tag", "tag", Number(UINT16), wanted=True),
        Option("--srh-psid", "previous", Network(prefix_only=True, keeps_host=True), wanted=True),
        Option("--srh-nsid", "next", Network(prefix_only=True, keeps_host=True), wanted=True),
        Option("--srh-lsid", "last", Network(prefix_only=True, keeps_host=True), wanted=True),
    )
    FAMILY: ClassVar = Family.IPV6
    next_header: Wanted[int] | None = None
    length_equal: Wanted[int] | None = None
    length_above: Wanted[int] | None = None
    length_below: Wanted[int] | None = None
    left_equal: Wanted[int] | None = None
    left_above: Wanted[int] | None = None
    left_below: Wanted[int] | None = None
    last_equal: Wanted[int] | None = None
    last_above: Wanted[int] | None = None
    last_below: Wanted[int] | None = None
    tag: Wanted[int] | None = None
    previous: Wanted[Net] | None = None
    next: Wanted[Net] | None = None
    last: Wanted[Net] | None = None


@dataclass(frozen=True, slots=True)
class MhMatch(SpelledMatch):
    """``-m mh``: the type of a mobility header, 0 to 255; None for any."""

    MODULE: ClassVar = "mh"
    OPTIONS: ClassVar = (
        Option("--mh-type", "type", Span(UINT8, drops_all=True), negate="negate"),
    )
    FAMILY: ClassVar = Family.IPV6
    type: Range | None = None
    negate: bool = False


@dataclass(frozen=True, slots=True)
class Eui64Match(SpelledMatch):
    """``-m eui64``: the source address ends in what its hardware address gives."""

    MODULE: ClassVar = "eui64"
    OPTIONS: ClassVar = ()
    FAMILY: ClassVar = Family.IPV6


@dataclass(frozen=True, slots=True)
class Ipv6headerMatch(SpelledMatch):
    """``-m ipv6header``: the packet has these headers; without ``soft`` no others."""

    MODULE: ClassVar = "ipv6header"
    OPTIONS: ClassVar = (
        Option("--header", "headers", Choices(HEADERS, HEADER_ALIASES), negate="negate"),
        Option("--soft", "soft", Flag()),
    )
    FAMILY: ClassVar = Family.IPV6
    headers: frozenset[str]
    negate: bool = False
    soft: bool = False
