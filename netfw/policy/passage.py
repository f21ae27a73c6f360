"""The criteria ``in`` and ``out``: the endpoints that a packet comes in and leaves by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netfw.ir.match import Way
from netfw.ir.names import Family
from netfw.policy.endpoint import Endpoint

if TYPE_CHECKING:
    from netfw.policy.flow import Flow


@dataclass(frozen=True, slots=True)
class Passage:
    """The packet comes in (leaves) by one of these endpoints, or negated by none of them.

    What is for this host leaves by no endpoint. ``words`` is how they were named.
    """

    way: Way
    endpoints: tuple[Endpoint, ...]
    negate: bool = False
    words: tuple[str, ...] = field(default=(), compare=False)

    @property
    def KEY(self) -> str:
        """The word of the language."""
        return "in" if self.way is Way.IN else "out"

    @property
    def families(self) -> frozenset[Family]:
        """Both."""
        return frozenset(Family)

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The interfaces of the endpoints, which may end in ``+``."""
        return tuple(name for endpoint in self.endpoints for name in endpoint.interfaces)

    @property
    def is_absent(self) -> bool:
        """Whether it asks for endpoints that are not there, which no packet meets."""
        return not self.negate and all(endpoint.is_absent for endpoint in self.endpoints)

    def holds(self, flow: Flow) -> bool | None:
        """Whether a packet meets this."""
        return self.covers(flow.in_interface, flow.out_interface)

    def covers(self, in_interface: str, out_interface: str) -> bool:
        """Whether a packet between two interfaces (empty: none) meets this."""
        name = in_interface if self.way is Way.IN else out_interface
        found = bool(name) and any(endpoint.covers(name) for endpoint in self.endpoints)
        return found is not self.negate

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        return [self.KEY, list(self.words), self.negate]
