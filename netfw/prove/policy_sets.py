"""What a policy says of every packet, by its own meaning: compiled rules are never looked at.

The meaning is that of ``policy/judge.py`` and ``netfw/docs/policy.md``, said for sets of packets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from netfw.ir.match import ConnectionState, InterfaceMatch, LimitMatch, Way
from netfw.ir.names import Family, Hook
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6, TCP
from netfw.ir.target import Dnat, Log, Masquerade, NatRange, Reject, Target
from netfw.policy.conditions import Conditions
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.model import Policy
from netfw.policy.read_rule import PREFIX_END
from netfw.policy.rule import Action, LogSettings, PolicyRule
from netfw.policy.traffic import Traffic
from netfw.policy.translation import DnatPolicy
from netfw.prove.path import PathKind, translation
from netfw.prove.space import Bdd, Field, Space
from netfw.prove.summary import Effect, LogEffect, TranslatedBy

NEIGHBOUR_TYPES = (130, 131, 132, 133, 134, 135, 136, 143)
"""MLD and neighbour discovery: allowed where this host itself is meant (docs/policy.md)."""
_PORT_UNREACHABLE = {
    Family.IPV4: "icmp-port-unreachable",
    Family.IPV6: "icmp6-port-unreachable",
}


@dataclass(slots=True)
class Meaning:
    """What a policy wants on a path, for packets as they arrive; the sets are disjoint.

    What is in none of ``allowed``, ``denied`` and ``rejected`` is not covered.
    """

    allowed: Bdd
    denied: Bdd
    rejected: dict[Target, Bdd]
    effects: dict[Effect, Bdd] = field(default_factory=dict)


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
        self._nets: dict[tuple[Field, Net], Bdd] = {}
        self._kinds: dict[Traffic, Bdd] = {}
        self._unions: dict[object, Bdd] = {}
        self._at: dict[tuple[Field, str], Bdd] = {}

    def meaning(self, kind: PathKind) -> Meaning:
        """What the policy wants on a path."""
        plain = self._judge(kind)
        found = plain if kind is PathKind.OUT else self._behind_dnats(plain)
        self._masquerade(kind, found)
        return found

    def at(self, side: Field, endpoint: Endpoint) -> Bdd:
        """Packets that come in or leave by an endpoint."""
        key = (side, endpoint.name)
        found = self._at.get(key)
        if found is None:
            names = [
                name
                for name in self.space.interfaces.names
                if name
                and any(InterfaceMatch(Way.IN, own).covers(name) for own in endpoint.interfaces)
            ]
            found = self._at[key] = self.space.interface(side, names)
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
        policy, space = self.policy, self.space
        if kind is PathKind.IN:
            for endpoint in policy.endpoints:
                direction = Direction.INGRESS if endpoint.is_host else Direction.EGRESS
                rules = self._rules_at(endpoint, direction)
                yield Stage(self.at(Field.IN_INTERFACE, endpoint), rules, with_basics=True)
        elif kind is PathKind.OUT:
            for endpoint in policy.endpoints:
                if endpoint.is_host and policy.is_covered(endpoint, Direction.EGRESS):
                    rules = self._rules_at(endpoint, Direction.EGRESS)
                    yield Stage(self.at(Field.OUT_INTERFACE, endpoint), rules, with_basics=True)
        else:
            for endpoint in policy.workloads:
                rules = self._rules_at(endpoint, Direction.EGRESS)
                yield Stage(self.at(Field.IN_INTERFACE, endpoint), rules)
            where = space.any_of(
                self.at(side, endpoint)
                for endpoint in policy.endpoints
                if policy.is_covered(endpoint, Direction.FORWARD)
                for side in (Field.IN_INTERFACE, Field.OUT_INTERFACE)
            )
            yield Stage(where, self._forward_rules(), policy.dnats)
            for endpoint in policy.workloads:
                rules = self._rules_at(endpoint, Direction.INGRESS)
                yield Stage(self.at(Field.OUT_INTERFACE, endpoint), rules)

    def _rules_at(self, endpoint: Endpoint, direction: Direction) -> list[tuple[PolicyRule, Bdd]]:
        return [
            (rule, self._conditions(rule))
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
            self.at_any(Field.IN_INTERFACE, dnat.inputs)
            & space.flag(Field.DNAT)
            & self._of_conditions(dnat.translated(space.family))
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
                where &= self.at_any(Field.IN_INTERFACE, forward.sources)
            if forward.destinations:
                where &= self.at_any(Field.OUT_INTERFACE, forward.destinations)
            found += [(rule, where & self._conditions(rule)) for rule in forward.rules]
        return found

    def at_any(self, side: Field, endpoints: Iterable[Endpoint]) -> Bdd:
        """Packets that come in or leave by one of these endpoints."""
        return self.space.any_of(self.at(side, endpoint) for endpoint in endpoints)

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

    def _conditions(self, rule: PolicyRule) -> Bdd:
        return self._of_conditions(rule.conditions(self.space.family))

    def _of_conditions(self, conditions: Conditions | None) -> Bdd:
        if conditions is None:
            return self.space.false
        found = self._addresses(Field.SOURCE, conditions.sources)
        found = self._addresses(Field.DESTINATION, conditions.destinations) & found
        return self._traffic(conditions.traffic) & found

    def _addresses(self, side: Field, nets: tuple[Net, ...]) -> Bdd:
        if not nets:
            return self.space.true
        key = (side, nets)
        found = self._unions.get(key)
        if found is None:
            found = self._unions[key] = self.space.any_of(self._net(side, net) for net in nets)
        return found

    def _net(self, side: Field, net: Net) -> Bdd:
        key = (side, net)
        found = self._nets.get(key)
        if found is None:
            found = self._nets[key] = self.space.in_net(side, net)
        return found

    def _traffic(self, kinds: tuple[Traffic, ...]) -> Bdd:
        found = self._unions.get(kinds)
        if found is None:
            found = self._unions[kinds] = self.space.any_of(map(self.of_kind, kinds))
        return found

    def of_kind(self, kind: Traffic) -> Bdd:
        """Packets of a kind of traffic."""
        found = self._kinds.get(kind)
        if found is not None:
            return found
        space = self.space
        found = space.true
        if kind.protocol is not None:
            found = space.equal(Field.PROTOCOL, kind.protocol)
        if kind.ports is not None:
            found &= space.between(Field.DESTINATION_PORT, kind.ports.first, kind.ports.last)
        if kind.icmp is not None and kind.protocol in (ICMP, ICMPV6):
            found &= space.equal(Field.ICMP_TYPE, kind.icmp.type)
            found &= space.between(Field.ICMP_CODE, *kind.icmp.codes)
        self._kinds[kind] = found
        return found

    def _behind_dnats(self, plain: Meaning) -> Meaning:
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
                & self.at_any(Field.IN_INTERFACE, dnat.inputs)
                & self._of_conditions(conditions)
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

    def _masquerade(self, kind: PathKind, meaning: Meaning) -> None:
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
            those = first & self.at_any(Field.OUT_INTERFACE, masquerade.out)
            if masquerade.sources:
                those &= self.at_any(Field.IN_INTERFACE, masquerade.sources)
            effect = TranslatedBy(Hook.POSTROUTING, Masquerade())
            meaning.effects[effect] = meaning.effects.get(effect, space.false) | those


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a list of rules decides, before states and defaults."""

    decided: Bdd
    allowed: Bdd
    rejected: Bdd
    logged: dict[Effect, Bdd]


