"""What rules of a policy ask for, as sets of packets: by the words of the language alone."""

from __future__ import annotations

from collections.abc import Iterable

from netfw.ir.match import InterfaceMatch, Way
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6
from netfw.policy.conditions import Conditions
from netfw.policy.endpoint import Endpoint
from netfw.policy.rule import PolicyRule
from netfw.policy.traffic import Traffic
from netfw.prove.criterion_sets import CriterionSets
from netfw.prove.space import Bdd, Field, Space


class ConditionSets:
    """Endpoints and conditions of a policy in a space; what was made once is kept."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._nets: dict[tuple[Field, Net], Bdd] = {}
        self._kinds: dict[Traffic, Bdd] = {}
        self._unions: dict[object, Bdd] = {}
        self._at: dict[tuple[Field, str], Bdd] = {}
        self.extras = CriterionSets(space)

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

    def at_any(self, side: Field, endpoints: Iterable[Endpoint]) -> Bdd:
        """Packets that come in or leave by one of these endpoints."""
        return self.space.any_of(self.at(side, endpoint) for endpoint in endpoints)

    def of_rule(self, rule: PolicyRule) -> Bdd:
        """Packets that a rule is about."""
        return self.of_conditions(rule.conditions(self.space.family), rule.identity)

    def of_conditions(self, conditions: Conditions | None, owner: str = "") -> Bdd:
        """Packets that meet conditions, of the rule with the identity ``owner``; none for None."""
        if conditions is None:
            return self.space.false
        found = self._addresses(Field.SOURCE, conditions.sources)
        found = self._addresses(Field.DESTINATION, conditions.destinations) & found
        found = self._traffic(conditions.traffic) & found
        if conditions.is_plain:
            return found
        if conditions.not_sources:
            found &= ~self._addresses(Field.SOURCE, conditions.not_sources)
        if conditions.not_destinations:
            found &= ~self._addresses(Field.DESTINATION, conditions.not_destinations)
        if conditions.not_traffic:
            found &= ~self._traffic(conditions.not_traffic)
        for extra in conditions.extras:
            found &= self.extras.of(extra, self.at_any, owner)
        return found

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
        if kind.source_ports is not None:
            span = kind.source_ports
            found &= space.between(Field.SOURCE_PORT, span.first, span.last)
        if kind.icmp is not None and kind.protocol in (ICMP, ICMPV6):
            found &= space.equal(Field.ICMP_TYPE, kind.icmp.type)
            found &= space.between(Field.ICMP_CODE, *kind.icmp.codes)
        self._kinds[kind] = found
        return found
