"""The bits of the marks that steering may use. No other file knows which bit is which."""

from __future__ import annotations

from dataclasses import dataclass, field

from netfw.ir.mark import Mark, check_word
from netfw.ir.mark_field import MarkField

DEFAULT_STEER_MASK = 0x0FF00000
"""Bits that may steer unless the policy says otherwise; netfw's own field is taken out of them."""
LEAST_BITS = 3
"""One bit for answers, one for a table, one for a class."""


@dataclass(frozen=True, slots=True)
class SteerField:
    """Bits outside netfw's field, in the packet's mark and at the same places in the connection's.

    From the lowest: ``answers`` (one bit: the table is for the answers of the connection),
    ``tables`` (the smaller half of the rest: which routing table), ``classes`` (which class of
    tc). Number 0 is nothing at all. The mask need not be in one piece.
    Raises ValueError for a mask with fewer than three bits.
    """

    mask: int = DEFAULT_STEER_MASK
    answers: int = field(init=False)
    tables: int = field(init=False)
    classes: int = field(init=False)

    def __post_init__(self) -> None:
        check_word(self.mask)
        bits = _bits(self.mask)
        if len(bits) < LEAST_BITS:
            raise ValueError(
                f"mask {self.mask:#x} has {len(bits)} bits: steering needs at least {LEAST_BITS}"
            )
        half = 1 + (len(bits) - 1) // 2
        object.__setattr__(self, "answers", bits[0])
        object.__setattr__(self, "tables", sum(bits[1:half]))
        object.__setattr__(self, "classes", sum(bits[half:]))

    @classmethod
    def beside(cls, own: MarkField) -> SteerField:
        """Where steering marks are unless the policy says so."""
        return cls(DEFAULT_STEER_MASK & ~own.mask)

    @property
    def table_count(self) -> int:
        """How many tables the bits tell apart."""
        return (1 << self.tables.bit_count()) - 1

    @property
    def class_count(self) -> int:
        """How many classes the bits tell apart."""
        return (1 << self.classes.bit_count()) - 1

    @property
    def way(self) -> int:
        """The bits that say where a packet goes: the table, and whether it is for answers."""
        return self.tables | self.answers

    @property
    def nothing(self) -> Mark:
        """No bit set: the packet goes where it would go anyway."""
        return Mark(0, self.mask)

    @property
    def no_way(self) -> Mark:
        """No table, neither for the packet nor for answers."""
        return Mark(0, self.way)

    @property
    def for_answers(self) -> Mark:
        """The table is for the answers."""
        return Mark(self.answers, self.answers)

    @property
    def for_itself(self) -> Mark:
        """The table is for packets in the direction in which the connection was opened."""
        return Mark(0, self.answers)

    def table(self, number: int) -> Mark:
        """What ``ip rule`` asks for: a table by its number here (1 to ``table_count``)."""
        return Mark(_deposit(number, self.tables), self.tables)

    def packets_by(self, number: int) -> Mark:
        """Packets, and those that follow them in the same direction, take a table; 0: none."""
        return Mark(_deposit(number, self.tables), self.way)

    def answers_by(self, number: int) -> Mark:
        """The answers of the connection take a table."""
        return Mark(_deposit(number, self.tables) | self.answers, self.way)

    def meaning_of(self, word: int) -> str:
        """What the steering bits of a mark say, in words; numbers are those of the mark."""
        check_word(word)
        parts = []
        if table := _extract(word, self.tables):
            answers = " for answers" if word & self.answers else ""
            parts.append(f"table number {table}{answers}")
        elif word & self.answers:
            parts.append("no table; it brought a mark, or its answers take none")
        if tc_class := _extract(word, self.classes):
            parts.append(f"class number {tc_class}")
        return ", ".join(parts) or "not steered"

    def tc_class(self, number: int) -> Mark:
        """Packets of the connection belong to a class (1 to ``class_count``; 0: none)."""
        return Mark(_deposit(number, self.classes), self.classes)


def _bits(mask: int) -> list[int]:
    return [1 << place for place in range(32) if mask >> place & 1]


def _extract(word: int, mask: int) -> int:
    """The number that is written into the bits of a mask."""
    return sum(1 << place for place, bit in enumerate(_bits(mask)) if word & bit)


def _deposit(number: int, mask: int) -> int:
    """A number written into the bits of a mask, its lowest bit into the lowest of them."""
    bits = _bits(mask)
    if not 0 <= number < 1 << len(bits):
        raise ValueError(f"{number} does not fit the bits of {mask:#x}")
    return sum(bit for place, bit in enumerate(bits) if number >> place & 1)
