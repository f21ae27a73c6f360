"""A free mark field, in lines and as plain data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from netfw.doctor.free_field import FreeField
from netfw.ir.mark_field import DEFAULT_FIELD_MASK
from netfw.report.doctor import spot_data, spot_text

_WIDTH = 99
_SOME = 5


def free_lines(found: FreeField) -> Iterator[str]:
    """The field, who else knows it, and how a policy is moved to it."""
    if not found.mask:
        yield f"{found.host}: no four bits in a row are free: {found.touched:#x} are in use"
        return
    scope = "" if found.is_complete else " that could be read"
    text = f"{found.host}: nothing{scope} touches {found.mask:#x}; in use are {found.touched:#x}"
    yield from textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
    count = len(found.known)
    names = "; ".join(one.title for one in found.known)
    programs = f"{count} known program{'s' if count != 1 else ''}"
    said = (
        f"elsewhere {programs} can set a bit of it: {names}" if count else "nobody known sets it"
    )
    yield from textwrap.wrap(said, _WIDTH, subsequent_indent="  ")
    for spot in found.whole[:_SOME]:
        yield f"mind: {spot_text(spot)} replaces all 32 bits, of any field"
    if len(found.whole) > _SOME:
        yield f"mind: {len(found.whole) - _SOME} further rules do"
    if found.mask == DEFAULT_FIELD_MASK:
        yield "this is the field that a policy has if it says nothing of marks"
        return
    yield "to move a policy there, write in it:"
    yield f"  marks: {{mask: {found.mask:#010x}}}"
    yield "then look at it with 'netfw plan POLICY', and put it in place with 'netfw apply POLICY'"


def free_data(found: FreeField) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "schema": 1,
        "host": found.host,
        "mask": f"{found.mask:#x}" if found.mask else None,
        "touched": f"{found.touched:#x}",
        "is_complete": found.is_complete,
        "known": [{"name": one.title, "sources": list(one.sources)} for one in found.known],
        "replaced_by": [spot_data(spot) for spot in found.whole],
    }
