"""What a policy translates, for every packet: a meaning behind translation as packets arrive."""

from __future__ import annotations

from netfw.ir.match import ConnectionState
from netfw.ir.names import Hook
from netfw.ir.target import Dnat, Masquerade, NatRange
from netfw.policy.model import Policy
from netfw.policy.translation import DnatPolicy
from netfw.prove.condition_sets import ConditionSets
from netfw.prove.meaning import Meaning
from netfw.prove.path import PathKind
from netfw.prove.space import Bdd, Field
from netfw.prove.summary import Effect, TranslatedBy
from netfw.prove.translation import translation


class TranslationSets:
    """A policy's translations in a space."""

    def __init__(self, policy: Policy, conditions: ConditionSets) -> None:
        self.policy = policy
        self.conditions = conditions
        self.space = conditions.space

    def behind_dnats(self, plain: Meaning) -> Meaning:
        """The same for packets as they arrive: the first port forward that matches changes what
        begins a connection."""
        space = self.space
        untouched = space.in_state(ConnectionState.NEW)
        parts: list[tuple[Bdd, dict[str, Bdd | bool]]] = []
        effects: dict[Effect, Bdd] = {}
        for dnat in self.policy.dnats:
            conditions = dnat.conditions(space.family)
            if conditions is None:
                continue
            those = (
                untouched
                & self.conditions.at_any(Field.IN_INTERFACE, dnat.inputs)
                & self.conditions.of_conditions(conditions)
            )
            untouched &= ~those
            target = _dnat_target(dnat)
            parts.append((those, translation(space, Hook.PREROUTING, target)))
            effect = TranslatedBy(Hook.PREROUTING, target)
            effects[effect] = effects.get(effect, space.false) | those
        if not parts:
            return plain
        nobody = space.true
        for those, _ in parts:
            nobody &= ~those

        def seen(of: Bdd) -> Bdd:
            found = nobody & of
            for those, changes in parts:
                found |= those & space.substitute(of, changes)
            return found

        return Meaning(
            seen(plain.allowed),
            seen(plain.denied),
            {target: seen(those) for target, those in plain.rejected.items()},
            {what: seen(those) for what, those in plain.effects.items()} | effects,
        )

    def translate_sources(self, kind: PathKind, meaning: Meaning) -> None:
        """What leaves, begins a connection, and is let through gets another source."""
        if kind is PathKind.IN:
            return
        space = self.space
        gone = meaning.denied
        for those in meaning.rejected.values():
            gone |= those
        first = space.in_state(ConnectionState.NEW) & ~gone
        for masquerade in self.policy.masquerades:
            if space.family not in masquerade.families:
                continue
            those = first & self.conditions.at_any(Field.OUT_INTERFACE, masquerade.out)
            if masquerade.sources:
                those &= self.conditions.at_any(Field.IN_INTERFACE, masquerade.sources)
            effect = TranslatedBy(Hook.POSTROUTING, Masquerade())
            meaning.effects[effect] = meaning.effects.get(effect, space.false) | those


def _dnat_target(dnat: DnatPolicy) -> Dnat:
    ports = None if dnat.ports is None else (dnat.ports.first, dnat.ports.last)
    return Dnat(NatRange(addresses=(dnat.address, dnat.address), ports=ports))
