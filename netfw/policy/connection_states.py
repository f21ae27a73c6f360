"""The criterion ``state``: what connection tracking says of a packet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netfw.ir.match import ConnectionState
from netfw.ir.names import Family

if TYPE_CHECKING:
    from netfw.policy.flow import Flow

STATES = {
    state.value.lower(): state
    for state in (
        ConnectionState.NEW,
        ConnectionState.ESTABLISHED,
        ConnectionState.RELATED,
        ConnectionState.INVALID,
        ConnectionState.UNTRACKED,
    )
}
"""The words for them."""


@dataclass(frozen=True, slots=True)
class ConnectionStates:
    """The packet shows one of these states, or negated none of them."""

    KEY: ClassVar = "state"
    families: ClassVar = frozenset(Family)
    states: frozenset[ConnectionState]
    negate: bool = False

    def holds(self, flow: Flow) -> bool | None:
        """Whether a packet meets this."""
        return (flow.state in self.states) is not self.negate

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        return [self.KEY, sorted(state.value for state in self.states), self.negate]
