"""What a piece of a ruleset does with every packet: a function that composes.

A summary says for each way out of the piece which packets take it, what the piece writes into
marks, and what it does besides (a log line). It speaks of a packet as it is when it enters, its
marks included, so that the summary of two pieces in a row follows from theirs, in any grouping:
thousands of rules are folded in a balanced tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from netfw.ir.match import LimitMatch
from netfw.ir.names import Hook, TableName
from netfw.ir.target import Log, Nflog, Target
from netfw.prove.space import Bdd, Space


@dataclass(frozen=True, slots=True)
class Leave:
    """A way out of a chain or of the whole path: what the target does.

    ``target`` is None for a DROP of a chain policy, and for RETURN ``is_return`` is set.
    """

    target: Target | None
    is_return: bool = False


Key = TypeVar("Key")

RETURN = Leave(None, is_return=True)


@dataclass(frozen=True, slots=True)
class LogEffect:
    """A line in a log, perhaps at a limited rate."""

    target: Log | Nflog
    limit: LimitMatch | None = None


@dataclass(frozen=True, slots=True)
class AcceptedBy:
    """A rule of this table has let the packet through its chain at this hook: not the policy."""

    hook: Hook
    table: TableName


@dataclass(frozen=True, slots=True)
class TranslatedBy:
    """A rule of the nat table at this hook has chosen this translation."""

    hook: Hook
    target: Target


@dataclass(frozen=True, slots=True)
class ChangedBy:
    """A rule does to the packet, or beside it, what no other rule here asks for: its type of
    service, its time to live, a copy of it, an entry of a set."""

    target: Target


@dataclass(frozen=True, slots=True)
class SteeredBy:
    """A policy has sent the packets of a connection another way, or put them into a class:
    ``what`` in words, such as ``table 100``."""

    what: str


Effect = LogEffect | AcceptedBy | TranslatedBy | ChangedBy | SteeredBy


@dataclass(frozen=True, slots=True)
class Write:
    """What is written into one bit: for which packets, and for which of those it becomes 1."""

    where: Bdd
    ones: Bdd


@dataclass(frozen=True, slots=True)
class Summary:
    """What a piece does; see the module.

    ``exits`` are disjoint; who takes none goes on behind the piece. ``reads`` names the state
    variables that matter to it.
    """

    exits: dict[Leave, Bdd] = field(default_factory=dict)
    writes: dict[str, Write] = field(default_factory=dict)
    effects: dict[Effect, Bdd] = field(default_factory=dict)
    reads: frozenset[str] = frozenset()

    @property
    def is_nothing(self) -> bool:
        """Whether the piece does nothing at all."""
        return not (self.exits or self.writes or self.effects)

    def leaves(self, space: Space) -> Bdd:
        """The packets that do not go on behind the piece."""
        found = space.false
        for taken in self.exits.values():
            found |= taken
        return found


NOTHING = Summary()


def guard(space: Space, condition: Bdd, piece: Summary, reads: frozenset[str]) -> Summary:
    """The piece, for those packets alone that meet a condition; ``reads`` are its variables."""
    if condition == space.true:
        return piece
    return Summary(
        _nonempty(space, {way: condition & taken for way, taken in piece.exits.items()}),
        {
            name: Write(condition & write.where, condition & write.ones)
            for name, write in piece.writes.items()
        },
        _nonempty(space, {what: condition & those for what, those in piece.effects.items()}),
        piece.reads | reads,
    )


def then(space: Space, first: Summary, second: Summary) -> Summary:
    """First one piece, then another for those who go on."""
    if first.is_nothing:
        return second
    if second.is_nothing:
        return first
    return append(space, first, after(space, first, second))


def append(space: Space, first: Summary, second: Summary) -> Summary:
    """One piece and another for those who go on, where both speak of packets as they enter."""
    going = ~first.leaves(space)
    exits = dict(first.exits)
    for way, taken in second.exits.items():
        before = exits.get(way)
        late = going & taken
        exits[way] = late if before is None else before | late
    writes = dict(first.writes)
    for name, write in second.writes.items():
        where, ones = going & write.where, going & write.ones
        earlier = writes.get(name)
        if earlier is not None:
            # who is written twice keeps the later value
            ones |= earlier.ones & ~where
            where |= earlier.where
        writes[name] = Write(where, ones)
    effects = dict(first.effects)
    for what, those in second.effects.items():
        seen = effects.get(what)
        late = going & those
        effects[what] = late if seen is None else seen | late
    return Summary(
        _nonempty(space, exits), writes, _nonempty(space, effects), first.reads | second.reads
    )


def after(space: Space, first: Summary, second: Summary) -> Summary:
    """The second piece, said of packets as they enter the first."""
    changed = {
        name: value_after(space, first, name) for name in second.reads if name in first.writes
    }
    if not changed:
        return second

    def moved(of: Bdd) -> Bdd:
        return space.substitute(of, changed)

    return replace(
        second,
        exits={way: moved(taken) for way, taken in second.exits.items()},
        writes={
            name: Write(moved(write.where), moved(write.ones))
            for name, write in second.writes.items()
        },
        effects={what: moved(those) for what, those in second.effects.items()},
    )


def either(space: Space, ways: Sequence[tuple[Bdd, Summary]]) -> Summary:
    """Pieces side by side: who is in a set goes through the piece beside it. Sets are disjoint."""
    exits: dict[Leave, list[Bdd]] = {}
    effects: dict[Effect, list[Bdd]] = {}
    writes: dict[str, list[Write]] = {}
    for those, piece in ways:
        for way, taken in piece.exits.items():
            exits.setdefault(way, []).append(those & taken)
        for what, seen in piece.effects.items():
            effects.setdefault(what, []).append(those & seen)
        for name, write in piece.writes.items():
            guarded = Write(those & write.where, those & write.ones)
            writes.setdefault(name, []).append(guarded)
    return Summary(
        {way: space.any_of(sets) for way, sets in exits.items()},
        {
            name: Write(
                space.any_of(write.where for write in parts),
                space.any_of(write.ones for write in parts),
            )
            for name, parts in writes.items()
        },
        {what: space.any_of(sets) for what, sets in effects.items()},
        frozenset().union(*(piece.reads for _, piece in ways)),
    )


def value_after(space: Space, piece: Summary, name: str) -> Bdd:
    """Who has a state variable set behind a piece."""
    before = space.state_variables[name]
    write = piece.writes.get(name)
    if write is None:
        return before
    return write.ones | (before & ~write.where)


def fold(space: Space, pieces: Sequence[Summary]) -> Summary:
    """All pieces in a row, folded in a balanced tree."""
    level = [piece for piece in pieces if not piece.is_nothing]
    if not level:
        return NOTHING
    while len(level) > 1:
        level = [
            then(space, level[at], level[at + 1]) if at + 1 < len(level) else level[at]
            for at in range(0, len(level), 2)
        ]
    return level[0]


def called(space: Space, chain: Summary, *, by_goto: bool) -> Summary:
    """A user chain seen from the rule that calls it: RETURN and its end lead behind the rule, or
    behind the caller of the rule's own chain where it was a goto."""
    exits = {way: taken for way, taken in chain.exits.items() if way != RETURN}
    if by_goto:
        taken = space.false
        for other in exits.values():
            taken |= other
        exits[RETURN] = ~taken
    return replace(chain, exits=_nonempty(space, exits))


def _nonempty(space: Space, sets: dict[Key, Bdd]) -> dict[Key, Bdd]:
    return {key: those for key, those in sets.items() if those != space.false}
