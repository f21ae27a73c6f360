"""Values of options, written by their form as iptables-save prints them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, assert_never

from netfw.ir.form import (
    ALWAYS,
    CHUNKS,
    Address,
    AddressSpan,
    ByteCount,
    Choice,
    Choices,
    Chunks,
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
)
from netfw.ir.names import Family
from netfw.ir.net import Net, format_address
from netfw.ir.spelling import Option, Spelled, stands
from netfw.render.quote import in_quotes, quote


def render_options(of: Spelled, family: Family) -> str:
    """The options of a match or target, each with a blank before it."""
    return "".join(_option(of, option, family) for option in of.OPTIONS if stands(of, option))


def _option(of: Spelled, option: Option, family: Family) -> str:
    value = getattr(of, option.field)
    negate = bool(option.negate) and getattr(of, option.negate)
    if option.wanted:
        value, negate = value.value, value.negate
    text = _value(option.form, value, family)
    return f"{' !' if negate else ''} {option.name}{' ' if text else ''}{text}"


def _value(form: Form, given: object, family: Family) -> str:
    # check_value has looked at its type
    value: Any = given
    match form:
        case Flag():
            return ""
        case Number(digits=digits, in_quotes=is_quoted):
            text = f"0x{value:0{digits}x}" if digits else str(value)
            return f'"{text}"' if is_quoted else text
        case Numbers(names=names, is_named=is_named):
            by_number = {number: name for name, number in names} if is_named else {}
            return ",".join(by_number.get(number, str(number)) for number in value)
        case Span():
            return _span(form, value)
        case Masked(most, digits, always):
            text = f"0x{value.value:0{digits}x}"
            has_mask = always or value.mask != most
            return f"{text}/0x{value.mask:0{digits}x}" if has_mask else text
        case Choice():
            return str(value)
        case Choices(words, member=member):
            chosen = value if member is None else {each.value for each in value}
            return ",".join(word for word in words if word in chosen)
        case Text(quoted=quoted, bare=bare):
            if bare:
                return str(value)
            return in_quotes(value) if quoted else quote(value)
        case Address():
            return format_address(family, value)
        case AddressSpan():
            return "-".join(format_address(family, end) for end in (value.first, value.last))
        case Network(bare):
            net: Net = value
            return format_address(family, net.address) if bare and net.is_single else str(net)
        case HardwareAddress():
            return ":".join(f"{byte:02x}" for byte in value.to_bytes(6, "big"))
        case Probability():
            return f"{value / ALWAYS:.11f}"
        case DayTime():
            return f"{value // 3600:02}:{value // 60 % 60:02}:{value % 60:02}"
        case Date():
            return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        case PacketRate():
            rate: Rate = value
            if rate.unit == "bytes":
                return f"{_octets(rate.amount)}/s"
            return f"{rate.amount}/{rate.unit}"
        case ByteCount():
            return _octets(value.amount) if isinstance(value, Rate) else str(value)
        case HeaderOptions():
            return ",".join(
                str(kind) if length is None else f"{kind}:{length}" for kind, length in value
            )
        case Pattern(is_hex=is_hex):
            if is_hex:
                return f'"|{value.hex()}|"'
            return in_quotes(value.decode("utf-8", "surrogateescape"))
        case Chunks():
            listed = ",".join(name for name in CHUNKS if name in value.names)
            return f"{value.how} {'ALL' if len(value.names) == len(CHUNKS) else listed}"
        case SetAndSides():
            name, sides = value
            return f"{name} {','.join(sides)}"
        case TrafficClass():
            return f"{value >> 16:04x}:{value & 0xFFFF:04x}"
        case U32Tests():
            return f'"{value}"'
        case _:
            assert_never(form)


def _span(form: Span, span: Range) -> str:
    if form.drops_end and span.last == form.most:
        return str(span.first)
    if span.first == span.last and not form.drops_end:
        return str(span.first)
    return f"{span.first}{form.joint}{span.last}"


def _octets(amount: int) -> str:
    for shift, unit in ((20, "mb"), (10, "kb")):
        if amount % (1 << shift) == 0:
            return f"{amount >> shift}{unit}"
    return f"{amount}b"
