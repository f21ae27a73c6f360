"""Lint of steering, by the policy's own meaning: entries that decide nothing, and senders that get
no answer."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.ir.match import ConnectionState
from netfw.ir.names import Hook
from netfw.policy.steering import NOT_THERE, SteerPolicy
from netfw.prove.finding import Finding, Kind
from netfw.prove.path import PathKind, possible
from netfw.prove.policy_sets import PolicySets
from netfw.prove.space import Bdd, Field
from netfw.prove.summary import TranslatedBy


class SteerLint:
    """Entries seen so far, over families and paths."""

    def __init__(self) -> None:
        self._entries: dict[int, SteerPolicy] = {}
        self._wanted: set[tuple[int, str]] = set()
        self._met: set[tuple[int, str]] = set()
        self._keeps_source: dict[int, SteerPolicy] = {}

    def look_at(self, sets: PolicySets, kind: PathKind) -> None:
        """Take in a path of a family."""
        space = sets.space
        open_ = possible(space) & ~space.in_state(
            ConnectionState.ESTABLISHED, ConnectionState.RELATED
        )
        for what, taken in zip(("table", "class"), sets.steering.taken(kind), strict=True):
            for entry, those in taken:
                key = (id(entry), what)
                self._entries[id(entry)] = entry
                if sets.steering.asked_by(entry) & open_ != space.false:
                    self._wanted.add(key)
                if those & open_ != space.false:
                    self._met.add(key)
                if what == "table" and kind is PathKind.OUT:
                    self._look_at_source(sets, entry, those & open_)

    def _look_at_source(self, sets: PolicySets, entry: SteerPolicy, those: Bdd) -> None:
        via = sets.policy.steering.vias.get(entry.table or 0)
        if via is None or via.interface == NOT_THERE:
            return
        space = sets.space
        if space.family not in via.families:
            return
        like = space.interfaces.like(via.interface)
        leaves = space.interface(Field.OUT_INTERFACE, [like] if like else [])
        meaning = sets.meaning(PathKind.OUT)
        stopped = space.any_of([meaning.denied, *meaning.rejected.values()])
        translated = space.any_of(
            packets
            for effect, packets in meaning.effects.items()
            if isinstance(effect, TranslatedBy) and effect.hook is Hook.POSTROUTING
        )
        sent = those & leaves & space.in_state(ConnectionState.NEW) & ~stopped
        if sent & ~translated != space.false:
            self._keeps_source[id(entry)] = entry

    def findings(self) -> Iterator[Finding]:
        """What is to be told, in the order of the file."""
        for key in sorted(self._wanted - self._met, key=self._line):
            entry = self._entries[key[0]]
            text = f"the {key[1]} of '{entry.origin.text}' is never taken"
            text += ": entries before it take all its packets"
            yield Finding(Kind.SHADOWED, entry.origin.where, text)
        for entry in self._keeps_source.values():
            text = (
                f"'{entry.origin.text}' sends packets out with the address of another interface, "
                "and nothing translates it"
            )
            yield Finding(Kind.STEERED_SOURCE, entry.origin.where, text)

    def _line(self, key: tuple[int, str]) -> tuple[int, int]:
        where = self._entries[key[0]].origin.where
        return where.line, where.column
