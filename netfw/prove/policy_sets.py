"""What a policy says of every packet, by its own meaning: compiled rules are never looked at.

The meaning is that of ``policy/judge.py`` and ``netfw/docs/policy.md``, said for sets of packets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from netfw.ir.match import ConnectionState
from netfw.ir.protocols import TCP
from netfw.ir.target import Reject, Target
from netfw.policy.defaults import Handling
from netfw.policy.model import Policy
from netfw.policy.tier import Acts
from netfw.prove.condition_sets import ConditionSets
from netfw.prove.meaning import (
    Meaning,
    Outcome,
    nothing_decided,
    outcome_of,
    then_outcome,
)
from netfw.prove.path import PathKind
from netfw.prove.policy_stage import PORT_UNREACHABLE, Asked, Stage, Stages
from netfw.prove.space import STATES, Bdd, Field, Space
from netfw.prove.steer_sets import SteerSets
from netfw.prove.summary import Effect, TranslatedBy
from netfw.prove.translation_sets import TranslationSets


@dataclass(frozen=True, slots=True)
class Early:
    """What early policies say of packets as they arrive; the sets are disjoint."""

    denied: Bdd
    allowed: Bdd
    """Let through, and tracked."""
    untracked: Bdd
    """Let through, and not tracked."""


class PolicySets:
    """A policy's own meaning as sets in a space."""

    def __init__(self, space: Space, policy: Policy) -> None:
        self.space = space
        self.policy = policy
        self.conditions = ConditionSets(space)
        self.translations = TranslationSets(policy, self.conditions)
        self.stages = Stages(policy, self.conditions)
        self.steering = SteerSets(policy, self.conditions)
        self._marks: dict[PathKind, dict[str, Bdd]] = {}

    def meaning(self, kind: PathKind) -> Meaning:
        """What the policy wants on a path."""
        stages = list(self.stages.normal(kind))
        found = self.translations.as_arrived(kind, self._judge(stages))
        found = self._behind_early(kind, stages, found)
        found.marks = self.marks(kind)
        for what, those in self.steering.effects(kind, found.marks).items():
            found.effects[what] = found.effects.get(what, self.space.false) | those
        return found

    def marks(self, kind: PathKind) -> dict[str, Bdd]:
        """Who has which bit of the marks set behind all rules: how it is steered."""
        known = self._marks.get(kind)
        if known is None:
            early = self._early(kind, {}) if self.policy.steering.entries else None
            untracked = self.space.false if early is None else early.untracked
            known = self._marks[kind] = self.steering.marks(kind, untracked)
        return known

    @property
    def judged_late(self) -> Bdd:
        """Of what this host sends, packets that leave by another interface than they began with:
        redirected ones, and those that take another routing table."""
        marks = self.marks(PathKind.OUT)
        return self.space.flag(Field.DNAT) | self.steering.moved(marks)

    def _behind_early(self, kind: PathKind, stages: list[Stage], normal: Meaning) -> Meaning:
        """The verdict of an early policy stands for the stages of host endpoints."""
        space = self.space
        effects = dict.fromkeys(normal.effects, space.false)
        early = self._early(kind, effects)
        if early is None:
            return normal
        others = [stage for stage in stages if not stage.is_of_host]
        tracked = self.translations.as_arrived(kind, self._judge(others, space.true))
        plain = self._judge(others, space.true)
        untracked = _replaced(space, plain, self._as_untracked())
        ways = (
            (~(early.denied | early.allowed | early.untracked), normal),
            (early.allowed, tracked),
            (early.untracked, untracked),
        )
        found = Meaning(space.false, early.denied, {}, effects, early.untracked)
        for where, meaning in ways:
            found.allowed |= where & meaning.allowed
            found.denied |= where & meaning.denied
            for target, those in meaning.rejected.items():
                before = found.rejected.get(target, space.false)
                found.rejected[target] = before | (where & those)
            for what, those in meaning.effects.items():
                before = found.effects.get(what, space.false)
                found.effects[what] = before | (where & those)
        for what in list(found.effects):
            if isinstance(what, TranslatedBy):
                found.effects[what] &= ~early.untracked & ~early.denied
        return found

    def _as_untracked(self) -> dict[str, Bdd | bool]:
        space = self.space
        untracked = STATES.index(ConnectionState.UNTRACKED)
        found: dict[str, Bdd | bool] = dict(space.constants(Field.STATE, untracked))
        for flag in (Field.DNAT, Field.SNAT, Field.REPLY):
            found |= space.constants(flag, 0)
        return found

    def _early(self, kind: PathKind, effects: dict[Effect, Bdd]) -> Early | None:
        """None where no early policy speaks on this path. Log lines are added to ``effects``."""
        space = self.space
        elsewhere = space.false if kind is PathKind.OUT else self.stages.elsewhere()
        found = {"denied": elsewhere, "allowed": space.false, "untracked": space.false}
        left = ~elsewhere
        is_asked = elsewhere != space.false
        for acts, name in ((Acts.UNTRACKED, "untracked"), (Acts.PRE_DNAT, "allowed")):
            if acts is Acts.PRE_DNAT and kind is PathKind.OUT:
                continue
            decided = space.false
            for stage in self.stages.early(kind, acts):
                is_asked = True
                outcome = self._tiers(stage)
                where = left & stage.where & self.open_in(stage)
                found[name] |= where & outcome.allowed
                found["denied"] |= where & outcome.decided & ~outcome.allowed
                decided |= where & outcome.decided
                for what, those in outcome.logged.items():
                    effects[what] = effects.get(what, space.false) | (where & those)
            left &= ~decided
        return Early(**found) if is_asked else None

    def _judge(self, stages: Iterable[Stage], allowed: Bdd | None = None) -> Meaning:
        """Stage after stage, for packets as they are behind destination translation.

        ``allowed`` are those that no stage has to speak of to be allowed; without it none.
        """
        space = self.space
        found = Meaning(space.false if allowed is None else allowed, space.false, {})
        stopped = space.false
        for stage in stages:
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

    def open_in(self, stage: Stage) -> Bdd:
        """What the stage's rules are asked about: what its connection's state does not decide,
        and what is not let through anyway."""
        if stage.acts is Acts.UNTRACKED:
            # before connection tracking there is no state
            return ~self.stages.granted(stage)
        return ~self._by_state() & ~self.stages.granted(stage)

    def _by_state(self) -> Bdd:
        """Packets that the state of their connection alone decides about."""
        return self._going_on() | (
            self.space.false
            if self.policy.defaults.invalid is Handling.ASK
            else self.space.in_state(ConnectionState.INVALID)
        )

    def _going_on(self) -> Bdd:
        space = self.space
        if self.policy.defaults.established is Handling.ASK:
            return space.false
        return space.in_state(ConnectionState.ESTABLISHED, ConnectionState.RELATED)

    def _judge_stage(self, stage: Stage) -> Meaning:
        going_on = self._going_on()
        invalid = self._by_state() & ~going_on
        allowed = going_on | self.stages.granted(stage, before_invalid=True)
        allowed |= self.stages.granted(stage, before_invalid=False) & ~invalid
        if self.policy.defaults.invalid is Handling.ALLOW:
            allowed |= invalid
        open_ = self.open_in(stage)
        outcome = self._tiers(stage)
        undecided = open_ & ~outcome.decided
        allowed |= open_ & outcome.allowed
        allowed |= undecided & self.stages.translated(stage)
        can_answer = open_
        if stage.is_exit:
            can_answer &= ~self.judged_late
        rejected = can_answer & outcome.rejected
        kinds = self._answers(can_answer, outcome)
        effects = {what: open_ & those for what, those in outcome.logged.items()}
        return Meaning(allowed, ~allowed & ~rejected, kinds, effects)

    def _answers(self, where: Bdd, outcome: Outcome) -> dict[Target, Bdd]:
        """Rejected packets by the answer that they get."""
        space = self.space
        tcp = space.equal(Field.PROTOCOL, TCP)
        found: dict[Target, Bdd] = {}
        for kind, those in outcome.answered.items():
            here = where & those
            if here == space.false:
                continue
            if kind is not None:
                answer = kind.answer(space.family)
                assert answer is not None, "the reader refuses what a family cannot answer"
                parts = {answer: here}
            else:
                parts = {"tcp-reset": here & tcp, PORT_UNREACHABLE[space.family]: here & ~tcp}
            for word, part in parts.items():
                target = Reject(word)
                found[target] = found.get(target, space.false) | part
        return found

    def _tiers(self, stage: Stage) -> Outcome:
        """What the tiers decide, one behind the other."""
        space = self.space
        found = nothing_decided(space)
        for tier in stage.tiers:
            here = self._first_match(tier.asked)
            decided = space.true if tier.denies else here.decided
            found = then_outcome(
                found, replace(here, decided=decided & ~here.passed, passed=space.false)
            )
        return found

    def _first_match(self, asked: Iterable[Asked]) -> Outcome:
        """The first rule that matches decides, folded in a balanced tree."""
        level = [outcome_of(self.space, rule, those) for rule, those in asked]
        if not level:
            return nothing_decided(self.space)
        while len(level) > 1:
            level = [
                then_outcome(level[at], level[at + 1]) if at + 1 < len(level) else level[at]
                for at in range(0, len(level), 2)
            ]
        return level[0]


def _replaced(space: Space, meaning: Meaning, by: dict[str, Bdd | bool]) -> Meaning:
    return Meaning(
        space.substitute(meaning.allowed, by),
        space.substitute(meaning.denied, by),
        {target: space.substitute(those, by) for target, those in meaning.rejected.items()},
        {what: space.substitute(those, by) for what, those in meaning.effects.items()},
    )
