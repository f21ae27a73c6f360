"""Where two lists differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """Lines ``first`` to ``last`` (from 0, the last not included) that give way to others."""

    first: int
    last: int
    comes: Sequence[str]


def spans(
    before: Sequence[str], after: Sequence[str], most: int | None = None
) -> list[Span] | None:
    """The differences, in their order: a line that moves goes and comes.

    None where more than ``most`` lines stand between the first and the last difference, which are
    compared one by one.
    """
    start = 0
    shorter = min(len(before), len(after))
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if most is not None and max(len(old), len(new)) > most:
        return None
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return [
        Span(start + old_from, start + old_to, new[new_from:new_to])
        for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes()
        if kind != "equal"
    ]
