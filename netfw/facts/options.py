"""The options of one match or target, taken apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netfw.ir.mark import MAX_MARK, MaskedWord, parse_word
from netfw.ir.match import PortRange

Arity = Mapping[str, int]
"""How many values each option of a match or target takes."""


class Option(NamedTuple):
    """One option with its values, and whether a ``!`` stood before it or before its value."""

    name: str
    negate: bool
    values: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The option as it is written."""
        return (*(("!",) if self.negate else ()), self.name, *self.values)


class NotUnderstoodError(ValueError):
    """The words say something that the typed data cannot hold: keep them verbatim."""


def take_options(words: Sequence[str], arity: Arity) -> list[Option]:
    """The options in words; ``--name=value`` counts as two words.

    Raises NotUnderstoodError for an option that is not in ``arity`` or lacks a value.
    """
    options = []
    position, end = 0, len(words)
    while position < end:
        option, position = take_option(words, position, arity)
        options.append(option)
    return options


def take_option(words: Sequence[str], position: int, arity: Arity) -> tuple[Option, int]:
    """The option at a position, and the position behind it; raises as ``take_options`` does."""
    end = len(words)
    name = words[position]
    negate = name == "!"
    if negate:
        position += 1
        name = words[position] if position < end else ""
    position += 1
    count = arity.get(name)
    if count is None:
        name, equals, value = name.partition("=")
        if not equals or arity.get(name) != 1:
            raise NotUnderstoodError(name)
        return Option(name, negate, (value,)), position
    if count and position < end and words[position] == "!":
        negate = True
        position += 1
    values = tuple(words[position : position + count])
    if len(values) < count:
        raise NotUnderstoodError(name)
    return Option(name, negate, values), position + count


def masked_word(text: str) -> MaskedWord:
    """``value`` or ``value/mask``; without a mask all 32 bits. Raises ValueError."""
    value, slash, mask = text.partition("/")
    return MaskedWord(parse_word(value), parse_word(mask) if slash else MAX_MARK)


def port_range(text: str) -> PortRange:
    """``80``, ``1000:2000``, ``:1023`` or ``1024:``; names of services are not understood here.

    Raises ValueError, also for a range that is the wrong way round.
    """
    first_text, colon, last_text = text.partition(":")
    if not colon:
        port = number(first_text)
        return PortRange(port, port)
    first = number(first_text) if first_text else 0
    last = number(last_text) if last_text else 65535
    if first > last:
        raise NotUnderstoodError(text)
    return PortRange(first, last)


def number(text: str) -> int:
    """A decimal number without a sign; raises NotUnderstoodError."""
    if not (text.isascii() and text.isdigit()):
        raise NotUnderstoodError(text)
    return int(text)
