"""What a policy says, resolved: names are gone, every rule holds its conditions as typed data.

This is the meaning of a policy before any decision about chains and tables. The compiler
reads it, and so does whoever wants to judge the compiled rules without looking at them:
``PolicyRule.conditions(family)`` says which packets a rule is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from netfw.errors import Where
from netfw.ir.mark_field import MarkField
from netfw.ir.match import PortRange
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.ruleset import Origin
from netfw.policy.traffic import Traffic

if TYPE_CHECKING:
    from netfw.policy.assertion import Assertion


class EndpointKind(Enum):
    """What stands behind an interface, which decides what ingress and egress mean."""

    HOST = "host"
    """This host itself: ingress is what comes in to it, egress what it sends."""
    WORKLOAD = "workload"
    """A container or virtual machine: ingress is what is forwarded into it, egress what it sends,
    be it forwarded or to this host."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Interfaces that are treated alike, under a name.

    Interface names may end in ``+``. No interface belongs to two endpoints.
    """

    name: str
    kind: EndpointKind
    interfaces: tuple[str, ...]
    where: Where

    @property
    def is_host(self) -> bool:
        """Whether this is a host endpoint."""
        return self.kind is EndpointKind.HOST

    def covers(self, interface: str) -> bool:
        """Whether an interface belongs to this endpoint."""
        return any(
            interface.startswith(name[:-1]) if name.endswith("+") else interface == name
            for name in self.interfaces
        )


class Direction(Enum):
    """Which packets of an endpoint a list of rules judges."""

    INGRESS = "ingress"
    EGRESS = "egress"
    FORWARD = "forward"


class Action(Enum):
    """What a rule does with the packets that it is about. All but LOG decide."""

    ALLOW = "allow"
    DENY = "deny"
    REJECT = "reject"
    LOG = "log"

    @property
    def decides(self) -> bool:
        """Whether no later rule of the stage is asked."""
        return self is not Action.LOG


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How a log rule writes: a prefix, and how many packets at most.

    ``rate`` packets (1 or more) per ``unit`` (sec, min, hour or day); None means all of them.
    """

    prefix: str
    rate: int | None
    unit: str = "min"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a rule asks of a packet of one family.

    The packet must be of one of the kinds in ``traffic`` (never empty; ``Traffic()`` is any),
    have its source in one of ``sources`` and its destination in one of ``destinations``
    (empty: any address).
    """

    traffic: tuple[Traffic, ...]
    sources: tuple[Net, ...]
    destinations: tuple[Net, ...]


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule of an ``ingress``, ``egress`` or ``forward`` list.

    ``sources`` and ``destinations`` hold networks of both families; empty means any.
    ``origin.identity`` is the stable name that the compiled rules carry in their comments.
    """

    action: Action
    traffic: tuple[Traffic, ...]
    sources: tuple[Net, ...]
    destinations: tuple[Net, ...]
    origin: Origin
    log: LogSettings | None = None

    @property
    def identity(self) -> str:
        """``policy/name`` or ``policy/action-hash``; unique in the file."""
        return self.origin.identity

    def conditions(self, family: Family) -> Conditions | None:
        """What the rule asks of packets of a family, or None if it is not about that family."""
        return conditions_of(family, self.traffic, self.sources, self.destinations)

    @property
    def families(self) -> tuple[Family, ...]:
        """The families whose packets this rule can be about; never empty in a valid policy."""
        return tuple(family for family in Family if self.conditions(family) is not None)


def conditions_of(
    family: Family,
    traffic: tuple[Traffic, ...],
    sources: tuple[Net, ...] = (),
    destinations: tuple[Net, ...] = (),
) -> Conditions | None:
    """Keep what belongs to a family; None if nothing can match there."""
    kept_traffic = tuple(kind for kind in traffic if family in kind.families)
    kept_sources = tuple(net for net in sources if net.family is family)
    kept_destinations = tuple(net for net in destinations if net.family is family)
    if (
        not kept_traffic
        or (sources and not kept_sources)
        or (destinations and not kept_destinations)
    ):
        return None
    return Conditions(kept_traffic, kept_sources, kept_destinations)


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

    @property
    def named(self) -> tuple[Endpoint, ...]:
        """The endpoints that this policy names, in either role."""
        return self.sources + self.destinations


@dataclass(frozen=True, slots=True)
class MasqueradePolicy:
    """What leaves by ``out`` gets that interface's address as its source.

    Only what came in by ``sources``, where there are any.
    """

    sources: tuple[Endpoint, ...]
    out: tuple[Endpoint, ...]
    families: tuple[Family, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class DnatPolicy:
    """What comes in by ``inputs`` for a service gets another destination, and is allowed there.

    ``address`` is a number of ``family``; ``ports`` is None where ports stay as they are.
    """

    inputs: tuple[Endpoint, ...]
    family: Family
    traffic: tuple[Traffic, ...]
    sources: tuple[Net, ...]
    address: int
    ports: PortRange | None
    origin: Origin

    def conditions(self, family: Family) -> Conditions | None:
        """Which packets are translated, as they arrive."""
        if family is not self.family:
            return None
        return conditions_of(family, self.traffic, self.sources)

    def translated(self, family: Family) -> Conditions | None:
        """The same packets as the filter table sees them, with their new destination."""
        if family is not self.family:
            return None
        traffic = self.traffic
        if self.ports is not None:
            traffic = tuple(Traffic(kind.protocol, self.ports) for kind in traffic)
        full = (1 << family.bits) - 1
        return conditions_of(family, traffic, self.sources, (Net(family, self.address, full),))


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy file. Order is that of the file: the first rule that matches decides."""

    file: str
    field: MarkField
    field_where: Where
    endpoints: tuple[Endpoint, ...]
    endpoint_policies: tuple[EndpointPolicy, ...]
    forward_policies: tuple[ForwardPolicy, ...]
    masquerades: tuple[MasqueradePolicy, ...]
    dnats: tuple[DnatPolicy, ...]
    assertions: tuple[Assertion, ...] = ()

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

    def policies_at(self, endpoint: Endpoint, direction: Direction) -> tuple[EndpointPolicy, ...]:
        """The policies that judge a direction of an endpoint, in order."""
        return tuple(
            policy
            for policy in self.endpoint_policies
            if endpoint in policy.at and policy.rules(direction)
        )

    def is_covered(self, endpoint: Endpoint, direction: Direction) -> bool:
        """Whether packets of that endpoint and direction are judged at all.

        Ingress always is, and so is the egress of a workload; the egress of a host endpoint as
        soon as a policy has ``egress`` there; forwarding as soon as a forward policy names it.
        """
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
