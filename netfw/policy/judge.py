"""What a policy says of one packet, by its own meaning and without looking at compiled rules.

This is the other half of a proof: the compiler and this module know nothing of each other.
The meaning is written for users in ``netfw/docs/policy.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.policy.behind import behind
from netfw.policy.conditions import Conditions
from netfw.policy.defaults import Handling
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.flow import Flow, is_about
from netfw.policy.grant import Grant
from netfw.policy.model import ForwardPolicy, Policy
from netfw.policy.rule import Action, PolicyRule
from netfw.policy.tier import LAST_TIER, Acts, Tier
from netfw.policy.translation import Permission


class Verdict(Enum):
    """What becomes of a packet."""

    ALLOWED = "allowed"
    DENIED = "denied"
    NOT_COVERED = "not covered"
    """The policy does not speak of this packet: it is left to whatever else the host has."""
    UNDECIDED = "undecided"
    """It depends on something that is not known of the packet, such as who sent it or when."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and the rule that gave it (None: a default, or an established connection).

    Where it is undecided, the rule is one of which nobody knows whether it is met.
    """

    verdict: Verdict
    rule: PolicyRule | Permission | None = None
    rejected: bool = False


def judge(policy: Policy, flow: Flow) -> Judgement:
    """What the policy says of a packet. For many packets make one ``Judge``."""
    return Judge(policy).judge(flow)


class Judge:
    """A policy made ready to judge many packets."""

    def __init__(
        self, policy: Policy, answer: Callable[[PolicyRule, Flow], bool | None] | None = None
    ) -> None:
        self.policy = policy
        self._answer = answer
        self._conditions: dict[tuple[int, Family], Conditions | None] = {}
        """What rules ask for, by the rule's place in memory: the policy keeps its rules alive."""
        self._grants = {side: policy.grants(side) for side in Direction}
        self._neighbour_grants = policy.neighbour_grants
        self._permissions = policy.permissions
        self._forward_tiers = policy.forward_tiers
        self._known_tiers: dict[tuple[str, Direction, Acts], _Tiers] = {}
        self._assumed: dict[int, bool] = {}
        """Answers that are tried for rules of which it is not known whether they are met."""

    def judge(self, flow: Flow) -> Judgement:
        """What the policy says of a packet; every stage that covers it must allow it.

        Where it is not known whether a rule is met, both answers are tried: if they come to the
        same, that is what the policy says. A judge that was made with ``answer`` asks that before,
        once for each rule that the packet comes to.
        """
        try:
            return self._judge(flow)
        except _OpenQuestion as question:
            rule = question.rule
        if len(self._assumed) >= _MOST_ASSUMED:
            return Judgement(Verdict.UNDECIDED, rule)
        known = None if self._answer is None else self._answer(rule, flow)
        answers = []
        for answer in (True, False) if known is None else (known,):
            self._assumed[id(rule)] = answer
            answers.append(self.judge(flow))
            del self._assumed[id(rule)]
        one, other = answers[0], answers[-1]
        if (one.verdict, one.rejected) == (other.verdict, other.rejected):
            return one
        return Judgement(Verdict.UNDECIDED, rule)

    def _judge(self, flow: Flow) -> Judgement:
        early, acts = self._judge_early(flow.as_arrived)
        if early is not None and early.verdict is Verdict.DENIED:
            return early
        judgement = early or Judgement(Verdict.NOT_COVERED)
        if early is not None and acts is Acts.UNTRACKED:
            flow = replace(flow.as_arrived, state=ConnectionState.UNTRACKED)
        for stage in self._stages(flow):
            if early is not None and stage.is_of_host:
                # the early verdict stands for it
                continue
            judgement = self._judge_stage(flow, stage)
            if judgement.verdict is Verdict.DENIED:
                return judgement
        return judgement

    def untracks(self, flow: Flow) -> bool:
        """Whether an early policy allows a packet without connection tracking; False where that is
        not known."""
        try:
            early, acts = self._judge_early(flow.as_arrived)
        except _OpenQuestion as question:
            rule = question.rule
            known = None if self._answer is None else self._answer(rule, flow)
            if known is None:
                return False
            self._assumed[id(rule)] = known
            found = self.untracks(flow)
            del self._assumed[id(rule)]
            return found
        is_allowed = early is not None and early.verdict is Verdict.ALLOWED
        return is_allowed and acts is Acts.UNTRACKED

    def _judge_early(self, flow: Flow) -> tuple[Judgement | None, Acts]:
        """The verdict of the policies that act before the others, None where none of them says
        anything."""
        ways = ((Direction.INGRESS, flow.in_interface), (Direction.EGRESS, flow.out_interface))
        direction, interface = ways[0] if flow.in_interface else ways[1]
        endpoint = self.policy.endpoint_of(interface)
        if endpoint is not None and flow.in_interface and self._is_elsewhere(endpoint, flow):
            return Judgement(Verdict.DENIED), Acts.UNTRACKED
        if endpoint is None or not endpoint.is_host:
            return None, Acts.NORMAL
        if any(self._is_about(grant, flow) for grant in self._grants[direction]):
            return None, Acts.NORMAL
        for acts in (Acts.UNTRACKED, Acts.PRE_DNAT):
            if acts is Acts.PRE_DNAT and self._by_state(flow.state) is not None:
                continue
            for _, rules in self._tiers_at(endpoint, direction, acts):
                judgement = self._first_match(flow, rules)
                if judgement is not None and judgement is not _PASSED:
                    return judgement, acts
        return None, Acts.NORMAL

    def _is_elsewhere(self, endpoint: Endpoint, flow: Flow) -> bool:
        """Whether its source lies behind another endpoint, and no failsafe is about the packet."""
        found = behind(endpoint, self.policy.endpoints, flow.family)
        if found is None or found.holds(flow.source):
            return False
        return not endpoint.is_host or not any(
            self._is_about(failsafe, flow)
            for failsafe in self.policy.failsafes
            if failsafe.direction is Direction.INGRESS
        )

    def _is_about(self, rule: PolicyRule | Grant | Permission, flow: Flow) -> bool:
        key = (id(rule), flow.family)
        if key not in self._conditions:
            self._conditions[key] = rule.conditions(flow.family)
        found = is_about(self._conditions[key], flow)
        if found is not None:
            return found
        if id(rule) not in self._assumed:
            assert isinstance(rule, PolicyRule), "a grant asks for nothing that is not known"
            raise _OpenQuestion(rule)
        return self._assumed[id(rule)]

    def _by_state(self, state: ConnectionState) -> Judgement | None:
        """What the connection's state alone decides."""
        defaults = self.policy.defaults
        if state in (ConnectionState.ESTABLISHED, ConnectionState.RELATED):
            handling = defaults.established
        elif state is ConnectionState.INVALID:
            handling = defaults.invalid
        else:
            return None
        return {
            Handling.ALLOW: Judgement(Verdict.ALLOWED),
            Handling.DENY: Judgement(Verdict.DENIED),
            Handling.ASK: None,
        }[handling]

    def _judge_stage(self, flow: Flow, stage: _Stage) -> Judgement:
        is_valid = flow.state is not ConnectionState.INVALID
        by_state = self._by_state(flow.state)
        if by_state is not None and is_valid:
            return by_state
        for grant in stage.grants:
            if (grant.before_invalid or is_valid or by_state is None) and self._is_about(
                grant, flow
            ):
                return Judgement(Verdict.ALLOWED)
        if by_state is not None:
            return by_state
        for tier, rules in stage.tiers:
            judgement = self._first_match(flow, rules)
            if judgement is not None and judgement is not _PASSED:
                return judgement
            if judgement is None and not tier.passes and tier.name != LAST_TIER:
                return Judgement(Verdict.DENIED)
        for permission in stage.permissions:
            if flow.translated and self._is_about(permission, flow):
                return Judgement(Verdict.ALLOWED, permission)
        return Judgement(Verdict.DENIED)

    def _first_match(self, flow: Flow, rules: Iterable[PolicyRule]) -> Judgement | None:
        """The first rule of a tier that decides; None where none does."""
        for rule in rules:
            if not rule.action.decides or not self._is_about(rule, flow):
                continue
            if rule.action is Action.PASS:
                return _PASSED
            if rule.action is Action.ALLOW:
                return Judgement(Verdict.ALLOWED, rule)
            return Judgement(Verdict.DENIED, rule, rejected=rule.action is Action.REJECT)
        return None

    def _stages(self, flow: Flow) -> Iterator[_Stage]:
        policy = self.policy
        came_by = policy.endpoint_of(flow.in_interface) if flow.in_interface else None
        leaves_by = policy.endpoint_of(flow.out_interface) if flow.out_interface else None
        if not flow.out_interface:
            if came_by is not None and came_by.is_host:
                tiers = self._tiers_at(came_by, Direction.INGRESS)
                yield _Stage(tiers, self._grants[Direction.INGRESS], is_of_host=True)
            elif came_by is not None:
                # as to its neighbour, a workload may always talk to this host
                tiers = self._tiers_at(came_by, Direction.EGRESS)
                yield _Stage(tiers, self._neighbour_grants)
            return
        if not flow.in_interface:
            if (
                leaves_by is not None
                and leaves_by.is_host
                and policy.is_covered(leaves_by, Direction.EGRESS)
            ):
                tiers = self._tiers_at(leaves_by, Direction.EGRESS)
                yield _Stage(tiers, self._grants[Direction.EGRESS], is_of_host=True)
            return
        if came_by is not None and not came_by.is_host:
            yield _Stage(self._tiers_at(came_by, Direction.EGRESS))
        if any(
            endpoint is not None and policy.is_covered(endpoint, Direction.FORWARD)
            for endpoint in (came_by, leaves_by)
        ):
            tiers = tuple(
                (
                    tier,
                    tuple(
                        rule
                        for forward in policies
                        if _is_between(forward, came_by, leaves_by)
                        for rule in forward.rules
                    ),
                )
                for tier, policies in self._forward_tiers
            )
            permissions = tuple(p for p in self._permissions if came_by in p.inputs)
            yield _Stage(tiers, permissions=permissions, is_of_host=True)
        if leaves_by is not None and not leaves_by.is_host:
            yield _Stage(self._tiers_at(leaves_by, Direction.INGRESS))

    def _tiers_at(
        self, endpoint: Endpoint, direction: Direction, acts: Acts = Acts.NORMAL
    ) -> _Tiers:
        key = (endpoint.name, direction, acts)
        if key not in self._known_tiers:
            self._known_tiers[key] = self.policy.tiers_at(endpoint, direction, acts)
        return self._known_tiers[key]


class _OpenQuestion(Exception):
    """It is not known whether a rule is met."""

    def __init__(self, rule: PolicyRule) -> None:
        super().__init__()
        self.rule = rule


_MOST_ASSUMED = 8
"""Open questions about one packet from which on it is given up: each doubles the work."""
_PASSED = Judgement(Verdict.NOT_COVERED)
"""A rule has sent the packet to the next tier."""


_Tiers = tuple[tuple[Tier, tuple[PolicyRule, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Stage:
    """What judges together. ``is_of_host`` says that an early verdict stands for it."""

    tiers: _Tiers
    grants: tuple[Grant, ...] = ()
    permissions: tuple[Permission, ...] = ()
    is_of_host: bool = False


def _is_between(
    forward: ForwardPolicy, came_by: Endpoint | None, leaves_by: Endpoint | None
) -> bool:
    return (not forward.sources or came_by in forward.sources) and (
        not forward.destinations or leaves_by in forward.destinations
    )
