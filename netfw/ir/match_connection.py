"""Matches on what connection tracking knows of a packet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from netfw.ir.form import (
    UINT8,
    UINT16,
    UINT32,
    UINT64,
    Choice,
    Choices,
    Flag,
    Network,
    Number,
    Range,
    Span,
    Text,
)
from netfw.ir.mark import MaskedWord
from netfw.ir.net import Net
from netfw.ir.protocols import PROTOCOL_NAMES
from netfw.ir.spelling import Option, SpelledMatch, Wanted


class ConnectionState(Enum):
    """``--ctstate`` values; SNAT and DNAT are virtual states."""

    INVALID = "INVALID"
    NEW = "NEW"
    RELATED = "RELATED"
    ESTABLISHED = "ESTABLISHED"
    UNTRACKED = "UNTRACKED"
    SNAT = "SNAT"
    DNAT = "DNAT"


_STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT")
"""Print order of state_mask bits (print_state in extensions/libxt_conntrack.c)."""
_STATUSES = ("EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "NONE")


@dataclass(frozen=True, slots=True)
class ConntrackMatch(SpelledMatch):
    """``-m conntrack``: what connection tracking knows: states, status, direction, addresses.

    ``direction`` is ORIGINAL or REPLY; ``status`` holds NONE, EXPECTED, SEEN_REPLY,
    ASSURED or CONFIRMED. Addresses and ports are those of the connection as it was opened
    (``original``) and as its answers come (``reply``); ``expire`` is the rest of its time in
    seconds. Without a connection the kernel looks no further than the states.
    """

    MODULE: ClassVar = "conntrack"
    OPTIONS: ClassVar = (
        Option("--ctstate", "states", Choices(_STATES, member=ConnectionState), negate="negate"),
        Option("--ctproto", "protocol", Number(UINT8, names=PROTOCOL_NAMES), wanted=True),
        Option("--ctorigsrc", "original_source", Network(bare=True), wanted=True),
        Option("--ctorigdst", "original_destination", Network(bare=True), wanted=True),
        Option("--ctreplsrc", "reply_source", Network(bare=True), wanted=True),
        Option("--ctrepldst", "reply_destination", Network(bare=True), wanted=True),
        Option("--ctorigsrcport", "original_source_port", Span(UINT16), wanted=True),
        Option("--ctorigdstport", "original_destination_port", Span(UINT16), wanted=True),
        Option("--ctreplsrcport", "reply_source_port", Span(UINT16), wanted=True),
        Option("--ctrepldstport", "reply_destination_port", Span(UINT16), wanted=True),
        Option("--ctstatus", "status", Choices(_STATUSES), negate="status_negate"),
        Option("--ctexpire", "expire", Span(UINT32), wanted=True),
        Option("--ctdir", "direction", Choice(("ORIGINAL", "REPLY"))),
    )
    SOME_OF: ClassVar = tuple(option.field for option in OPTIONS)
    states: frozenset[ConnectionState] = frozenset()
    negate: bool = False
    direction: str | None = None
    status: frozenset[str] = frozenset()
    status_negate: bool = False
    protocol: Wanted[int] | None = None
    original_source: Wanted[Net] | None = None
    original_destination: Wanted[Net] | None = None
    reply_source: Wanted[Net] | None = None
    reply_destination: Wanted[Net] | None = None
    original_source_port: Wanted[Range] | None = None
    original_destination_port: Wanted[Range] | None = None
    reply_source_port: Wanted[Range] | None = None
    reply_destination_port: Wanted[Range] | None = None
    expire: Wanted[Range] | None = None


@dataclass(frozen=True, slots=True)
class StateMatch:
    """``-m state``: the older spelling of conntrack states (never SNAT or DNAT)."""

    states: frozenset[ConnectionState]
    negate: bool = False


@dataclass(frozen=True, slots=True)
class ConnmarkMatch:
    """``-m connmark --mark``: the connection's mark; false without a connection (before negation:
    connmark_mt returns false outright where there is none, net/netfilter/xt_connmark.c)."""

    mark: MaskedWord
    negate: bool = False


@dataclass(frozen=True, slots=True)
class HelperMatch(SpelledMatch):
    """``-m helper``: the connection was expected by this helper; empty: by any."""

    MODULE: ClassVar = "helper"
    OPTIONS: ClassVar = (Option("--helper", "name", Text(29), negate="negate"),)
    name: str
    negate: bool = False


@dataclass(frozen=True, slots=True)
class ConnbytesMatch(SpelledMatch):
    """``-m connbytes``: packets or bytes of a connection so far, or bytes for each packet.

    ``what`` is packets, bytes or avgpkt; ``direction`` original, reply or both.
    """

    MODULE: ClassVar = "connbytes"
    OPTIONS: ClassVar = (
        Option("--connbytes", "amount", Span(UINT64, drops_end=True), negate="negate"),
        Option("--connbytes-mode", "what", Choice(("packets", "bytes", "avgpkt"))),
        Option("--connbytes-dir", "direction", Choice(("original", "reply", "both"))),
    )
    amount: Range
    what: str
    direction: str
    negate: bool = False


@dataclass(frozen=True, slots=True)
class ConnlabelMatch(SpelledMatch):
    """``-m connlabel``: the connection has a label (bit 0 to 127), perhaps given here."""

    MODULE: ClassVar = "connlabel"
    OPTIONS: ClassVar = (
        Option("--label", "label", Number(127, in_quotes=True), negate="negate"),
        Option("--set", "sets", Flag()),
    )
    label: int
    negate: bool = False
    sets: bool = False
