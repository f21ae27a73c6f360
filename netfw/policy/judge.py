"""What a policy says of one packet, by its own meaning and without looking at compiled rules.

This is the other half of a proof: the compiler and this module know nothing of each other.
The meaning is written for users in ``netfw/docs/policy.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.ir.protocols import ICMPV6
from netfw.policy.conditions import Conditions
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.flow import Flow, is_about
from netfw.policy.model import ForwardPolicy, Policy
from netfw.policy.rule import Action, PolicyRule
from netfw.policy.translation import DnatPolicy

_ALWAYS_ALLOWED_ICMPV6 = frozenset({130, 131, 132, 143, 133, 134, 135, 136})
"""MLD and neighbour discovery, without which an IPv6 host cannot be reached at all."""


class Verdict(Enum):
    """What becomes of a packet."""

    ALLOWED = "allowed"
    DENIED = "denied"
    NOT_COVERED = "not covered"
    """The policy does not speak of this packet: it is left to whatever else the host has."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and the rule that gave it (None: a default, or an established connection)."""

    verdict: Verdict
    rule: PolicyRule | DnatPolicy | None = None
    rejected: bool = False


def judge(policy: Policy, flow: Flow) -> Judgement:
    """What the policy says of a packet. For many packets make one ``Judge``."""
    return Judge(policy).judge(flow)


class Judge:
    """A policy made ready to judge many packets."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._conditions: dict[tuple[int, Family], Conditions | None] = {}
        """What rules ask for, by the rule's place in memory: the policy keeps its rules alive."""

    def judge(self, flow: Flow) -> Judgement:
        """What the policy says of a packet; every stage that covers it must allow it."""
        judgement = Judgement(Verdict.NOT_COVERED)
        for rules, dnats, basics in _stages(self.policy, flow):
            judgement = self._judge_stage(flow, rules, dnats, basics=basics)
            if judgement.verdict is Verdict.DENIED:
                return judgement
        return judgement

    def _asked_by(self, rule: PolicyRule, family: Family) -> Conditions | None:
        key = (id(rule), family)
        if key not in self._conditions:
            self._conditions[key] = rule.conditions(family)
        return self._conditions[key]

    def _judge_stage(
        self,
        flow: Flow,
        rules: Iterable[PolicyRule],
        dnats: tuple[DnatPolicy, ...],
        *,
        basics: bool,
    ) -> Judgement:
        if flow.state in (ConnectionState.ESTABLISHED, ConnectionState.RELATED):
            return Judgement(Verdict.ALLOWED)
        if flow.state is ConnectionState.INVALID:
            return Judgement(Verdict.DENIED)
        if basics and flow.protocol == ICMPV6 and flow.icmp[0] in _ALWAYS_ALLOWED_ICMPV6:
            return Judgement(Verdict.ALLOWED)
        for rule in rules:
            if not rule.action.decides or not is_about(self._asked_by(rule, flow.family), flow):
                continue
            if rule.action is Action.ALLOW:
                return Judgement(Verdict.ALLOWED, rule)
            return Judgement(Verdict.DENIED, rule, rejected=rule.action is Action.REJECT)
        for dnat in dnats:
            if flow.translated and is_about(dnat.translated(flow.family), flow):
                return Judgement(Verdict.ALLOWED, dnat)
        return Judgement(Verdict.DENIED)


_Stage = tuple[Iterable[PolicyRule], tuple[DnatPolicy, ...], bool]


def _stages(policy: Policy, flow: Flow) -> Iterator[_Stage]:
    came_by = policy.endpoint_of(flow.in_interface) if flow.in_interface else None
    leaves_by = policy.endpoint_of(flow.out_interface) if flow.out_interface else None
    if not flow.out_interface:
        if came_by is not None:
            direction = Direction.INGRESS if came_by.is_host else Direction.EGRESS
            yield _rules_at(policy, came_by, direction), (), True
        return
    if not flow.in_interface:
        if (
            leaves_by is not None
            and leaves_by.is_host
            and policy.is_covered(leaves_by, Direction.EGRESS)
        ):
            yield _rules_at(policy, leaves_by, Direction.EGRESS), (), True
        return
    if came_by is not None and not came_by.is_host:
        yield _rules_at(policy, came_by, Direction.EGRESS), (), False
    if any(
        endpoint is not None and policy.is_covered(endpoint, Direction.FORWARD)
        for endpoint in (came_by, leaves_by)
    ):
        rules = [
            rule
            for forward in policy.forward_policies
            if _is_between(forward, came_by, leaves_by)
            for rule in forward.rules
        ]
        dnats = tuple(dnat for dnat in policy.dnats if came_by in dnat.inputs)
        yield rules, dnats, False
    if leaves_by is not None and not leaves_by.is_host:
        yield _rules_at(policy, leaves_by, Direction.INGRESS), (), False


def _rules_at(policy: Policy, endpoint: Endpoint, direction: Direction) -> list[PolicyRule]:
    return [
        rule
        for entry in policy.policies_at(endpoint, direction)
        for rule in entry.rules(direction)
    ]


def _is_between(
    forward: ForwardPolicy, came_by: Endpoint | None, leaves_by: Endpoint | None
) -> bool:
    return (not forward.sources or came_by in forward.sources) and (
        not forward.destinations or leaves_by in forward.destinations
    )
