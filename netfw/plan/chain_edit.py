"""A few rules of a chain that come and go, as commands of iptables-restore.

All other rules of the chain are not written again: that takes less time, and they keep what the
kernel has counted for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_MOST_LINES = 1_000
"""Lines between the first and the last difference that are compared one by one."""


class _Span(NamedTuple):
    """Rules ``first`` to ``last`` (from 0, the last not included) that give way to others."""

    first: int
    last: int
    comes: Sequence[str]


def edits(chain: str, before: Sequence[str], after: Sequence[str]) -> list[str] | None:
    """What leads from one list of rules to the other; None where the chain is better written anew,
    since less than half of its rules stays.

    Rules that go are named by their numbers: the numbers hold as long
    as nobody else writes in a chain of ours.
    """
    spans = _spans(before, after)
    if spans is None:
        return None
    gone = sum(span.last - span.first for span in spans)
    come = sum(len(span.comes) for span in spans)
    if gone + come > (len(before) - gone):
        return None
    # from the end, so that the numbers of those before stay
    return [line for span in reversed(spans) for line in _commands(chain, span, len(before))]


def _commands(chain: str, span: _Span, count: int) -> Iterator[str]:
    first = span.first + 1
    if span.first == count:
        yield from (f"-A {chain} {text}" for text in span.comes)
        return
    # before what goes: each stands in front of a rule that was there already
    yield from (f"-I {chain} {number} {text}" for number, text in enumerate(span.comes, first))
    yield from (f"-D {chain} {first + len(span.comes)}" for _ in range(span.first, span.last))


def _spans(before: Sequence[str], after: Sequence[str]) -> list[_Span] | None:
    """The differences, in their order; None where they are too far apart to be compared."""
    from difflib import SequenceMatcher

    start = 0
    shorter = min(len(before), len(after))
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if max(len(old), len(new)) > _MOST_LINES:
        return None
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return [
        _Span(start + old_from, start + old_to, new[new_from:new_to])
        for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes()
        if kind != "equal"
    ]
