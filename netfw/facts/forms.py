"""Values of options, read by their form."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import assert_never

from netfw.facts.options import NotUnderstoodError, number
from netfw.ir.form import (
    ALWAYS,
    CHUNKS,
    Address,
    AddressSpan,
    ByteCount,
    Choice,
    Choices,
    Chunks,
    ChunkTypes,
    Date,
    DayTime,
    Flag,
    Form,
    HardwareAddress,
    HeaderOptions,
    Masked,
    Network,
    Number,
    Numbers,
    PacketRate,
    Pattern,
    Probability,
    Range,
    Rate,
    SetAndSides,
    Span,
    Text,
    TrafficClass,
    U32Tests,
    needs_hexadecimal,
)
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Family
from netfw.ir.net import Net

_CLOCK = re.compile(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?")
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d))?)?)?)?)?")
_RATE = re.compile(r"(\d+)(?:/([a-z]+))?")
_BYTES = re.compile(r"(\d+)(b|kb|mb)")
_BYTE_UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20}
_RATE_UNITS = {"second": "sec", "sec": "sec", "minute": "min", "hour": "hour", "day": "day"}
_FRACTION = re.compile(r"\d*\.?\d+")
_U32_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|\d+")
_U32_NUMBERS = r"0x[0-9a-f]+(?::0x[0-9a-f]+)?"
_U32_TEST = rf"0x[0-9a-f]+(?:(?:&|<<|>>|@)0x[0-9a-f]+)*={_U32_NUMBERS}(?:,{_U32_NUMBERS})*"
_U32_TESTS = re.compile(rf"{_U32_TEST}(?:&&{_U32_TEST})*")


def read_value(form: Form, words: Sequence[str], family: Family) -> object:
    """The value that words of this form say; raises ValueError where they say none."""
    text = str(words[0]) if words else ""
    match form:
        case Flag(value):
            return value
        case Number(names=names):
            return _named(names, text)
        case Numbers(names=names):
            return tuple(sorted({_named(names, word) for word in text.split(",")}))
        case Span():
            return _span(form, text)
        case Masked(most, names=names):
            return _masked(names, text, most)
        case Choice():
            return _choice(form, text)
        case Choices(member=member):
            chosen = [_choice(form, word) for word in text.split(",")]
            return frozenset(chosen if member is None else map(member, chosen))
        case Text():
            return text
        case Address():
            return _address(text, family)
        case AddressSpan():
            first, dash, last = text.partition("-")
            return Range(_address(first, family), _address(last if dash else first, family))
        case Network(keeps_host=keeps_host):
            net = Net.parse(text)
            if keeps_host and net.address != int(ipaddress.ip_address(text.partition("/")[0])):
                raise NotUnderstoodError(text)
            return net
        case HardwareAddress():
            return _hardware_address(text)
        case Probability():
            return _probability(text)
        case DayTime():
            return _clock(text)
        case Date():
            return _date(text)
        case PacketRate():
            return _rate(text)
        case ByteCount():
            octets = _BYTES.fullmatch(text)
            if octets is None:
                return number(text)
            return Rate(int(octets[1]) * _BYTE_UNITS[octets[2]], "bytes")
        case HeaderOptions():
            return tuple(_header_option(word) for word in text.split(","))
        case Pattern(is_hex=is_hex):
            return _pattern(text) if is_hex else text.encode("utf-8", "surrogateescape")
        case Chunks():
            return _chunks(text, str(words[1]))
        case SetAndSides():
            return text, tuple(words[1].split(","))
        case TrafficClass():
            major, colon, minor = text.partition(":")
            if not colon:
                raise NotUnderstoodError(text)
            return _hexadecimal(major, 4) << 16 | _hexadecimal(minor, 4)
        case U32Tests():
            return _u32(text)
        case _:
            assert_never(form)


def any_number(text: str) -> int:
    """A number in decimal, hexadecimal with 0x, or octal with a leading 0, as strtoul(3) has it.

    Raises NotUnderstoodError.
    """
    if not (text.isascii() and text.isalnum()):
        raise NotUnderstoodError(text)
    is_octal = len(text) > 1 and text[0] == "0" and text[1] not in "xX"
    try:
        return int(text, 8 if is_octal else 0)
    except ValueError:
        raise NotUnderstoodError(text) from None


def _named(names: tuple[tuple[str, int], ...], text: str) -> int:
    for name, value in names:
        if name.lower() == text.lower():
            return value
    return any_number(text)


def _span(form: Span, text: str) -> Range | None:
    first_text, joint, last_text = text.partition(form.joint)
    first = _named(form.names, first_text) if first_text or not joint else 0
    if joint:
        last = _named(form.names, last_text) if last_text else form.most
    else:
        last = form.most if form.drops_end else first
    return Range(first, last)


def _masked(names: tuple[tuple[str, tuple[int, int]], ...], text: str, most: int) -> MaskedWord:
    for name, (value, mask) in names:
        if name.lower() == text.lower():
            return MaskedWord(value, mask)
    value_text, slash, mask_text = text.partition("/")
    return MaskedWord(any_number(value_text), any_number(mask_text) if slash else most)


def _choice(form: Choice | Choices, text: str) -> str:
    for alias, word in form.aliases:
        if alias.lower() == text.lower():
            return word
    for word in form.words:
        if word.lower() == text.lower():
            return word
    raise NotUnderstoodError(text)


def _address(text: str, family: Family) -> int:
    address = ipaddress.ip_address(text)
    if address.version != family.value:
        raise NotUnderstoodError(text)
    return int(address)


def _hexadecimal(text: str, most_digits: int) -> int:
    if not 0 < len(text) <= most_digits:
        raise NotUnderstoodError(text)
    return int(text, 16)


def _hardware_address(text: str) -> int:
    parts = text.split(":")
    if len(parts) != 6:
        raise NotUnderstoodError(text)
    address = 0
    for part in parts:
        address = address << 8 | _hexadecimal(part, 2)
    return address


def _probability(text: str) -> int:
    """As iptables rounds it: ``lround(0x80000000 * p)`` in libxt_statistic.c."""
    if not _FRACTION.fullmatch(text):
        raise NotUnderstoodError(text)
    return int(ALWAYS * float(text) + 0.5)


def _clock(text: str) -> int:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise NotUnderstoodError(text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    if hours > 23 or minutes > 59 or seconds > 59:
        raise NotUnderstoodError(text)
    return hours * 3600 + minutes * 60 + seconds


def _date(text: str) -> int:
    found = _DATE.fullmatch(text)
    if found is None:
        raise NotUnderstoodError(text)
    year, month, day, *clock = found.groups()
    hours, minutes, seconds = (int(part or 0) for part in clock)
    when = datetime(int(year), int(month or 1), int(day or 1), hours, minutes, seconds, tzinfo=UTC)
    return int(when.timestamp())


def _rate(text: str) -> Rate:
    if text.endswith("b/s"):
        octets = _BYTES.fullmatch(text[:-2])
        if octets is None:
            raise NotUnderstoodError(text)
        return Rate(int(octets[1]) * _BYTE_UNITS[octets[2]], "bytes")
    found = _RATE.fullmatch(text.lower())
    if found is None:
        raise NotUnderstoodError(text)
    amount, unit_text = found.groups()
    for name, unit in _RATE_UNITS.items():
        if name.startswith(unit_text or "second"):
            return Rate(int(amount), unit)
    raise NotUnderstoodError(text)


def _header_option(text: str) -> tuple[int, int | None]:
    kind, colon, length = text.partition(":")
    return any_number(kind), any_number(length) if colon else None


def _pattern(text: str) -> bytes:
    """Bytes in hexadecimal between bars, others as they are (parse_hex_string)."""
    if "\\" in text:
        raise NotUnderstoodError(text)
    parts = text.split("|")
    if len(parts) % 2 == 0:
        raise NotUnderstoodError(text)
    found = b""
    for position, part in enumerate(parts):
        is_hex = position % 2 == 1
        found += bytes.fromhex(part) if is_hex else part.encode("utf-8", "surrogateescape")
    if not needs_hexadecimal(found):
        # iptables-save would print it as text: but what is text may be read in another way
        raise NotUnderstoodError(text)
    return found


def _chunks(how: str, names: str) -> ChunkTypes:
    chosen = frozenset(CHUNKS) if names.upper() == "ALL" else frozenset(names.upper().split(","))
    return ChunkTypes(how, chosen)


def _u32(text: str) -> str:
    """Tests with every number as u32_dump in libxt_u32.c prints it."""
    bare = "".join(text.split())
    numbers = _U32_NUMBER.sub(lambda found: f"{any_number(found[0]):#x}", bare)
    tests = re.sub(r"(?<![0-9a-fx:])(0x[0-9a-f]+):\1(?![0-9a-f])", r"\1", numbers)
    if not _U32_TESTS.fullmatch(tests):
        raise NotUnderstoodError(text)
    return tests
