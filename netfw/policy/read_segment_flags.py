"""Reads the criterion ``tcp-flags``."""

from __future__ import annotations

from netfw.ir.match import TCP_FLAG_BITS
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import Fields, read_fields, read_words
from netfw.policy.names import Names
from netfw.policy.negation import read_negation
from netfw.policy.segment_flags import SegmentFlags
from netfw.policy.source import Node


def read_segment_flags(node: Node, names: Names, faults: Faults) -> SegmentFlags | None:
    """``{set: syn, clear: [ack, rst]}``, one of them, or ``{not: …}``; None where it is at
    fault."""
    before = len(faults)
    inner, negate = read_negation(node, "tcp-flags", faults)
    fields = None if inner is None else read_fields(inner, ("set", "clear"), "'tcp-flags'", faults)
    if inner is None or fields is None:
        return None
    is_set, is_clear = _bits(fields, "set", faults), _bits(fields, "clear", faults)
    for name, bit in TCP_FLAG_BITS.items():
        if is_set & is_clear & bit:
            faults.add(inner.where, f"'{name}' is to be both set and clear")
    if len(faults) == before and not is_set | is_clear:
        faults.add(
            inner.where,
            "'tcp-flags' names no flag",
            "write which are set and which are not, such as {set: syn, clear: [ack, rst, fin]}",
        )
    if len(faults) > before:
        return None
    return SegmentFlags(is_set | is_clear, is_set, negate)


def _bits(fields: Fields, key: str, faults: Faults) -> int:
    node = fields.find(key)
    found = 0
    for word in () if node is None else read_words(node, f"'{key}'", faults):
        bit = TCP_FLAG_BITS.get(word.text)
        if bit is None:
            hint = did_you_mean(word.text, TCP_FLAG_BITS, f"flags are {', '.join(TCP_FLAG_BITS)}")
            faults.add(word.where, f"unknown flag '{word.text}'", hint)
        else:
            found |= bit
    return found
