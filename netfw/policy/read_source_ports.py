"""Reads the criterion ``source-ports``."""

from __future__ import annotations

from netfw.ir.match import PortRange
from netfw.policy.faults import Faults
from netfw.policy.fields import read_words
from netfw.policy.names import Names
from netfw.policy.negation import read_negation
from netfw.policy.service_literal import LiteralFault, parse_ports
from netfw.policy.source import Node
from netfw.policy.source_ports import SourcePorts

MOST = 15
"""Ports that one multiport match holds; a range takes two (XT_MULTI_PORTS, xt_multiport.h)."""


def read_source_ports(node: Node, names: Names, faults: Faults) -> SourcePorts | None:
    """``68``, ``1024-65535``, a list of them, or ``{not: …}``; None where it is at fault."""
    inner, negate = read_negation(node, "source-ports", faults)
    if inner is None:
        return None
    found = []
    for word in read_words(inner, "'source-ports'", faults):
        try:
            found.append(parse_ports(word.text, word.text))
        except LiteralFault as error:
            faults.add(word.where, str(error), error.hint)
    ranges = _merge(found)
    if sum(1 if span.first == span.last else 2 for span in ranges) > MOST:
        faults.add(
            inner.where,
            f"'source-ports' has more than {MOST} ports, where a range counts two",
            "make two rules of it",
        )
    return SourcePorts(ranges, negate) if ranges else None


def _merge(ports: list[PortRange]) -> tuple[PortRange, ...]:
    """Sorted, with ranges that touch or overlap made one."""
    merged: list[PortRange] = []
    for span in sorted(ports):
        if merged and span.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, span.last))
        else:
            merged.append(span)
    return tuple(merged)
