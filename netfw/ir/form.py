"""The forms that values of options have in iptables' text, as data.

``facts`` reads a value by its form, ``render`` writes it, and ``check_value`` says what the kernel
or iptables would refuse. The value's own type stands with each form.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, assert_never

from netfw.ir.mark import MaskedWord
from netfw.ir.names import MAX_SET_NAME, Family
from netfw.ir.net import Net

UINT8, UINT16, UINT32, UINT64 = 0xFF, 0xFFFF, 0xFFFFFFFF, (1 << 64) - 1
ALWAYS = 0x80000000
"""The probability of 1 as ``-m statistic`` keeps it (2**31, libxt_statistic.c)."""
CHUNKS = (
    "DATA",
    "INIT",
    "INIT_ACK",
    "SACK",
    "HEARTBEAT",
    "HEARTBEAT_ACK",
    "ABORT",
    "SHUTDOWN",
    "SHUTDOWN_ACK",
    "ERROR",
    "COOKIE_ECHO",
    "COOKIE_ACK",
    "ECN_ECNE",
    "ECN_CWR",
    "SHUTDOWN_COMPLETE",
    "I_DATA",
    "ASCONF_ACK",
    "RE_CONFIG",
    "PAD",
    "FORWARD_TSN",
    "ASCONF",
    "I_FORWARD_TSN",
)
"""SCTP chunks that iptables knows by name, by number (sctp_chunk_names in libxt_sctp.c)."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from first to last, both included."""

    first: int
    last: int

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last


@dataclass(frozen=True, slots=True)
class Rate:
    """So many packets in a unit of time (sec, min, hour, day), or so many bytes a second.

    ``unit`` is ``bytes`` for the latter.
    """

    amount: int
    unit: str


@dataclass(frozen=True, slots=True)
class ChunkTypes:
    """SCTP chunks: ``how`` is all, any or only; ``names`` are of ``CHUNKS``."""

    how: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Flag:
    """No text at all: where the option stands, the field is ``value``."""

    value: bool | str = True


@dataclass(frozen=True, slots=True)
class Number:
    """``int`` from least to most; in decimal, or with ``digits`` hexadecimal digits or more."""

    most: int
    least: int = 0
    digits: int = 0
    names: tuple[tuple[str, int], ...] = ()
    """Names that iptables takes in the number's place."""
    in_quotes: bool = False


@dataclass(frozen=True, slots=True)
class Numbers:
    """``tuple[int, ...]`` of different numbers, at most ``count``, joined by commas."""

    most: int
    count: int
    least: int = 0
    names: tuple[tuple[str, int], ...] = ()
    is_named: bool = False
    """Whether iptables-save prints the names."""


@dataclass(frozen=True, slots=True)
class Span:
    """``Range``: a number or two of them, where either may be left out.

    ``drops_all``: iptables keeps no range of all numbers that is not negated.
    ``drops_end``: iptables-save leaves out an end at ``most``, and writes equal ends twice.
    """

    most: int
    joint: str = ":"
    drops_all: bool = False
    drops_end: bool = False
    names: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Masked:
    """``MaskedWord``: hexadecimal, the mask left out where it is ``most`` (unless ``always``)."""

    most: int = UINT32
    digits: int = 1
    always: bool = False
    names: tuple[tuple[str, tuple[int, int]], ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """``str``: one of the words; ``aliases`` are read as the word behind them."""

    words: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Choices:
    """``frozenset[str]``, or of an enumeration's members with these values: words joined by
    commas, written in this order."""

    words: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...] = ()
    member: type[Enum] | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """``str`` of at most ``most`` bytes; ``quoted`` where iptables-save always quotes it,
    ``bare`` where it never does."""

    most: int
    quoted: bool = False
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """``int``: an address of the rule's family."""


@dataclass(frozen=True, slots=True)
class AddressSpan:
    """``Range`` of addresses, joined by ``-``; also a single one is written twice."""


@dataclass(frozen=True, slots=True)
class Network:
    """``Net``; ``bare`` where a single address is written without its prefix length.

    ``keeps_host``: iptables keeps bits outside the mask, which ``Net`` cannot hold.
    """

    bare: bool = False
    keeps_host: bool = False
    prefix_only: bool = False


@dataclass(frozen=True, slots=True)
class HardwareAddress:
    """``int`` of 48 bits: six bytes joined by colons."""


@dataclass(frozen=True, slots=True)
class Probability:
    """``int`` from 0 to ``ALWAYS``: a fraction with eleven digits behind the point."""


@dataclass(frozen=True, slots=True)
class DayTime:
    """``int``: seconds of the day, as ``hh:mm:ss``."""


@dataclass(frozen=True, slots=True)
class Date:
    """``int``: seconds since 1970 (UTC, 32 bits), as ``YYYY-MM-DDThh:mm:ss``."""


@dataclass(frozen=True, slots=True)
class PacketRate:
    """``Rate``, as ``-m hashlimit`` writes it: ``40/sec`` or ``10mb/s``."""


@dataclass(frozen=True, slots=True)
class ByteCount:
    """``int`` of packets, or of bytes with a unit: ``("400kb")`` is ``Rate(409600, "bytes")``."""


