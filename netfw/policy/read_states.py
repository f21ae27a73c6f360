"""Reads the criterion ``state``."""

from __future__ import annotations

from netfw.policy.connection_states import STATES, ConnectionStates
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import read_words
from netfw.policy.names import Names
from netfw.policy.negation import read_negation
from netfw.policy.source import Node


def read_states(node: Node, names: Names, faults: Faults) -> ConnectionStates | None:
    """``new``, ``[new, related]`` or ``{not: invalid}``; None where it is at fault."""
    inner, negate = read_negation(node, "state", faults)
    if inner is None:
        return None
    found = set()
    for word in read_words(inner, "'state'", faults):
        state = STATES.get(word.text)
        if state is None:
            hint = did_you_mean(word.text, STATES, f"states are {', '.join(STATES)}")
            faults.add(word.where, f"unknown state '{word.text}'", hint)
        else:
            found.add(state)
    if len(found) == len(STATES):
        faults.add(node.where, "'state' names every state", "leave it out")
    return ConnectionStates(frozenset(found), negate)
