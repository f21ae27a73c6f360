"""What a policy translates, for every packet: a meaning behind translation as packets arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from netfw.ir.match import ConnectionState
from netfw.ir.names import Hook
from netfw.ir.target import Dnat, Masquerade, NatRange, Netmap, Redirect, Snat
from netfw.policy.conditions import Conditions
from netfw.policy.model import Policy
from netfw.policy.new_end import Given, Moved, Own
from netfw.policy.translation import Point, Turn, turns_at
from netfw.prove.condition_sets import ConditionSets
from netfw.prove.meaning import Meaning
from netfw.prove.path import PathKind
from netfw.prove.space import Bdd, Field
from netfw.prove.summary import Effect, TranslatedBy
from netfw.prove.translation import Replaced, Translation, translation

Seen = Callable[[Bdd], Bdd]
"""Packets as they arrive, for packets as they are behind the translation of destinations."""


class TranslationSets:
    """A policy's translations in a space."""

    def __init__(self, policy: Policy, conditions: ConditionSets) -> None:
        self.policy = policy
        self.conditions = conditions
        self.space = conditions.space

    def as_arrived(self, kind: PathKind, plain: Meaning) -> Meaning:
        """The same for packets as they arrive: the first entry that is about what begins a
        connection changes its destination, and the first one its source."""
        seen, effects = self._redirected(kind)
        found = replace(
            plain,
            allowed=seen(plain.allowed),
            denied=seen(plain.denied),
            rejected={target: seen(those) for target, those in plain.rejected.items()},
            effects={what: seen(those) for what, those in plain.effects.items()} | effects,
        )
        if kind is not PathKind.IN:
            self._leaving(found, seen)
        return found

    def _redirected(self, kind: PathKind) -> tuple[Seen, dict[Effect, Bdd]]:
        space = self.space
        point, hook = Point.ARRIVING, Hook.PREROUTING
        if kind is PathKind.OUT:
            point, hook = Point.SENDING, Hook.OUTPUT
        parts: list[tuple[Bdd, Replaced]] = []
        effects: dict[Effect, Bdd] = {}
        changed = space.false
        for target, those in self._taken(point):
            changed |= those
            parts.append((those, translation(space, hook, target)))
            effect = TranslatedBy(hook, target)
            effects[effect] = effects.get(effect, space.false) | those

        def seen(of: Bdd) -> Bdd:
            found = ~changed & of
            for those, changes in parts:
                found |= those & space.substitute(of, changes)
            return found

        return seen, effects

    def _leaving(self, meaning: Meaning, seen: Seen) -> None:
        """What leaves, begins a connection, and is let through gets another source."""
        gone = meaning.denied
        for those in meaning.rejected.values():
            gone |= those
        for target, those in self._taken(Point.LEAVING):
            effect = TranslatedBy(Hook.POSTROUTING, target)
            before = meaning.effects.get(effect, self.space.false)
            meaning.effects[effect] = before | (seen(those) & ~gone)

    def _taken(self, point: Point) -> Iterator[tuple[Translation, Bdd]]:
        """What is translated at a point, and how: of what begins a connection, the packets that
        come to an entry and that it is about, as they are there."""
        untouched = self.space.in_state(ConnectionState.NEW)
        for _, turn in turns_at(self.policy.translations, point):
            conditions = turn.conditions(self.space.family)
            if conditions is None:
                continue
            those = untouched & self._about(turn, conditions)
            untouched &= ~those
            target = _target(turn)
            if target is not None:
                yield target, those

    def _about(self, turn: Turn, asked: Conditions) -> Bdd:
        """The packets that an entry is about at a point, as they are there."""
        space, conditions = self.space, self.conditions
        found = conditions.of_conditions(asked)
        if turn.inputs is not None:
            found &= conditions.at_any(Field.IN_INTERFACE, turn.inputs)
        if turn.outs is not None:
            found &= conditions.at_any(Field.OUT_INTERFACE, turn.outs)
        if turn.of_redirected:
            found &= space.flag(Field.DNAT)
        return found


def _target(turn: Turn) -> Translation | None:
    """What netfilter calls such a translation; None where nothing shall be translated."""
    new = turn.new
    if new is None:
        return None
    if isinstance(new, Moved):
        return Netmap(new.net)
    flags = ("--random",) if new.is_random else ()
    addresses, ports, base = None, None, None
    if new.ports is not None:
        ports, base = (new.ports.span.first, new.ports.span.last), new.ports.base
    if isinstance(new, Given):
        addresses = (new.first, new.last)
        flags = (*flags, "--persistent") if new.is_lasting else flags
    to = NatRange(addresses, ports, flags, base)
    if turn.point is Point.LEAVING:
        return Masquerade(to) if isinstance(new, Own) else Snat(to)
    return Redirect(to) if isinstance(new, Own) else Dnat(to)
