"""Endpoints: interfaces under a name, and which of their packets are judged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.errors import Where


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
