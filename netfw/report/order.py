"""The documented order and its refinements, for ``netfw path``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from netfw.report.glyphs import Glyphs
from netfw.traverse.documented import DOCUMENTED, REFINEMENTS
from netfw.traverse.kernel_refinements import KERNEL_REFINEMENTS
from netfw.traverse.situation import Path


def order_lines(paths: Sequence[Path], glyphs: Glyphs, width: int = 80) -> Iterator[str]:
    """The documented order of some paths, and all refinements."""
    for path in paths:
        yield f"{path.value}:"
        drawn = f" {glyphs.arrow} ".join(DOCUMENTED[path].split())
        yield from textwrap.wrap(
            drawn,
            width,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield ""
    yield "The kernel refines this order:"
    for refinement in REFINEMENTS:
        reasons = (refinement.reason, f"source: {refinement.source}")
        yield from _named(refinement.name, reasons, width)
    yield ""
    yield "Kernels differ from each other:"
    for difference in KERNEL_REFINEMENTS:
        where = f"seen on {difference.seen_on}; not on {difference.absent_on}"
        said = (difference.reason, f"source: {difference.source}", where)
        yield from _named(difference.name, said, width)


def _named(name: str, said: Iterable[str], width: int) -> Iterator[str]:
    yield f"  {name}"
    indent = " " * 6
    for text in said:
        yield from textwrap.wrap(
            text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False
        )


def order_json(paths: Sequence[Path]) -> str:
    """The same as JSON."""
    data = {
        "paths": {path.name.lower(): DOCUMENTED[path].split() for path in paths},
        "refinements": [
            {
                "name": refinement.name,
                "reason": refinement.reason,
                "source": refinement.source,
            }
            for refinement in REFINEMENTS
        ],
        "kernels": [
            {
                "name": refinement.name,
                "reason": refinement.reason,
                "source": refinement.source,
                "seen_on": refinement.seen_on,
                "absent_on": refinement.absent_on,
            }
            for refinement in KERNEL_REFINEMENTS
        ],
    }
    return json.dumps(data, indent=1) + "\n"