@dataclass(frozen=True, slots=True)
class HeaderOptions:
    """``tuple[tuple[int, int | None], ...]``: IPv6 options, type and perhaps length."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """``bytes`` to search for, at most ``most``; written as text, or hexadecimal in ``|``."""

    most: int
    is_hex: bool


@dataclass(frozen=True, slots=True)
class Chunks:
    """``ChunkTypes``: two words, such as ``all DATA,INIT``."""


@dataclass(frozen=True, slots=True)
class SetAndSides:
    """``tuple[str, tuple[str, ...]]``: two words, a set's name and src or dst by commas
    (at most IPSET_DIM_MAX: 6)."""


@dataclass(frozen=True, slots=True)
class TrafficClass:
    """``int`` of 32 bits: major and minor number, sixteen bits each, as ``0001:ffff``."""


@dataclass(frozen=True, slots=True)
class U32Tests:
    """``str``: tests of ``-m u32``, numbers hexadecimal, without blanks."""


Form = (
    Flag
    | Number
    | Numbers
    | Span
    | Masked
    | Choice
    | Choices
    | Text
    | Address
    | AddressSpan
    | Network
    | HardwareAddress
    | Probability
    | DayTime
    | Date
    | PacketRate
    | ByteCount
    | HeaderOptions
    | Pattern
    | Chunks
    | SetAndSides
    | TrafficClass
    | U32Tests
)

_MAX_SIDES = 6
_MAX_HEADER_OPTIONS = 16
"""IP6T_OPTS_OPTSNR, linux/netfilter_ipv6/ip6t_opts.h."""
_UNITS = frozenset({"sec", "min", "hour", "day", "bytes"})
_NO_WORD = frozenset(" \t\n\0\"'\\")


def arity(form: Form) -> int:
    """How many words a value of this form is."""
    if isinstance(form, Flag):
        return 0
    return 2 if isinstance(form, Chunks | SetAndSides) else 1


def check_value(form: Form, value: object, family: Family, what: str) -> None:
    """Raise ValueError with a sentence where no value of this form can be this one.

    ``what`` names the option. A value of another type is a ValueError too.
    """
    if not _fits(form, value, family):
        raise ValueError(f"{what} cannot have the value {value!r}")


def _fits(form: Form, given: object, family: Family) -> bool:
    value: Any = given
    match form:
        case Flag(only):
            return bool(value == only)
        case Number(most, least):
            return isinstance(value, int) and least <= value <= most
        case Numbers(most, count, least):
            return (
                isinstance(value, tuple)
                and 0 < len(value) <= count
                and len(set(value)) == len(value)
                and all(least <= number <= most for number in value)
            )
        case Span(most):
            return isinstance(value, Range) and 0 <= value.first <= value.last <= most
        case Masked(most):
            return isinstance(value, MaskedWord) and max(value.value, value.mask) <= most
        case Choice(words):
            return value in words
        case Choices(words, member=member):
            known = set(words) if member is None else set(member)
            return isinstance(value, frozenset) and bool(value) and value <= known
        case Text():
            return isinstance(value, str) and _is_text(value, form)
        case Address():
            return isinstance(value, int) and 0 <= value < 1 << family.bits
        case AddressSpan():
            return isinstance(value, Range) and 0 <= value.first <= value.last < 1 << family.bits
        case Network(prefix_only=prefix_only):
            if not (isinstance(value, Net) and value.family is family):
                return False
            return value.prefix_length is not None or not prefix_only
        case HardwareAddress():
            return isinstance(value, int) and 0 <= value < 1 << 48
        case Probability():
            return isinstance(value, int) and 0 <= value <= ALWAYS
        case DayTime():
            return isinstance(value, int) and 0 <= value < 86_400
        case Date():
            return isinstance(value, int) and 0 <= value <= 0x7FFFFFFF
        case PacketRate():
            return isinstance(value, Rate) and value.unit in _UNITS and value.amount > 0
        case ByteCount():
            amount = value.amount if isinstance(value, Rate) else value
            return isinstance(amount, int) and 0 < amount <= UINT32
        case HeaderOptions():
            return (
                isinstance(value, tuple)
                and 0 < len(value) <= _MAX_HEADER_OPTIONS
                and all(
                    0 <= kind <= UINT8 and (length is None or 0 <= length <= UINT8)
                    for kind, length in value
                )
            )
        case Pattern(most, is_hex):
            return (
                isinstance(value, bytes)
                and 0 < len(value) <= most
                and is_hex is needs_hexadecimal(value)
            )
        case Chunks():
            return (
                isinstance(value, ChunkTypes)
                and value.how in ("all", "any", "only")
                and bool(value.names)
                and value.names <= set(CHUNKS)
            )
        case SetAndSides():
            name, sides = value
            return (
                is_word(name, MAX_SET_NAME)
                and 0 < len(sides) <= _MAX_SIDES
                and {"src", "dst"}.issuperset(sides)
            )
        case TrafficClass():
            return isinstance(value, int) and 0 <= value <= UINT32
        case U32Tests():
            return isinstance(value, str) and bool(value) and _NO_WORD.isdisjoint(value)
        case _:
            assert_never(form)


def needs_hexadecimal(pattern: bytes) -> bool:
    """Whether iptables-save writes a pattern in hexadecimal: it has bytes that do not print, or
    ends with a backslash (is_hex_string in extensions/libxt_string.c)."""
    return pattern[-1:] == b"\\" or any(not 0x20 <= byte < 0x7F for byte in pattern)


def is_word(text: object, most: int) -> bool:
    """Whether a text is one word of 1 to ``most`` bytes that needs no quotes."""
    return (
        isinstance(text, str)
        and 0 < len(text.encode("utf-8", "surrogateescape")) <= most
        and _NO_WORD.isdisjoint(text)
    )


def _is_text(text: str, form: Text) -> bool:
    if form.bare:
        return is_word(text, form.most)
    length = len(text.encode("utf-8", "surrogateescape"))
    return length <= form.most and not {"\n", "\0"} & set(text)
