"""What a policy wants of every packet on a path, and how rules decide one behind the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from netfw.ir.match import LimitMatch
from netfw.ir.target import Log, Nflog, Target
from netfw.policy.reject_kind import RejectKind
from netfw.policy.rule import PREFIX_END, Action, LogSettings, PolicyRule
from netfw.prove.space import Bdd, Space
from netfw.prove.summary import Effect, LogEffect


@dataclass(slots=True)
class Meaning:
    """What a policy wants on a path, for packets as they arrive; the sets are disjoint.

    What is in none of ``allowed``, ``denied`` and ``rejected`` is not covered.
    """

    allowed: Bdd
    denied: Bdd
    rejected: dict[Target, Bdd]
    effects: dict[Effect, Bdd] = field(default_factory=dict)
    untracked: Bdd | None = None
    """What shall not be tracked; None: all is."""
    marks: dict[str, Bdd] = field(default_factory=dict)
    """Of bits of marks outside netfw's field, by state variable: who has it set at the end, among
    those that are not stopped."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a list of rules decides, before states and defaults."""

    decided: Bdd
    allowed: Bdd
    rejected: Bdd
    answered: dict[RejectKind | None, Bdd]
    """Those that are rejected, by the answer that the rule says."""
    logged: dict[Effect, Bdd]
    passed: Bdd
    """Decided too: they go on to the next tier."""


def nothing_decided(space: Space) -> Outcome:
    """The outcome of no rules."""
    nobody = space.false
    return Outcome(nobody, nobody, nobody, {}, {}, nobody)


def outcome_of(space: Space, rule: PolicyRule, those: Bdd) -> Outcome:
    """What a single rule decides of the packets it is about."""
    nobody = space.false
    if rule.action is Action.LOG:
        assert rule.log is not None
        return Outcome(nobody, nobody, nobody, {}, {_log_effect(rule.log): those}, nobody)
    if rule.action is Action.COUNT:
        return nothing_decided(space)
    is_reject = rule.action is Action.REJECT
    return Outcome(
        those,
        those if rule.action is Action.ALLOW else nobody,
        those if is_reject else nobody,
        {rule.reject_kind: those} if is_reject else {},
        {},
        those if rule.action is Action.PASS else nobody,
    )


def then_outcome(first: Outcome, second: Outcome) -> Outcome:
    """One list of rules, then another for what the first leaves undecided."""
    open_ = ~first.decided
    logged = dict(first.logged)
    for what, those in second.logged.items():
        late = open_ & those
        logged[what] = logged[what] | late if what in logged else late
    answered = dict(first.answered)
    for kind, those in second.answered.items():
        late = open_ & those
        answered[kind] = answered[kind] | late if kind in answered else late
    return Outcome(
        first.decided | second.decided,
        first.allowed | (open_ & second.allowed),
        first.rejected | (open_ & second.rejected),
        answered,
        logged,
        first.passed | (open_ & second.passed),
    )


def _log_effect(log: LogSettings) -> LogEffect:
    limit = None if log.rate is None else LimitMatch(log.rate, log.unit).as_kept
    if log.group is not None:
        return LogEffect(Nflog(log.group, log.prefix), limit)
    return LogEffect(Log(prefix=log.prefix + PREFIX_END), limit)
