"""Endpoints: interfaces under a name, and which of their packets are judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from netfw.errors import Where
from netfw.ir.net import Net


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

    Interface names may end in ``+``. No interface belongs to two endpoints. ``labels`` are what
    selectors look at. ``nets`` is what lies behind the interfaces; empty: that is not said.
    ``optional``: a host may lack the interfaces when the policy is applied.

    An endpoint without interfaces stands for what is not there: an optional one that this host
    lacks, or a zone that selects nothing. No packet comes in or leaves by it, and it is not among
    the endpoints of a policy.
    """

    name: str
    kind: EndpointKind
    interfaces: tuple[str, ...]
    where: Where
    labels: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    nets: tuple[Net, ...] = field(default=(), compare=False)
    optional: bool = field(default=False, compare=False)

    @property
    def is_host(self) -> bool:
        """Whether this is a host endpoint."""
        return self.kind is EndpointKind.HOST

    @property
    def is_absent(self) -> bool:
        """Whether there is no such interface."""
        return not self.interfaces

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
