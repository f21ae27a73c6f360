"""What a policy says, resolved: names are gone, every rule holds its conditions as typed data.

This is the meaning of a policy before any decision about chains and tables. The compiler
reads it, and so does whoever wants to judge the compiled rules without looking at them.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING

from netfw.errors import Where
from netfw.ir.mark_field import MarkField
from netfw.ir.origin import Origin
from netfw.policy.defaults import Defaults
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.foreign_mark import ForeignMark
from netfw.policy.grant import DHCP, NEIGHBOUR_DISCOVERY, PATH_MTU, Grant
from netfw.policy.packet_rate import PacketRate
from netfw.policy.rule import PolicyRule
from netfw.policy.steering import Steering
from netfw.policy.tier import LAST_TIER, Acts, Tier
from netfw.policy.translation import Permission, Translation

if TYPE_CHECKING:
    from netfw.policy.assertion import Assertion


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """An entry of ``policies`` with ``at``: rules for what enters and leaves endpoints.

    An empty tuple of rules means that the entry has no list for that direction.
    """

    name: str
    at: tuple[Endpoint, ...]
    ingress: tuple[PolicyRule, ...]
    egress: tuple[PolicyRule, ...]
    where: Where
    tier: str = LAST_TIER
    acts: Acts = Acts.NORMAL

    @property
    def is_absent(self) -> bool:
        """Whether it is for endpoints that are not there, and so for no packet."""
        return all(endpoint.is_absent for endpoint in self.at)

    def rules(self, direction: Direction) -> tuple[PolicyRule, ...]:
        """The rules of a direction; none for FORWARD."""
        if direction is Direction.INGRESS:
            return self.ingress
        return self.egress if direction is Direction.EGRESS else ()


@dataclass(frozen=True, slots=True)
class ForwardPolicy:
    """An entry of ``policies`` with ``forward``: rules for packets between endpoints.

    An empty tuple of endpoints means any interface at all; not both are empty.
    """

    name: str
    sources: tuple[Endpoint, ...]
    destinations: tuple[Endpoint, ...]
    rules: tuple[PolicyRule, ...]
    where: Where
    tier: str = LAST_TIER

    @property
    def named(self) -> tuple[Endpoint, ...]:
        """The endpoints that this policy names, in either role."""
        return self.sources + self.destinations

    @property
    def is_absent(self) -> bool:
        """Whether an end is not there, so that no packet goes that way."""
        return any(
            bool(end) and all(endpoint.is_absent for endpoint in end)
            for end in (self.sources, self.destinations)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy file. Order is that of the file: the first rule that matches decides."""

    file: str
    field: MarkField
    field_where: Where
    endpoints: tuple[Endpoint, ...]
    endpoint_policies: tuple[EndpointPolicy, ...]
    forward_policies: tuple[ForwardPolicy, ...]
    translations: tuple[Translation, ...]
    assertions: tuple[Assertion, ...] = ()
    defaults: Defaults = dataclass_field(default_factory=Defaults)
    failsafes: tuple[Grant, ...] = ()
    tiers: tuple[Tier, ...] = ()
    """In the order in which they are asked; policies without one are in the last."""
    steering: Steering = dataclass_field(default_factory=Steering)

    @property
    def foreign_mark_bits(self) -> int:
        """The bits of marks, none of them netfw's, that are asked for."""
        mask = 0
        criteria = [rule.criteria for _, rule in self.rules()]
        for each in (*criteria, *(entry.criteria for entry in self.steering.entries)):
            for extra in each.extras:
                if isinstance(extra, ForeignMark):
                    mask |= extra.mark.mask
        return mask

    @property
    def owned_bits(self) -> int:
        """The bits of the packet's mark that are netfw's here."""
        return self.field.mask | (self.steering.field.mask if self.steering.entries else 0)

    @property
    def hosts(self) -> tuple[Endpoint, ...]:
        """The host endpoints."""
        return tuple(endpoint for endpoint in self.endpoints if endpoint.is_host)

    @property
    def workloads(self) -> tuple[Endpoint, ...]:
        """The workload endpoints."""
        return tuple(endpoint for endpoint in self.endpoints if not endpoint.is_host)

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint with this name; raises KeyError."""
        for endpoint in self.endpoints:
            if endpoint.name == name:
                return endpoint
        raise KeyError(name)

    def endpoint_of(self, interface: str) -> Endpoint | None:
        """The endpoint that an interface belongs to, or None."""
        for endpoint in self.endpoints:
            if endpoint.covers(interface):
                return endpoint
        return None

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """What port forwards let through behind all forward policies, in the order of the file."""
        return tuple(
            permission
            for translation in self.translations
            for permission in translation.permissions
        )

    def policies_at(
        self, endpoint: Endpoint, direction: Direction, acts: Acts = Acts.NORMAL
    ) -> tuple[EndpointPolicy, ...]:
        """The policies that judge a direction of an endpoint in one place, in order."""
        return tuple(
            policy
            for policy in self.endpoint_policies
            if policy.acts is acts and endpoint in policy.at and policy.rules(direction)
        )

    def tiers_at(
        self, endpoint: Endpoint, direction: Direction, acts: Acts = Acts.NORMAL
    ) -> tuple[tuple[Tier, tuple[PolicyRule, ...]], ...]:
        """The tiers with policies there, in order, each with its rules."""
        policies = self.policies_at(endpoint, direction, acts)
        return tuple(
            (tier, tuple(rule for policy in those for rule in policy.rules(direction)))
            for tier in self.tiers
            if (those := [policy for policy in policies if policy.tier == tier.name])
        )

    @property
    def counts_every_packet(self) -> bool:
        """Whether some rule counts packets where nobody knows yet which of them go on with a
        connection."""
        return any(
            isinstance(extra, PacketRate)
            for policy in self.endpoint_policies
            if policy.acts is Acts.UNTRACKED
            for rule in (*policy.ingress, *policy.egress)
            for extra in rule.criteria.extras
        )

    @property
    def forward_tiers(self) -> tuple[tuple[Tier, tuple[ForwardPolicy, ...]], ...]:
        """The tiers with forward policies, in order."""
        return tuple(
            (tier, those)
            for tier in self.tiers
            if (those := tuple(p for p in self.forward_policies if p.tier == tier.name))
        )

    @property
    def neighbour_grants(self) -> tuple[Grant, ...]:
        """What a workload may say to this host as to its neighbour."""
        return tuple(
            grant
            for grant in self.grants(Direction.INGRESS)
            if grant.traffic == NEIGHBOUR_DISCOVERY
        )

    def grants(self, direction: Direction) -> tuple[Grant, ...]:
        """What is let through at host endpoints before the rules are asked, in that order."""
        failsafes = tuple(grant for grant in self.failsafes if grant.direction is direction)
        return failsafes + self.default_grants(direction)

    def default_grants(self, direction: Direction) -> tuple[Grant, ...]:
        """Those of them that a host needs to work at all."""
        found: list[Grant] = []
        where = self.defaults.where or Where(self.file)
        if self.defaults.path_mtu:
            text = "packets are too large for the way: the sender has to know"
            origin = Origin(where, "default/path-mtu", text)
            found.append(Grant(direction, PATH_MTU, (), (), True, origin))
        if self.defaults.dhcp:
            origin = Origin(where, "default/dhcp", "this host gets its addresses by DHCP")
            found += [
                Grant(direction, traffic, (), (), False, origin, (family,))
                for (side, family), traffic in DHCP.items()
                if side is direction
            ]
        if self.defaults.neighbour_discovery:
            origin = Origin(where, "default/neighbour-discovery", "IPv6 does not work without it")
            found.append(Grant(direction, NEIGHBOUR_DISCOVERY, (), (), False, origin))
        return tuple(found)

    def is_covered(self, endpoint: Endpoint, direction: Direction) -> bool:
        """Whether packets of that endpoint and direction are judged at all.

        Ingress always is, and so is the egress of a workload; the egress of a host endpoint as
        soon as a policy has ``egress`` there; forwarding as soon as a forward policy names it.
        With strict exit everything at host endpoints is.
        """
        if endpoint.is_host and self.defaults.strict_exit:
            return True
        match direction:
            case Direction.INGRESS:
                return True
            case Direction.EGRESS:
                return not endpoint.is_host or bool(self.policies_at(endpoint, direction))
            case Direction.FORWARD:
                return any(endpoint in policy.named for policy in self.forward_policies)

    def rules(self) -> tuple[tuple[Direction, PolicyRule], ...]:
        """Every rule of the file with its direction, policy after policy."""
        found: list[tuple[Direction, PolicyRule]] = []
        for policy in self.endpoint_policies:
            for direction in (Direction.INGRESS, Direction.EGRESS):
                found += [(direction, rule) for rule in policy.rules(direction)]
        for forward in self.forward_policies:
            found += [(Direction.FORWARD, rule) for rule in forward.rules]
        return tuple(found)
