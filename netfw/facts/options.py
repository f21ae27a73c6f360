"""The options of one match or target, taken apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netfw.ir.mark import MAX_MARK, MaskedWord, parse_word
from netfw.ir.match import PortRange


class Option(NamedTuple):
    """One option with its values, and whether a ``!`` stood before it or before its value."""

    name: str
    negate: bool
    values: tuple[str, ...]


class NotUnderstoodError(ValueError):
    """The words say something that the typed data cannot hold: keep them verbatim."""


def take_options(words: Sequence[str], arity: Mapping[str, int]) -> list[Option]:
    """The options in words; ``arity`` says how many values each takes.

    Raises NotUnderstoodError for an option that is not in ``arity`` or lacks a value.
    """
    options = []
    position, end = 0, len(words)
    while position < end:
        name = words[position]
        negate = name == "!"
        if negate:
            position += 1
            name = words[position] if position < end else ""
        count = arity.get(name)
        if count is None:
            raise NotUnderstoodError(name)
        position += 1
        if count and position < end and words[position] == "!":
            negate = True
            position += 1
        values = tuple(words[position : position + count])
        if len(values) < count:
            raise NotUnderstoodError(name)
        position += count
        options.append(Option(name, negate, values))
    return options


def masked_word(text: str) -> MaskedWord:
    """``value`` or ``value/mask``; without a mask all 32 bits. Raises ValueError."""
    value, slash, mask = text.partition("/")
    return MaskedWord(parse_word(value), parse_word(mask) if slash else MAX_MARK)


def port_range(text: str) -> PortRange:
    """``80``, ``1000:2000``, ``:1023`` or ``1024:``; names are not understood here.

    iptables exchanges a range that is the wrong way round. Raises ValueError.
    """
    first_text, colon, last_text = text.partition(":")
    if not colon:
        port = _port(first_text)
        return PortRange(port, port)
    first = _port(first_text) if first_text else 0
    last = _port(last_text) if last_text else 65535
    if first > last:
        raise NotUnderstoodError(text)
    return PortRange(first, last)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise NotUnderstoodError(text)
    return int(text)
