"""The form ``{not: …}``, which every criterion may have."""

from __future__ import annotations

from netfw.policy.faults import Faults
from netfw.policy.fields import read_fields
from netfw.policy.source import Mapping, Node


def read_negation(node: Node, key: str, faults: Faults) -> tuple[Node | None, bool]:
    """What a criterion says, and whether it is negated; None where it is at fault.

    A mapping without ``not`` is what the criterion says.
    """
    if not isinstance(node, Mapping) or node.find("not") is None:
        return node, False
    fields = read_fields(node, ("not",), f"'{key}' with 'not'", faults)
    return (None if fields is None else fields.find("not")), True
