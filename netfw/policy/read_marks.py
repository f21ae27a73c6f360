"""Reads ``marks``: the bits of the packet's mark that netfw uses."""

from __future__ import annotations

from netfw.ir.mark import parse_word
from netfw.ir.mark_field import MarkField
from netfw.ir.steer_field import SteerField
from netfw.policy.faults import Faults
from netfw.policy.fields import read_fields, read_word
from netfw.policy.source import Entry, Node, Scalar


def read_marks(entry: Entry | None, faults: Faults) -> tuple[MarkField, SteerField]:
    """The field of the verdict, and the bits that steering may use."""
    fields = read_fields(entry.value, ("mask", "steer"), "'marks'", faults) if entry else None
    if fields is None:
        return MarkField(), SteerField()
    mask_node, steer_node = fields.find("mask"), fields.find("steer")
    if mask_node is None and steer_node is None:
        faults.add(fields.where, "'marks' says nothing", "write {mask: 0xf0000}")
    field = _read_field(mask_node, faults) if mask_node else MarkField()
    steer = None
    word = read_word(steer_node, "'steer'", faults) if steer_node else None
    if word is not None:
        steer = _read_steer(word, field, faults)
    return field, steer or SteerField.beside(field)


def _read_field(node: Node, faults: Faults) -> MarkField:
    word = read_word(node, "'mask'", faults)
    if word is not None:
        try:
            return MarkField(parse_word(word.text))
        except ValueError as error:
            faults.add(word.where, str(error), "a mask such as 0x0f000000 has exactly four bits")
    return MarkField()


def _read_steer(word: Scalar, field: MarkField, faults: Faults) -> SteerField | None:
    try:
        steer = SteerField(parse_word(word.text))
    except ValueError as error:
        faults.add(word.where, str(error), "the more bits, the more tables and classes")
        return None
    shared = steer.mask & field.mask
    if shared:
        faults.add(
            word.where,
            f"the bits {shared:#x} are in 'mask' too: a verdict would steer",
            f"leave them out: {steer.mask & ~field.mask:#x}",
        )
        return None
    return steer