def outcome_of(space: Space, rule: PolicyRule, those: Bdd) -> Outcome:
    """What a single rule decides of the packets it is about."""
    nobody = space.false
    if rule.action is Action.LOG:
        assert rule.log is not None
        return Outcome(nobody, nobody, nobody, {_log_effect(rule.log): those})
    return Outcome(
        those,
        those if rule.action is Action.ALLOW else nobody,
        those if rule.action is Action.REJECT else nobody,
        {},
    )


def then_outcome(first: Outcome, second: Outcome) -> Outcome:
    """One list of rules, then another for what the first leaves undecided."""
    open_ = ~first.decided
    logged = dict(first.logged)
    for what, those in second.logged.items():
        late = open_ & those
        logged[what] = logged[what] | late if what in logged else late
    return Outcome(
        first.decided | second.decided,
        first.allowed | (open_ & second.allowed),
        first.rejected | (open_ & second.rejected),
        logged,
    )


def _log_effect(log: LogSettings) -> LogEffect:
    limit = None if log.rate is None else LimitMatch(log.rate, log.unit).as_kept
    return LogEffect(Log(prefix=log.prefix + PREFIX_END), limit)


def _dnat_target(dnat: DnatPolicy) -> Dnat:
    ports = None if dnat.ports is None else (dnat.ports.first, dnat.ports.last)
    return Dnat(NatRange(addresses=(dnat.address, dnat.address), ports=ports))
