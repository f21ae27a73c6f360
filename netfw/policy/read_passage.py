"""Reads the criteria ``in`` and ``out``."""

from __future__ import annotations

from netfw.ir.match import Way
from netfw.policy.faults import Faults
from netfw.policy.names import Names, endpoint_words
from netfw.policy.negation import read_negation
from netfw.policy.passage import Passage
from netfw.policy.source import Node


def read_in(node: Node, names: Names, faults: Faults) -> Passage | None:
    """Endpoints, or ``{not: …}``."""
    return _read(node, Way.IN, "in", names, faults)


def read_out(node: Node, names: Names, faults: Faults) -> Passage | None:
    """The same for where packets leave."""
    return _read(node, Way.OUT, "out", names, faults)


def _read(node: Node, way: Way, key: str, names: Names, faults: Faults) -> Passage | None:
    inner, negate = read_negation(node, key, faults)
    if inner is None:
        return None
    endpoints = names.read_endpoints(inner, f"'{key}'", faults)
    return Passage(way, endpoints, negate, tuple(endpoint_words(inner))) if endpoints else None
