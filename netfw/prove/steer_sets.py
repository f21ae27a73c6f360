"""How a policy steers every packet, by the words of the language alone.

What begins a connection, or belongs to none, is asked of the entries in order; what follows goes
the way of its connection: in the direction in which it was opened, or that of its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netfw.ir.match import ConnectionState
from netfw.ir.target import Classify
from netfw.policy.model import Policy
from netfw.policy.steering import SteerPolicy
from netfw.prove.condition_sets import ConditionSets
from netfw.prove.path import PathKind
from netfw.prove.space import Bdd, Field, bits_of, connmark_bit, mark_bit
from netfw.prove.summary import ChangedBy, Effect, SteeredBy

Choices = list[tuple[int, Bdd]]
"""What an entry decides, as bits of a mark, and for whom."""
Taken = list[tuple[SteerPolicy, Bdd]]
"""Entries, and the packets that they decide about."""


def bits_of_policy(policy: Policy) -> tuple[int, int]:
    """The bits of the packet's mark and of the connection's that a space needs for a policy."""
    steer = policy.steering.field.mask if policy.steering.entries else 0
    return policy.owned_bits | policy.foreign_mark_bits, steer


class SteerSets:
    """A policy's steering in a space that follows its bits in both marks."""

    def __init__(self, policy: Policy, conditions: ConditionSets) -> None:
        self.steering = policy.steering
        self.conditions = conditions
        self.space = conditions.space

    def marks(self, kind: PathKind, untracked: Bdd) -> dict[str, Bdd]:
        """For each bit of both marks, the packets that have it set behind all rules.

        ``untracked`` are those that an early policy keeps out of connection tracking.
        """
        if not self.steering.entries:
            return {}
        space, field = self.space, self.steering.field
        known = space.in_state(ConnectionState.ESTABLISHED, ConnectionState.RELATED) & ~untracked
        begins = space.in_state(ConnectionState.NEW) & ~untracked
        # what this host sends and an early policy has let through keeps its route
        movable = ~untracked if kind is PathKind.OUT else space.true
        tables, answers, classes = self._decisions(kind, movable)
        for_answers = self._connmark(field.answers)
        # the table of a connection is for one of its directions
        fits = ~space.either(for_answers, space.flag(Field.REPLY))
        found: dict[str, Bdd] = {}
        for bit in bits_of(field.mask):
            here = self._connmark(1 << bit)
            decided = [*tables, *classes]
            if field.way >> bit & 1:
                here &= fits if self.steering.moves else space.false
            found[mark_bit(bit)] = (known & here) | (~known & self._has(1 << bit, decided))
            if field.answers >> bit & 1 and kind is PathKind.OUT and self.steering.moves:
                # noted, so that the packet is judged where it really leaves
                found[mark_bit(bit)] |= self._brought()
            kept = [*decided, *answers]
            found[connmark_bit(bit)] = (begins & self._has(1 << bit, kept)) | (
                ~begins & self._connmark(1 << bit)
            )
        return found

    def moved(self, marks: dict[str, Bdd]) -> Bdd:
        """The packets that go by another table, or whose mark says so."""
        return self.space.any_of(
            marks[mark_bit(bit)] for bit in bits_of(self.steering.field.way) if marks
        )

    def effects(self, kind: PathKind, marks: dict[str, Bdd]) -> dict[Effect, Bdd]:
        """What leaves gets the class of its connection."""
        found: dict[Effect, Bdd] = {}
        if kind is PathKind.IN:
            return found
        for entry in self.steering.entries:
            if entry.tc_class and self.space.family in entry.families:
                mark = self.steering.field.tc_class(self.steering.classes[entry.tc_class])
                those = self.space.true
                for bit in bits_of(mark.mask):
                    here = marks[mark_bit(bit)]
                    those &= here if mark.value >> bit & 1 else ~here
                found[ChangedBy(Classify(priority=entry.tc_class))] = those
        return found

    def ways(self, kind: PathKind) -> dict[Effect, Bdd]:
        """What is decided for packets that begin a connection, or belong to none, in words."""
        found: dict[Effect, Bdd] = {}
        of_tables, of_classes = self.taken(kind)
        parts = [
            (f"table {entry.table}{' for answers' if entry.answers else ''}", those)
            for entry, those in of_tables
            if entry.table
        ]
        parts += [
            (f"class {entry.tc_class >> 16:x}:{entry.tc_class & 0xFFFF:x}", those)
            for entry, those in of_classes
            if entry.tc_class
        ]
        known = self.space.in_state(ConnectionState.ESTABLISHED, ConnectionState.RELATED)
        for text, those in parts:
            what = SteeredBy(text)
            found[what] = found.get(what, self.space.false) | (those & ~known)
        return found

    def taken(self, kind: PathKind) -> tuple[Taken, Taken]:
        """The entries that decide about tables, and those about classes, each with the packets
        that it is the first to be about."""
        from_host = kind is PathKind.OUT
        return (
            self._first(
                self.steering.with_table(from_host=from_host), self.space.true, lambda _: True
            ),
            self._first(
                self.steering.with_class(from_host=from_host), self.space.true, lambda _: True
            ),
        )

    def asked_by(self, entry: SteerPolicy) -> Bdd:
        """The packets that an entry is about, whoever stands before it."""
        those = self.conditions.of_conditions(entry.conditions(self.space.family))
        if entry.inputs:
            those &= self.conditions.at_any(Field.IN_INTERFACE, entry.inputs)
        return those

    def _decisions(self, kind: PathKind, movable: Bdd) -> tuple[Choices, Choices, Choices]:
        """By table, by table of answers, and by class; in each the first that matches."""
        steering, field = self.steering, self.steering.field
        from_host = kind is PathKind.OUT
        ways = self._first(
            steering.with_table(from_host=from_host), movable, lambda entry: bool(entry.table)
        )
        tables, answers = [], []
        for entry, those in ways:
            assert entry.table is not None
            number = steering.tables[entry.table]
            if entry.answers:
                answers.append((field.answers_by(number).value, those))
            else:
                tables.append((field.packets_by(number).value, those))
        classes = [
            (field.tc_class(steering.classes[entry.tc_class or 0]).value, those)
            for entry, those in self._first(
                steering.with_class(from_host=from_host),
                self.space.true,
                lambda entry: bool(entry.tc_class),
            )
        ]
        return tables, answers, classes

    def _first(
        self,
        entries: Iterable[SteerPolicy],
        left: Bdd,
        decides_something: Callable[[SteerPolicy], bool],
    ) -> Taken:
        found = []
        for entry in entries:
            those = left & self.asked_by(entry)
            left &= ~those
            if decides_something(entry):
                found.append((entry, those))
        return found

    def _brought(self) -> Bdd:
        """Packets that come with a bit of ours set."""
        bits = bits_of(self.steering.field.mask)
        return self.space.any_of(self.space.state_variables[mark_bit(bit)] for bit in bits)

    def _has(self, bit: int, choices: Choices) -> Bdd:
        return self.space.any_of(those for value, those in choices if value & bit)

    def _connmark(self, bit: int) -> Bdd:
        return self.space.state_variables[connmark_bit(bit.bit_length() - 1)]
