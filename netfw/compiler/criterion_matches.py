"""Further criteria of rules as matches of iptables."""

from __future__ import annotations

from netfw.compiler.term import Term
from netfw.ir.match import ConntrackMatch
from netfw.policy.connection_states import ConnectionStates
from netfw.policy.criterion import Criterion


def alternatives(criterion: Criterion) -> tuple[Term, ...]:
    """The terms of which one must match."""
    match criterion:
        case ConnectionStates(states, negate):
            return ((ConntrackMatch(states, negate=negate),),)
