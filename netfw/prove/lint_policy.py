"""Lint of a policy, by its own meaning: rules that can never decide, and what is left open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from netfw.ir.names import Family
from netfw.policy.criteria import Criteria
from netfw.policy.endpoint import Direction
from netfw.policy.model import Policy
from netfw.policy.rule import Action, PolicyRule
from netfw.policy.tier import Acts
from netfw.policy.validity import Validity
from netfw.prove.diagrams import within_memory
from netfw.prove.finding import Finding, Kind
from netfw.prove.interfaces import Interfaces, patterns_of_policy
from netfw.prove.lint_steer import SteerLint
from netfw.prove.meaning import Outcome, nothing_decided, outcome_of, then_outcome
from netfw.prove.path import PathKind, possible
from netfw.prove.policy_sets import PolicySets
from netfw.prove.policy_stage import Stage
from netfw.prove.space import Bdd, Space
from netfw.prove.steer_sets import bits_of_policy

_SHADOWERS_NAMED = 3


@dataclass(slots=True)
class _Use:
    """What became of a rule over all stages and families in which it stands."""

    rule: PolicyRule
    is_met: bool = False
    is_wanted: bool = False
    """Whether any packet could meet it if it stood alone."""
    is_granted: bool = False
    """Whether what it is about is let through before any rule is asked."""
    goes_on: bool = False
    """Whether what no rule there matches goes on, and is not denied."""
    takers: dict[str, PolicyRule] = field(default_factory=dict)
    """Rules before it that take its packets."""
    matters: bool = False
    """Whether packets that meet it would end otherwise without it."""
    matters_to_rules: bool = False
    """Whether that would be by another rule, and not by the default."""


@within_memory()
def lint_policy(policy: Policy, today: date | None = None) -> list[Finding]:
    """Every finding of a policy, in the order of the file; with ``today`` also rules that are
    over."""
    uses: dict[int, _Use] = {}
    steered = SteerLint()
    for family in Family:
        interfaces = Interfaces(patterns_of_policy(policy))
        space = Space(family, interfaces, *bits_of_policy(policy))
        sets = PolicySets(space, policy)
        for kind in PathKind:
            if policy.steering.entries:
                steered.look_at(sets, kind)
            for acts in Acts:
                early = acts.is_early
                stages = sets.stages
                for stage in stages.early(kind, acts) if early else stages.normal(kind):
                    _StageLint(space, sets, stage, uses).run()
    found = [*_of_rules(policy, uses), *_of_endpoints(policy), *_any_to_any(policy)]
    found += steered.findings()
    if today is not None:
        found += _expired(policy, today)
    return sorted(found, key=_place)


def _expired(policy: Policy, today: date) -> Iterator[Finding]:
    for _, rule in policy.rules():
        for extra in rule.criteria.extras:
            if isinstance(extra, Validity) and extra.is_past(today):
                text = f"'{rule.origin.text}' is over since the end of {extra.last}"
                yield Finding(Kind.EXPIRED, rule.origin.where, text)


def _place(finding: Finding) -> tuple[str, int, int]:
    where = finding.where
    return ("", 0, 0) if isinstance(where, str) else (where.file, where.line, where.column)


class _StageLint:
    """One stage: which of its rules are met, and which change anything."""

    def __init__(
        self, space: Space, sets: PolicySets, stage: Stage, uses: dict[int, _Use]
    ) -> None:
        self.space = space
        self.stage = stage
        self.uses = uses
        here = stage.where & possible(space)
        self.open = here & sets.open_in(stage)
        self.granted = here & sets.stages.granted(stage)
        self.translated = sets.stages.translated(stage)

    def run(self) -> None:
        hits = self._hits()
        self._effects(hits)

    def _hits(self) -> list[Bdd]:
        """The packets that come to each rule and meet it."""
        space, left = self.space, self.open
        hits: list[Bdd] = []
        for tier in self.stage.tiers:
            passed = space.false
            for rule, those in tier.asked:
                use = self.uses.setdefault(id(rule), _Use(rule))
                met = left & those
                use.is_met = use.is_met or met != space.false
                wanted = self.open & those
                use.is_granted = use.is_granted or self.granted & those != space.false
                if wanted != space.false:
                    use.is_wanted = True
                    if met == space.false and not use.is_met:
                        self._note_takers(use, wanted, hits)
                hits.append(met)
                if rule.action.decides:
                    left &= ~those
                if rule.action is Action.PASS:
                    passed |= met
            left = passed if tier.denies else left | passed
        return hits

    def _note_takers(self, use: _Use, wanted: Bdd, hits: list[Bdd]) -> None:
        for at, taken in enumerate(hits):
            earlier = self.stage.asked[at][0]
            if not earlier.action.decides or wanted & taken == self.space.false:
                continue
            use.takers[earlier.identity] = earlier
            wanted &= ~taken
            if wanted == self.space.false:
                return

    def _effects(self, hits: list[Bdd]) -> None:
        """From the last rule back: would the rest decide the same?"""
        space = self.space
        behind = nothing_decided(space)
        """What the tiers behind this one decide."""
        left = list(hits)
        for tier in reversed(self.stage.tiers):
            rest = behind
            if tier.denies:
                rest = replace(nothing_decided(space), decided=space.true)
            for rule, those in reversed(tier.asked):
                met = left.pop()
                if met != space.false:
                    self._note_use(rule, met, rest, behind)
                here = outcome_of(space, rule, those)
                if rule.action is Action.PASS:
                    # they go on to the next tier, and to nothing else of this one
                    here = Outcome(
                        those,
                        those & behind.allowed,
                        those & behind.rejected,
                        {kind: those & part for kind, part in behind.answered.items()},
                        {what: those & logged for what, logged in behind.logged.items()},
                        space.false,
                    )
                rest = then_outcome(here, rest)
            behind = rest

    def _note_use(self, rule: PolicyRule, met: Bdd, rest: Outcome, behind: Outcome) -> None:
        """Whether the packets that meet a rule would end the same with the ``rest`` alone."""
        space, use = self.space, self.uses[id(rule)]
        is_early = self.stage.acts.is_early
        use.goes_on = is_early or rule.action is Action.PASS
        allowed = rest.allowed | (self.translated & ~rest.decided)
        denied = ~allowed & ~rest.rejected
        differ = (
            space.either(one, other)
            for one, other in (
                (rest.allowed, behind.allowed),
                (rest.rejected, behind.rejected),
                (rest.decided, behind.decided),
            )
        )
        same = {
            Action.ALLOW: allowed,
            # what no early rule speaks of is left to the stages behind
            Action.DENY: denied & rest.decided if is_early else denied,
            Action.REJECT: rest.answered.get(rule.reject_kind, space.false),
            Action.LOG: space.false,
            Action.COUNT: space.false,
            Action.PASS: ~space.any_of(differ),
        }[rule.action]
        logged = space.any_of(rest.logged.values())
        if met & (~same | logged) != space.false:
            use.matters = True
        if met & ~rest.decided == space.false:
            use.matters_to_rules = True


def _of_rules(policy: Policy, uses: Mapping[int, _Use]) -> Iterator[Finding]:
    same: dict[object, list[PolicyRule]] = {}
    for name, side, rule in _listed(policy):
        key = (name, side, rule.action, _as_sets(rule.criteria), rule.log, rule.reject_kind)
        same.setdefault(key, []).append(rule)
    for first, *others in same.values():
        yield from _of_rule(first, uses.get(id(first)), has_duplicate=bool(others))
        for rule in others:
            place = first.origin.where.seen_from(rule.origin.where)
            text = f"'{rule.origin.text}' says the same as {place}"
            yield Finding(Kind.DUPLICATE, rule.origin.where, text)


def _listed(policy: Policy) -> Iterator[tuple[str, Direction, PolicyRule]]:
    """Every rule with its list: the policy's name and the direction.

    Not those for what an author has called optional and this host lacks.
    """
    for entry in policy.endpoint_policies:
        if entry.is_absent:
            continue
        for side in (Direction.INGRESS, Direction.EGRESS):
            yield from (
                (entry.name, side, rule) for rule in entry.rules(side) if not rule.is_absent
            )
    for forward in policy.forward_policies:
        if forward.is_absent:
            continue
        yield from (
            (forward.name, Direction.FORWARD, rule) for rule in forward.rules if not rule.is_absent
        )


def _of_rule(rule: PolicyRule, use: _Use | None, *, has_duplicate: bool) -> Iterator[Finding]:
    name = f"'{rule.origin.text}'"
    where = rule.origin.where
    if use is not None and not use.is_wanted and use.is_granted:
        text = f"{name} is never met: failsafes or defaults let its packets through before"
        yield Finding(Kind.SHADOWED, where, text)
    elif use is None or not use.is_wanted:
        yield Finding(Kind.NEVER_MATCHES, where, f"{name} can be met by no packet")
    elif not use.is_met:
        takers = list(use.takers.values())
        named = "; ".join(
            f"{taker.origin.where.seen_from(where)}: '{taker.origin.text}'"
            for taker in takers[:_SHADOWERS_NAMED]
        )
        more = len(takers) - _SHADOWERS_NAMED
        tail = f" and {more} more" if more > 0 else ""
        text = f"{name} is never met: rules before it take all its packets ({named}{tail})"
        yield Finding(Kind.SHADOWED, where, text)
    elif not use.matters and rule.action.decides and not has_duplicate:
        if use.matters_to_rules:
            text = f"{name} changes nothing: rules behind it decide the same"
            yield Finding(Kind.CHANGES_NOTHING, where, text)
        else:
            otherwise = "goes on anyway" if use.goes_on else "is denied anyway"
            text = f"{name} changes nothing: what no rule matches {otherwise}"
            yield Finding(Kind.CHANGES_NOTHING, where, text, is_note=True)


def _of_endpoints(policy: Policy) -> Iterator[Finding]:
    for endpoint in policy.endpoints:
        spoken_of = (
            any(endpoint in entry.at for entry in policy.endpoint_policies)
            or any(endpoint in entry.named for entry in policy.forward_policies)
            or any(endpoint in each.endpoints for each in policy.translations)
        )
        if not spoken_of:
            yield Finding(
                Kind.NO_POLICY,
                endpoint.where,
                f"no policy speaks of endpoint '{endpoint.name}': nothing may come in by it",
            )


def _any_to_any(policy: Policy) -> Iterator[Finding]:
    """Rules that ask for nothing; between two endpoints that may be meant, at one it opens it."""
    for entry in policy.endpoint_policies:
        for rule in () if entry.is_absent else entry.ingress:
            if rule.action is Action.ALLOW and rule.criteria.asks_nothing:
                names = ", ".join(endpoint.name for endpoint in entry.at)
                text = f"'{rule.origin.text}' lets everything in by {names}"
                yield Finding(Kind.ANY_TO_ANY, rule.origin.where, text)
    for forward in policy.forward_policies:
        for rule in forward.rules:
            open_end = not forward.sources or not forward.destinations
            if rule.action is Action.ALLOW and rule.criteria.asks_nothing and open_end:
                end = "from" if not forward.sources else "to"
                text = f"'{rule.origin.text}' lets everything through, {end} any interface"
                yield Finding(Kind.ANY_TO_ANY, rule.origin.where, text)


def _as_sets(criteria: Criteria) -> tuple[frozenset[object], ...]:
    """Criteria, so that the order in lists says nothing."""
    return tuple(
        frozenset(part)
        for part in (
            criteria.traffic,
            criteria.sources,
            criteria.destinations,
            criteria.not_traffic,
            criteria.not_sources,
            criteria.not_destinations,
            criteria.extras,
        )
    )
