"""A few rules of a chain that come and go, as commands of iptables-restore.

All other rules of the chain are not written again: that takes less time, and they keep what the
kernel has counted for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netfw.plan.span import Span, spans

_MOST_LINES = 1_000
"""Lines between the first and the last difference that are compared one by one."""


def edits(chain: str, before: Sequence[str], after: Sequence[str]) -> list[str] | None:
    """What leads from one list of rules to the other; None where the chain is better written anew,
    since less than half of its rules stays.

    Rules that go are named by their numbers, which hold as long as nobody else writes in a chain
    of ours.
    """
    found = spans(before, after, _MOST_LINES)
    if found is None:
        return None
    gone = sum(span.last - span.first for span in found)
    come = sum(len(span.comes) for span in found)
    if gone + come > (len(before) - gone):
        return None
    # from the end, so that the numbers of those before stay
    return [line for span in reversed(found) for line in _commands(chain, span, len(before))]


def _commands(chain: str, span: Span, count: int) -> Iterator[str]:
    first = span.first + 1
    if span.first == count:
        yield from (f"-A {chain} {text}" for text in span.comes)
        return
    # before what goes: each stands in front of a rule that was there already
    yield from (f"-I {chain} {number} {text}" for number, text in enumerate(span.comes, first))
    yield from (f"-D {chain} {first + len(span.comes)}" for _ in range(span.first, span.last))
