"""What a policy says of every packet, by its own meaning: compiled rules are never looked at.

The meaning is that of ``policy/judge.py`` and ``netfw/docs/policy.md``, said for sets of packets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.ir.protocols import ICMPV6, TCP
from netfw.ir.target import Reject, Target
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.model import Policy
from netfw.policy.rule import PolicyRule
from netfw.policy.translation import DnatPolicy
from netfw.prove.condition_sets import ConditionSets
from netfw.prove.meaning import Meaning, Outcome, outcome_of, then_outcome
from netfw.prove.path import PathKind
from netfw.prove.space import Bdd, Field, Space
from netfw.prove.translation_sets import TranslationSets

NEIGHBOUR_TYPES = (130, 131, 132, 133, 134, 135, 136, 143)
"""MLD and neighbour discovery: allowed where this host itself is meant (docs/policy.md)."""
_PORT_UNREACHABLE = {
    Family.IPV4: "icmp-port-unreachable",
    Family.IPV6: "icmp6-port-unreachable",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Rules that judge together, each with the packets it is about; ``where`` they do."""

    where: Bdd
    asked: list[tuple[PolicyRule, Bdd]]
    dnats: tuple[DnatPolicy, ...] = ()
    with_basics: bool = False


class PolicySets:
    """A policy's own meaning as sets in a space."""

    def __init__(self, space: Space, policy: Policy) -> None:
        self.space = space
        self.policy = policy
        self.conditions = ConditionSets(space)
        self.translations = TranslationSets(policy, self.conditions)

    def meaning(self, kind: PathKind) -> Meaning:
        """What the policy wants on a path."""
        plain = self._judge(kind)
        found = plain if kind is PathKind.OUT else self.translations.behind_dnats(plain)
        self.translations.translate_sources(kind, found)
        return found

    def _judge(self, kind: PathKind) -> Meaning:
        """Stage after stage, for packets as they are behind destination translation."""
        space = self.space
        found = Meaning(space.false, space.false, {})
        stopped = space.false
        for stage in self.stages(kind):
            judged = self._judge_stage(stage)
            late = stage.where & ~stopped
            for what, those in judged.effects.items():
                seen = found.effects.get(what, space.false)
                found.effects[what] = seen | (late & those)
            now_denied = late & judged.denied
            found.denied |= now_denied
            found.allowed = (found.allowed & ~stage.where) | (late & judged.allowed)
            stopped |= now_denied
            for target, those in judged.rejected.items():
                now_rejected = late & those
                found.rejected[target] = found.rejected.get(target, space.false) | now_rejected
                stopped |= now_rejected
        found.allowed &= ~stopped
        return found

    def stages(self, kind: PathKind) -> Iterable[Stage]:
        """The stages of a path, in order."""
        policy, space, at = self.policy, self.space, self.conditions.at
        if kind is PathKind.IN:
            for endpoint in policy.endpoints:
                direction = Direction.INGRESS if endpoint.is_host else Direction.EGRESS
                rules = self._rules_at(endpoint, direction)
                yield Stage(at(Field.IN_INTERFACE, endpoint), rules, with_basics=True)
        elif kind is PathKind.OUT:
            for endpoint in policy.endpoints:
                if endpoint.is_host and policy.is_covered(endpoint, Direction.EGRESS):
                    rules = self._rules_at(endpoint, Direction.EGRESS)
                    yield Stage(at(Field.OUT_INTERFACE, endpoint), rules, with_basics=True)
        else:
            for endpoint in policy.workloads:
                rules = self._rules_at(endpoint, Direction.EGRESS)
                yield Stage(at(Field.IN_INTERFACE, endpoint), rules)
            where = space.any_of(
                at(side, endpoint)
                for endpoint in policy.endpoints
                if policy.is_covered(endpoint, Direction.FORWARD)
                for side in (Field.IN_INTERFACE, Field.OUT_INTERFACE)
            )
            yield Stage(where, self._forward_rules(), policy.dnats)
            for endpoint in policy.workloads:
                rules = self._rules_at(endpoint, Direction.INGRESS)
                yield Stage(at(Field.OUT_INTERFACE, endpoint), rules)

    def _rules_at(self, endpoint: Endpoint, direction: Direction) -> list[tuple[PolicyRule, Bdd]]:
        return [
            (rule, self.conditions.of_rule(rule))
            for entry in self.policy.policies_at(endpoint, direction)
            for rule in entry.rules(direction)
        ]

    def open_in(self, stage: Stage) -> Bdd:
        """What the stage's rules are asked about: neither part of a connection nor invalid, nor
        what is always allowed."""
        space = self.space
        states = (
            ConnectionState.ESTABLISHED,
            ConnectionState.RELATED,
            ConnectionState.INVALID,
        )
        return ~space.in_state(*states) & ~self._basics(stage)

    def _basics(self, stage: Stage) -> Bdd:
        space = self.space
        if not stage.with_basics or space.family is not Family.IPV6:
            return space.false
        return space.equal(Field.PROTOCOL, ICMPV6) & space.any_of(
            space.equal(Field.ICMP_TYPE, kind) for kind in NEIGHBOUR_TYPES
        )

    def translated(self, stage: Stage) -> Bdd:
        """What the port forwards of a stage let through behind all its rules."""
        space = self.space
        return space.any_of(
            self.conditions.at_any(Field.IN_INTERFACE, dnat.inputs)
            & space.flag(Field.DNAT)
            & self.conditions.of_conditions(dnat.translated(space.family))
            for dnat in stage.dnats
        )

    def _judge_stage(self, stage: Stage) -> Meaning:
        space = self.space
        going_on = space.in_state(ConnectionState.ESTABLISHED, ConnectionState.RELATED)
        invalid = space.in_state(ConnectionState.INVALID)
        open_ = self.open_in(stage)
        basics = self._basics(stage) & ~going_on & ~invalid
        outcome = self._first_match(stage.asked)
        undecided = open_ & ~outcome.decided
        allowed = going_on | basics | (open_ & outcome.allowed)
        allowed |= undecided & self.translated(stage)
        rejected = open_ & outcome.rejected
        tcp = space.equal(Field.PROTOCOL, TCP)
        kinds: dict[Target, Bdd] = {
            Reject("tcp-reset"): rejected & tcp,
            Reject(_PORT_UNREACHABLE[space.family]): rejected & ~tcp,
        }
        effects = {what: open_ & those for what, those in outcome.logged.items()}
        return Meaning(allowed, ~allowed & ~rejected, kinds, effects)

    def _forward_rules(self) -> list[tuple[PolicyRule, Bdd]]:
        found = []
        for forward in self.policy.forward_policies:
            where = self.space.true
            if forward.sources:
                where &= self.conditions.at_any(Field.IN_INTERFACE, forward.sources)
            if forward.destinations:
                where &= self.conditions.at_any(Field.OUT_INTERFACE, forward.destinations)
            found += [(rule, where & self.conditions.of_rule(rule)) for rule in forward.rules]
        return found

    def _first_match(self, asked: list[tuple[PolicyRule, Bdd]]) -> Outcome:
        """The first rule that matches decides, folded in a balanced tree."""
        level = [outcome_of(self.space, rule, those) for rule, those in asked]
        if not level:
            nobody = self.space.false
            return Outcome(nobody, nobody, nobody, {})
        while len(level) > 1:
            level = [
                then_outcome(level[at], level[at + 1]) if at + 1 < len(level) else level[at]
                for at in range(0, len(level), 2)
            ]
        return level[0]
