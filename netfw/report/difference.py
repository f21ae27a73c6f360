"""Changes in words and packets, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import and_, or_
from typing import Any

from netfw.ir.match import TCP_FLAG_BITS, ConnectionState
from netfw.ir.net import Net
from netfw.ir.protocols import ICMPV6, PRINTED_NAMES
from netfw.ir.ruleset import Rule
from netfw.prove.box import Box
from netfw.prove.difference import Change, Changed
from netfw.prove.path import PathKind
from netfw.prove.space import STATES, Field
from netfw.prove.summary import SteeredBy
from netfw.render.rule import render_rule
from netfw.report.glyphs import Glyphs
from netfw.report.proof import example_text
from netfw.traverse.notation import flags_text

_PATHS = {
    PathKind.IN: "to this host",
    PathKind.OUT: "from this host",
    PathKind.FORWARD: "forwarded",
}
_SIGNS = {Change.ACCEPTED: "+", Change.DENIED: "-", Change.TRANSLATED: "+", Change.STEERED: "+"}
_PLAIN_STATES = (set(STATES), {ConnectionState.NEW, ConnectionState.UNTRACKED})
"""States that need no word: all of them, and those in which a packet follows no other."""
_STATE_FIELDS = ((Field.DNAT, "DNAT"), (Field.SNAT, "SNAT"), (Field.REPLY, "in reply direction"))


def difference_lines(changes: Sequence[Changed], glyphs: Glyphs) -> Iterator[str]:
    """Every change: which packets, in words, and one of them."""
    for changed in changes:
        yield f"{changed.change.value}: {changed.family} {_PATHS[changed.kind]}{_by(changed)}"
        sign = _SIGNS.get(changed.change, "-" if changed.by is not None else "?")
        for box in changed.boxes:
            yield f"  {sign} {box_text(box)}"
            yield f"      such as {example_text(box.example)}"
        if not changed.is_whole:
            yield "  and more"
        yield ""
    if changes:
        yield f"{glyphs.bad} not the same packets are let through"
    else:
        yield f"{glyphs.good} the same packets are let through and translated, all of them"


def _by(changed: Changed) -> str:
    if changed.by is None:
        return ""
    if isinstance(changed.by, SteeredBy):
        return f", {changed.by.what}"
    rule = render_rule(Rule((), changed.by.target), changed.family)
    return f", {changed.by.hook} {rule}"


def box_text(box: Box) -> str:
    """What all packets of a box have in common."""
    words = [_protocol_text(box)]
    words += _side_text(box, Field.SOURCE, Field.SOURCE_PORT, "from")
    words += _side_text(box, Field.DESTINATION, Field.DESTINATION_PORT, "to")
    for field, word in ((Field.IN_INTERFACE, "in"), (Field.OUT_INTERFACE, "out")):
        names = [name for name in box.interfaces.get(field, ()) if name]
        if names:
            words.append(f"{word} {' or '.join(names)}")
    if box.states and set(box.states) not in _PLAIN_STATES:
        words.append("state " + " or ".join(state.value.lower() for state in box.states))
    if Field.TCP_FLAGS in box.ranges:
        words.append(_flags_in_words(box.ranges[Field.TCP_FLAGS]))
    for field, text in _STATE_FIELDS:
        if field in box.ranges and ConnectionState.NEW not in box.states:
            words.append(text if box.ranges[field][0][0] else f"not {text}")
    if box.marks:
        value = sum(1 << bit for bit, is_set in box.marks.items() if is_set)
        mask = sum(1 << bit for bit in box.marks)
        words.append(f"mark {value:#x}/{mask:#x}")
    if box.some:
        words.append(f"with some {' and '.join(box.some)}")
    for key, answer in box.example.oracles:
        words.append(f"where {key} is {'true' if answer else 'false'}")
    return " ".join(word for word in words if word)


def _protocol_text(box: Box) -> str:
    spans = box.ranges.get(Field.PROTOCOL)
    if spans is None:
        return "any protocol"
    numbers = {number for first, last in spans for number in range(first, last + 1)}
    others = set(range(256)) - numbers
    few, start = (numbers, "") if len(numbers) <= len(others) else (others, "any protocol but ")
    names = ["icmpv6" if n == ICMPV6 else PRINTED_NAMES.get(n, str(n)) for n in sorted(few)]
    text = start + " or ".join(names)
    if Field.ICMP_TYPE in box.ranges:
        text += f" type {_numbers(box.ranges[Field.ICMP_TYPE])}"
        if Field.ICMP_CODE in box.ranges:
            text += f" code {_numbers(box.ranges[Field.ICMP_CODE])}"
    return text


def _side_text(box: Box, side: Field, port: Field, word: str) -> list[str]:
    nets: tuple[Net, ...] = box.nets.get(side, ())
    parts = []
    if nets:
        parts.append(f"{word} {', '.join(map(str, nets))}")
    if port in box.ranges:
        start = "" if nets else f"{word} "
        parts.append(f"{start}port {_numbers(box.ranges[port])}")
    return parts


def _flags_in_words(spans: tuple[tuple[int, int], ...]) -> str:
    """Sets of flags, by what all of them (or all others) have and lack where that says it."""
    every = sum(TCP_FLAG_BITS.values())
    values = {flags for first, last in spans for flags in range(first, last + 1)}
    for those, start in ((values, ""), (set(range(every + 1)) - values, "not ")):
        some, all_ = reduce(or_, those, 0), reduce(and_, those, every)
        free = some & ~all_
        if those and len(those) == 1 << free.bit_count():
            words = [f"with flags {flags_text(all_)}"] if all_ else []
            words += [f"without flags {flags_text(every & ~some)}"] if every & ~some else []
            return start + " ".join(words)
    return f"TCP flags {_numbers(spans)}"


def _numbers(spans: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def difference_json(changes: Sequence[Changed]) -> str:
    """The same as JSON."""
    return json.dumps(difference_data(changes), indent=1) + "\n"


def difference_data(changes: Sequence[Changed]) -> dict[str, Any]:
    """The same as plain data; ``packets`` is a power of two."""

    def change_data(changed: Changed) -> dict[str, Any]:
        return {
            "family": changed.family.value,
            "path": changed.kind.value,
            "change": changed.change.value,
            "by": _by(changed).removeprefix(", ") or None,
            "packets": round(changed.exponent, 3),
            "whole": changed.is_whole,
            "boxes": [
                {"text": box_text(box), "example": example_text(box.example)}
                for box in changed.boxes
            ],
        }

    families = sorted({changed.family.value for changed in changes})
    return {
        "schema": 1,
        "same": not changes,
        "families": families,
        "changes": [change_data(changed) for changed in changes],
    }
