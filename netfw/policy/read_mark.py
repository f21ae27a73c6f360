"""Reads the criterion ``mark``."""

from __future__ import annotations

from netfw.ir.mark import MAX_MARK, Mark, parse_word
from netfw.policy.faults import Faults
from netfw.policy.fields import read_word
from netfw.policy.foreign_mark import ForeignMark
from netfw.policy.names import Names
from netfw.policy.negation import read_negation
from netfw.policy.source import Node


def read_mark(node: Node, names: Names, faults: Faults) -> ForeignMark | None:
    """``0x1/0xff``, ``0x1`` (all 32 bits), or ``{not: …}``; None where it is at fault."""
    inner, negate = read_negation(node, "mark", faults)
    word = None if inner is None else read_word(inner, "'mark'", faults)
    if word is None:
        return None
    value_text, slash, mask_text = word.text.partition("/")
    try:
        mask = parse_word(mask_text) if slash else MAX_MARK
        return ForeignMark(Mark(parse_word(value_text), mask), negate)
    except ValueError as error:
        faults.add(word.where, str(error), "write value and mask, like 0x1/0xff")
        return None
