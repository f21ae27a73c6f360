"""What a rule, a socket or a routing rule does with a mark: writing it, reading it, or both."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.doctor.any_of import Condition
from netfw.doctor.place import Passage, Spot
from netfw.ir.mark import MAX_MARK, MaskedWord


class Word(Enum):
    """Which of the two marks."""

    PACKET = "packet mark"
    CONNECTION = "connection mark"

    def __str__(self) -> str:
        return self.value

    @property
    def other(self) -> Word:
        """The other one."""
        return Word.CONNECTION if self is Word.PACKET else Word.PACKET


@dataclass(frozen=True, slots=True)
class MarkEffect:
    """A writer: ``m' = (m & keep) ^ xor ^ (other & mixed)``, bit by bit.

    ``mixed`` are the bits that come from the other word (CONNMARK save and restore, ``meta mark
    set ct mark``); ``opaque`` those that may get any value, for the reason ``why`` (a map, a hash,
    NFQUEUE, eBPF).
    """

    word: Word
    keep: int
    xor: int = 0
    mixed: int = 0
    opaque: int = 0
    why: str = ""

    @classmethod
    def set_word(cls, word: Word, mark: MaskedWord) -> MarkEffect:
        """``--set-xmark value/mask``."""
        return cls(word, keep=~mark.mask & MAX_MARK, xor=mark.value)

    @classmethod
    def any_value(cls, word: Word, mask: int, why: str) -> MarkEffect:
        """The bits of ``mask`` may become anything."""
        return cls(word, keep=~mask & MAX_MARK, opaque=mask, why=why)

    @property
    def written(self) -> int:
        """The bits that may change."""
        return (~self.keep & MAX_MARK) | self.xor | self.mixed | self.opaque

    @property
    def _certain(self) -> int:
        return ~self.keep & ~self.mixed & ~self.opaque & MAX_MARK

    @property
    def sets(self) -> int:
        """The bits that are 1 afterwards, whatever they were."""
        return self._certain & self.xor

    @property
    def clears(self) -> int:
        """The bits that are 0 afterwards, whatever they were."""
        return self._certain & ~self.xor

    @property
    def toggles(self) -> int:
        """The bits that are turned over."""
        return self.keep & self.xor & ~self.mixed & ~self.opaque

    @property
    def may_set(self) -> int:
        """The bits that this may make 1 where they were 0."""
        return self.xor | self.mixed | self.opaque

    @property
    def is_whole(self) -> bool:
        """Whether no bit survives."""
        return self.keep == 0

    def applied(self, mark: int, other: int = 0) -> int:
        """The mark afterwards, where nothing is opaque."""
        return ((mark & self.keep) ^ self.xor ^ (other & self.mixed)) & MAX_MARK

    def __str__(self) -> str:
        if self.opaque:
            return f"any value in {self.opaque:#x}" + (f" ({self.why})" if self.why else "")
        if self.mixed:
            return f"{self.mixed:#x} from the {self.word.other}, keeps {self.keep:#x}"
        return f"{self.xor:#x}/{~self.keep & MAX_MARK:#x}"


@dataclass(frozen=True, slots=True)
class MarkTest:
    """A reader: ``(m & mask) == value``, turned over where ``negated``.

    ``value`` is None where it is compared with several values or a range, or looked up in a map;
    the bits read are those of ``mask`` all the same. ``ignores_outside`` tells routing rules: they
    compare ``(m ^ value) & mask`` and so ignore value bits outside the mask.
    """

    word: Word
    mask: int
    value: int | None
    negated: bool = False
    ignores_outside: bool = False

    @property
    def can_match(self) -> bool:
        """Whether a mark can be of that value; what is negated then always matches."""
        return self.value is None or self.ignores_outside or self.value & ~self.mask == 0

    @property
    def needed(self) -> int:
        """The bits that must be 1 for the test to be true; none where it is negated."""
        return 0 if self.value is None or self.negated else self.value & self.mask

    def matches(self, mark: int) -> bool | None:
        """Whether a mark passes the test; None where ``value`` is not known."""
        if self.value is None:
            return None
        value = self.value & self.mask if self.ignores_outside else self.value
        return (mark & self.mask == value) is not self.negated

    def __str__(self) -> str:
        value = "several values" if self.value is None else f"{self.value:#x}"
        return f"{'not ' if self.negated else ''}{value}/{self.mask:#x}"


class Ending(Enum):
    """What becomes of a packet by a rule that touches a mark."""

    GOES_ON = "goes on"
    ACCEPTED = "accepted"
    DROPPED = "dropped"
    QUEUED = "queued"
    RETURNED = "returned"
    CALLS = "another chain"


@dataclass(frozen=True, slots=True)
class MarkUse:
    """Something on the host that reads or writes a mark: where, when, what.

    ``tests`` come before ``effects``; a rule with several tests asks them all. ``matches`` are
    all its conditions and ``calls`` those of its chain's callers, by the first way that leads
    there. ``is_first_only`` tells chains of nat, which see only the first packet
    of a connection. ``is_conditional`` says that some packets that come by are not meant.
    ``owner`` is a program, where the host says so.
    """

    spot: Spot
    passages: tuple[Passage, ...]
    tests: tuple[MarkTest, ...] = ()
    effects: tuple[MarkEffect, ...] = ()
    matches: tuple[Condition, ...] = ()
    calls: tuple[Condition, ...] = ()
    ending: Ending = Ending.GOES_ON
    is_first_only: bool = False
    is_conditional: bool = True
    owner: str = ""

    def read(self, word: Word) -> int:
        """The bits of a word that are asked for, or copied to the other word."""
        bits = 0
        for test in self.tests:
            if test.word is word:
                bits |= test.mask
        for effect in self.effects:
            if effect.word is not word:
                bits |= effect.mixed
        return bits

    def written(self, word: Word) -> int:
        """The bits of a word that may change."""
        bits = 0
        for effect in self.effects:
            if effect.word is word:
                bits |= effect.written
        return bits

    def may_precede(self, other: MarkUse) -> bool:
        """Whether some packet may come by here before it comes by the other one."""
        return any(a.may_precede(b) for a in self.passages for b in other.passages)

    def surely_precedes(self, other: MarkUse) -> bool:
        """Whether every packet that comes by both comes by here first."""
        pairs = [(a, b) for a in self.passages for b in other.passages if a.shares_way(b)]
        return bool(pairs) and all(a.surely_precedes(b) for a, b in pairs)

    def shares_family(self, other: MarkUse) -> bool:
        """Whether packets of one IP family may come by both."""
        mine, theirs = self.spot.family, other.spot.family
        return mine is None or theirs is None or mine is theirs
