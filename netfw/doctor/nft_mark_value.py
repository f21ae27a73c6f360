"""The values that native nftables gives marks, out of nft's JSON, bit by bit.

The kernel's expression is ``(x & mask) ^ xor`` (nft_bitwise.c), and nft prints it as nested
``&``, ``|`` and ``^`` with constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netfw.doctor.mark_use import MarkEffect, Word
from netfw.ir.mark import MAX_MARK


@dataclass(frozen=True, slots=True)
class _Value:
    """``(packet & of_packet) ^ (connection & of_connection) ^ constant``; ``opaque`` bits may be
    anything."""

    of_packet: int = 0
    of_connection: int = 0
    constant: int = 0
    opaque: int = 0

    @property
    def is_constant(self) -> bool:
        return not (self.of_packet or self.of_connection or self.opaque)

    def masked(self, mask: int) -> _Value:
        return _Value(
            self.of_packet & mask,
            self.of_connection & mask,
            self.constant & mask,
            self.opaque & mask,
        )

    def with_set(self, bits: int) -> _Value:
        rest = self.masked(~bits & MAX_MARK)
        return _Value(rest.of_packet, rest.of_connection, rest.constant | bits, rest.opaque)

    def toggled(self, other: _Value) -> _Value:
        return _Value(
            self.of_packet ^ other.of_packet,
            self.of_connection ^ other.of_connection,
            self.constant ^ other.constant,
            self.opaque | other.opaque,
        )

    def joined(self, other: _Value) -> _Value:
        """``|`` of two values that are both no constants: exact where they share no bit."""
        mine = self.of_packet | self.of_connection | self.constant | self.opaque
        theirs = other.of_packet | other.of_connection | other.constant | other.opaque
        shared = mine & theirs
        one = self.masked(~shared & MAX_MARK).toggled(other.masked(~shared & MAX_MARK))
        return _Value(one.of_packet, one.of_connection, one.constant, one.opaque | shared)


_ANYTHING = _Value(opaque=MAX_MARK)


def mark_read(part: Any) -> tuple[Word, int] | None:  # noqa: ANN401 - JSON
    """The mark that an expression is, and the bits of it; None for anything else."""
    if not isinstance(part, Mapping):
        return None
    for name, word in (("meta", Word.PACKET), ("ct", Word.CONNECTION)):
        of = part.get(name)
        if isinstance(of, Mapping) and of.get("key") == "mark":
            return word, MAX_MARK
    both = part.get("&")
    if isinstance(both, list) and len(both) == 2 and isinstance(both[1], int):
        inner = mark_read(both[0])
        return None if inner is None else (inner[0], inner[1] & both[1])
    return None


def effect_of(word: Word, value: Any) -> MarkEffect:  # noqa: ANN401 - JSON
    """What ``meta mark set VALUE`` or ``ct mark set VALUE`` does."""
    found = _evaluate(value)
    mine, others = found.of_packet, found.of_connection
    if word is Word.CONNECTION:
        mine, others = others, mine
    why = "out of a map, a hash or a field of the packet" if found.opaque else ""
    # where a bit may be anything, it does not matter what else goes into it
    known = ~found.opaque & MAX_MARK
    return MarkEffect(
        word, mine & known, found.constant & known, others & known, found.opaque, why
    )


def _evaluate(part: Any) -> _Value:  # noqa: ANN401 - JSON
    if isinstance(part, int):
        return _Value(constant=part & MAX_MARK)
    if not isinstance(part, Mapping):
        return _ANYTHING
    read = mark_read(part)
    if read is not None:
        word, bits = read
        return _Value(of_packet=bits) if word is Word.PACKET else _Value(of_connection=bits)
    for sign in ("&", "|", "^", "<<", ">>"):
        operands = part.get(sign)
        if isinstance(operands, list) and len(operands) >= 2:
            found = _evaluate(operands[0])
            for operand in operands[1:]:
                found = _combined(sign, found, _evaluate(operand))
            return found
    return _ANYTHING


def _combined(sign: str, left: _Value, right: _Value) -> _Value:
    if left.is_constant and not right.is_constant and sign in "&|^":
        left, right = right, left
    if sign == "^":
        return left.toggled(right)
    if sign == "|":
        return left.with_set(right.constant) if right.is_constant else left.joined(right)
    if sign == "&" and right.is_constant:
        return left.masked(right.constant)
    if left.is_constant and right.is_constant and right.constant < 32:
        shifted = (
            left.constant << right.constant if sign == "<<" else left.constant >> right.constant
        )
        return _Value(constant=shifted & MAX_MARK)
    return _ANYTHING
