"""Further criteria of rules, as sets of packets: by the words of the language alone."""

from __future__ import annotations

from netfw.policy.connection_states import ConnectionStates
from netfw.policy.criterion import Criterion
from netfw.prove.space import Bdd, Space


class CriterionSets:
    """Criteria in a space."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def of(self, criterion: Criterion) -> Bdd:
        """Packets that meet a criterion."""
        match criterion:
            case ConnectionStates(states, negate):
                return self._negated(self.space.in_state(*states), negate=negate)

    @staticmethod
    def _negated(of: Bdd, *, negate: bool) -> Bdd:
        return ~of if negate else of
