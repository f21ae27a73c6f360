"""Packet and connection marks: 32-bit words, read and written through masks."""

from __future__ import annotations

from dataclasses import dataclass

MAX_MARK = 0xFFFFFFFF
"""The largest mark, 2**32 - 1. The often-quoted 4294967296 is one too many."""


def parse_word(text: str) -> int:
    """Read a mark as iptables does: decimal, ``0x`` hexadecimal or leading-zero octal.

    Range 0 to 4294967295. Raises ValueError with a sentence that a user can read
    (iptables: xtables_strtoui with base 0, so ``010`` is 8).
    """
    digits = text.strip()
    try:
        if digits[:2].lower() == "0x":
            word = int(digits[2:], 16)
        elif len(digits) > 1 and digits[0] == "0":
            word = int(digits, 8)
        else:
            word = int(digits, 10)
    except ValueError:
        raise ValueError(f"'{text}' is not a number such as 65536 or 0x10000") from None
    if digits[:1] in "+-" or "_" in digits:
        raise ValueError(f"'{text}' is not a number such as 65536 or 0x10000")
    return check_word(word, text)


def check_word(word: int, text: str | None = None) -> int:
    """Return the word if it fits 32 bits; raise ValueError otherwise."""
    if not 0 <= word <= MAX_MARK:
        raise ValueError(f"{text or word} is outside 0..4294967295 (a mark has 32 bits)")
    return word


@dataclass(frozen=True, slots=True)
class MaskedWord:
    """A value and a mask as a rule of anybody's may hold them: any two 32-bit words.

    As a match: ``(mark & mask) == value``. As a target: ``(mark & ~mask) ^ value``
    (mark_mt and mark_tg in net/netfilter/xt_mark.c). A value with bits outside the mask
    loads without complaint; as a match it can never be true, as a target it toggles.
    Our own rules use ``Mark``, which refuses that.
    """

    value: int
    mask: int

    def __post_init__(self) -> None:
        check_word(self.value)
        check_word(self.mask)

    def matches(self, word: int) -> bool:
        """Whether a packet with this mark matches."""
        return word & self.mask == self.value

    def set_on(self, word: int) -> int:
        """The mark after ``--set-xmark value/mask``."""
        return (word & ~self.mask & MAX_MARK) ^ self.value

    @property
    def can_match(self) -> bool:
        """Whether any mark at all can match: the value has no bit outside the mask."""
        return self.value & ~self.mask == 0

    @property
    def written(self) -> int:
        """The bits that ``set_on`` may change: those of the mask, and those it toggles."""
        return self.mask | self.value

    def __str__(self) -> str:
        return f"{self.value:#x}/{self.mask:#x}"


@dataclass(frozen=True, slots=True)
class Mark(MaskedWord):
    """A value and a mask that make sense: a mask with bits, and no bit of the value outside it."""

    def __post_init__(self) -> None:
        check_word(self.value)
        check_word(self.mask)
        if self.mask == 0:
            raise ValueError(f"mark {self.value:#x}/0x0 has an empty mask: it says nothing")
        if self.value & ~self.mask:
            raise ValueError(
                f"mark {self.value:#x}/{self.mask:#x} has value bits "
                f"{self.value & ~self.mask:#x} outside its mask: it could never match"
            )
