"""The stages of a policy on a path, as sets: which rules are asked about which packets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netfw.ir.names import Family
from netfw.policy.behind import behind
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.grant import Grant
from netfw.policy.model import Policy
from netfw.policy.rule import PolicyRule
from netfw.policy.tier import LAST_TIER, Acts
from netfw.policy.translation import Permission
from netfw.prove.condition_sets import ConditionSets
from netfw.prove.path import PathKind
from netfw.prove.space import Bdd, Field

Asked = tuple[PolicyRule, Bdd]
"""A rule with the packets that it is about."""


@dataclass(frozen=True, slots=True)
class TierSets:
    """The rules of a tier; ``denies`` says that what none of them matches ends here."""

    asked: tuple[Asked, ...]
    denies: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """Rules that judge together, ``where`` they do.

    ``grants`` are let through before the rules. ``is_of_host`` says that the verdict of an early
    policy stands for this stage, ``acts`` what kind of policy it is of: of an early one, what no
    rule matches is left open.
    """

    where: Bdd
    tiers: tuple[TierSets, ...]
    grants: tuple[Grant, ...] = ()
    permissions: tuple[Permission, ...] = ()
    is_of_host: bool = False
    acts: Acts = Acts.NORMAL
    is_exit: bool = False
    """What was redirected and is rejected here gets no answer: it is judged where none is
    possible."""

    @property
    def asked(self) -> list[Asked]:
        """All rules in order."""
        return [each for tier in self.tiers for each in tier.asked]


class Stages:
    """A policy's stages in a space."""

    def __init__(self, policy: Policy, conditions: ConditionSets) -> None:
        self.policy = policy
        self.conditions = conditions
        self.space = conditions.space

    def normal(self, kind: PathKind) -> Iterator[Stage]:
        """The stages of the filter table on a path, in order."""
        policy, space, at = self.policy, self.space, self.conditions.at
        ingress, egress = Direction.INGRESS, Direction.EGRESS
        if kind is PathKind.IN:
            for end in policy.endpoints:
                here = at(Field.IN_INTERFACE, end)
                if end.is_host:
                    yield Stage(
                        here, self._at(end, ingress), policy.grants(ingress), is_of_host=True
                    )
                else:
                    yield Stage(here, self._at(end, egress), policy.neighbour_grants)
        elif kind is PathKind.OUT:
            for end in policy.hosts:
                if policy.is_covered(end, egress):
                    here = at(Field.OUT_INTERFACE, end)
                    grants = policy.grants(egress)
                    yield Stage(here, self._at(end, egress), grants, is_of_host=True, is_exit=True)
        else:
            for end in policy.workloads:
                yield Stage(at(Field.IN_INTERFACE, end), self._at(end, egress))
            where = space.any_of(
                at(side, endpoint)
                for endpoint in policy.endpoints
                if policy.is_covered(endpoint, Direction.FORWARD)
                for side in (Field.IN_INTERFACE, Field.OUT_INTERFACE)
            )
            yield Stage(where, self._forward(), permissions=policy.permissions, is_of_host=True)
            for end in policy.workloads:
                yield Stage(at(Field.OUT_INTERFACE, end), self._at(end, ingress))

    def early(self, kind: PathKind, acts: Acts) -> Iterator[Stage]:
        """The stages of early policies on a path, for packets as they arrive."""
        side, direction = Field.IN_INTERFACE, Direction.INGRESS
        if kind is PathKind.OUT:
            side, direction = Field.OUT_INTERFACE, Direction.EGRESS
        for end in self.policy.hosts:
            tiers = self._at(end, direction, acts)
            if tiers:
                grants = self.policy.grants(direction)
                yield Stage(self.conditions.at(side, end), tiers, grants, acts=acts)

    def _at(
        self, endpoint: Endpoint, direction: Direction, acts: Acts = Acts.NORMAL
    ) -> tuple[TierSets, ...]:
        return tuple(
            TierSets(
                tuple((rule, self.conditions.of_rule(rule)) for rule in rules),
                not tier.passes and tier.name != LAST_TIER and acts is Acts.NORMAL,
            )
            for tier, rules in self.policy.tiers_at(endpoint, direction, acts)
        )

    def _forward(self) -> tuple[TierSets, ...]:
        conditions = self.conditions
        found = []
        for tier, policies in self.policy.forward_tiers:
            asked: list[Asked] = []
            for forward in policies:
                where = self.space.true
                if forward.sources:
                    where &= conditions.at_any(Field.IN_INTERFACE, forward.sources)
                if forward.destinations:
                    where &= conditions.at_any(Field.OUT_INTERFACE, forward.destinations)
                asked += [(rule, where & conditions.of_rule(rule)) for rule in forward.rules]
            found.append(TierSets(tuple(asked), not tier.passes and tier.name != LAST_TIER))
        return tuple(found)

    def elsewhere(self) -> Bdd:
        """What comes in with a source that lies behind another endpoint. Failsafes may."""
        space, found = self.space, self.space.false
        failsafes = space.any_of(
            self.conditions.of_conditions(failsafe.conditions(space.family))
            for failsafe in self.policy.failsafes
            if failsafe.direction is Direction.INGRESS
        )
        for end in self.policy.endpoints:
            sources = behind(end, self.policy.endpoints, space.family)
            if sources is None:
                continue
            if sources.only:
                nets = (*sources.only, *sources.always)
                wrong = ~space.any_of(space.in_net(Field.SOURCE, net) for net in nets)
            else:
                wrong = space.any_of(space.in_net(Field.SOURCE, net) for net in sources.never)
            if end.is_host:
                wrong &= ~failsafes
            found |= self.conditions.at(Field.IN_INTERFACE, end) & wrong
        return found

    def granted(self, stage: Stage, *, before_invalid: bool | None = None) -> Bdd:
        """What is let through before the rules of a stage; ``before_invalid`` asks for those
        grants alone that come before (or behind) what belongs to no connection."""
        return self.space.any_of(
            self.conditions.of_conditions(grant.conditions(self.space.family))
            for grant in stage.grants
            if before_invalid in (None, grant.before_invalid)
        )

    def translated(self, stage: Stage) -> Bdd:
        """What the port forwards of a stage let through behind all its rules."""
        space = self.space
        return space.any_of(
            self.conditions.at_any(Field.IN_INTERFACE, permission.inputs)
            & space.flag(Field.DNAT)
            & self.conditions.of_conditions(permission.conditions(space.family))
            for permission in stage.permissions
        )


PORT_UNREACHABLE = {
    Family.IPV4: "icmp-port-unreachable",
    Family.IPV6: "icmp6-port-unreachable",
}
"""What a rejected packet other than TCP is answered with."""
