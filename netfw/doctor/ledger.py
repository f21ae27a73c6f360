"""The ledger: who writes and who reads each bit of the marks on a host, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import groupby

from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import ConnectionMarks, NotRead
from netfw.doctor.owner import owners
from netfw.doctor.place import Stage

BITS = 32


class Does(Enum):
    """What a use does with one bit: the word for it, and the sign in a picture."""

    SETS = "sets", "1"
    CLEARS = "clears", "0"
    TOGGLES = "toggles", "^"
    COPIES = "copies", "="
    """The bit comes from the other word."""
    ANY = "any", "*"
    """It may become either: a map, a hash, a program."""
    ASKS_SET = "asks for 1", "1"
    ASKS_CLEAR = "asks for 0", "0"
    ASKS_SEVERAL = "asks", "x"
    """It is compared with several values, or copied to the other word."""

    def __init__(self, word: str, sign: str) -> None:
        self.word = word
        self.sign = sign


@dataclass(frozen=True, slots=True)
class Entry:
    """A use of one word, as a writer or as a reader: what it does, bit by bit (bit 0 first; None:
    nothing). ``owners`` are the likely owners, the likeliest first."""

    use: MarkUse
    word: Word
    is_writer: bool
    bits: tuple[Does | None, ...]
    owners: tuple[str, ...]

    @property
    def mask(self) -> int:
        """The bits that it touches."""
        return sum(1 << bit for bit, does in enumerate(self.bits) if does is not None)

    @property
    def stage(self) -> Stage | None:
        """Where packets come by first; None where nothing leads there."""
        return self.use.passages[0].stage if self.use.passages else None


@dataclass(frozen=True, slots=True)
class BitGroup:
    """Neighbouring bits that the same uses write and read, from ``low`` to ``high`` (0 to 31)."""

    low: int
    high: int
    entries: tuple[Entry, ...]

    @property
    def mask(self) -> int:
        """The bits as a mask."""
        return (1 << self.high + 1) - (1 << self.low)

    @property
    def owners(self) -> tuple[str, ...]:
        """The likely owners. Who replaces the whole word owns the bits that are 1 in it."""
        return tuple(
            dict.fromkeys(
                name
                for entry in self.entries
                if entry.mask != (1 << BITS) - 1 or self._is_set_by(entry)
                for name in entry.owners
            )
        )

    def _is_set_by(self, entry: Entry) -> bool:
        return any(
            does in (Does.SETS, Does.ASKS_SET) for does in entry.bits[self.low : self.high + 1]
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """Both words of a host. Entries are in the order of the path."""

    host: str
    entries: tuple[Entry, ...]
    connections: tuple[ConnectionMarks, ...]
    not_read: tuple[NotRead, ...]

    def of(self, word: Word) -> tuple[Entry, ...]:
        """The entries of a word."""
        return tuple(entry for entry in self.entries if entry.word is word)

    def groups(self, word: Word) -> Iterator[BitGroup]:
        """The bits of a word from 0 on, neighbours with the same uses together."""
        entries = self.of(word)
        masks = [entry.mask for entry in entries]
        low = 0
        for touching, bits in groupby(range(BITS), key=partial(_touching, masks)):
            high = low + len(list(bits)) - 1
            yield BitGroup(low, high, tuple(entries[index] for index in touching))
            low = high + 1

    def untouched(self, word: Word) -> int:
        """The bits that nothing on the host writes or reads."""
        touched = 0
        for entry in self.of(word):
            touched |= entry.mask
        return ~touched & (1 << BITS) - 1


def make_ledger(state: HostState) -> Ledger:
    """The ledger of a host."""
    entries = [entry for use in sorted(state.uses, key=_order) for entry in _entries(use)]
    return Ledger(state.name, tuple(entries), state.connections, state.not_read)


def _touching(masks: Sequence[int], bit: int) -> tuple[int, ...]:
    return tuple(index for index, mask in enumerate(masks) if mask >> bit & 1)


_STAGES = {stage: order for order, stage in enumerate(Stage)}


def _order(use: MarkUse) -> tuple[int, int, tuple[int, ...]]:
    """Where packets come by first; what nothing leads to is last."""
    if not use.passages:
        return len(_STAGES), 0, ()
    first = use.passages[0]
    return _STAGES[first.stage], first.priority, first.first


def _entries(use: MarkUse) -> Iterator[Entry]:
    names = owners(use)
    for word in Word:
        if use.read(word):
            yield Entry(use, word, False, tuple(_asked(use, word)), names)
        if use.written(word):
            yield Entry(use, word, True, tuple(_done(use, word)), names)


def _asked(use: MarkUse, word: Word) -> Iterator[Does | None]:
    tests = [test for test in use.tests if test.word is word]
    copied = 0
    for effect in use.effects:
        if effect.word is not word:
            copied |= effect.mixed
    for bit in range(BITS):
        does = Does.ASKS_SEVERAL if copied >> bit & 1 else None
        for test in tests:
            if not test.mask >> bit & 1:
                continue
            if test.value is None:
                does = Does.ASKS_SEVERAL
            else:
                does = Does.ASKS_SET if test.value >> bit & 1 else Does.ASKS_CLEAR
        yield does


def _done(use: MarkUse, word: Word) -> Iterator[Does | None]:
    effects = [effect for effect in use.effects if effect.word is word]
    for bit in range(BITS):
        does = None
        for effect in effects:
            if effect.opaque >> bit & 1:
                does = Does.ANY
            elif effect.mixed >> bit & 1:
                does = Does.COPIES
            elif effect.toggles >> bit & 1:
                does = Does.TOGGLES
            elif effect.sets >> bit & 1:
                does = Does.SETS
            elif effect.clears >> bit & 1:
                does = Does.CLEARS
        yield does
