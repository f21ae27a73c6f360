"""Whether rules are the same, though two versions of iptables word them differently."""

from __future__ import annotations

from collections.abc import Sequence

from netfw.ir.names import Family


def same_rules(first: Sequence[str], second: Sequence[str], family: Family) -> bool:
    """Whether two lists hold the same rules in the same order."""
    if tuple(first) == tuple(second):
        return True
    return len(first) == len(second) and all(
        one == other or canonical(one, family) == canonical(other, family)
        for one, other in zip(first, second, strict=True)
    )


def canonical(text: str, family: Family) -> str:
    """A rule (its text behind ``-A CHAIN``) in netfw's own words, if it can be read."""
    # hardly ever needed, and all matches and targets are behind it
    from netfw.plan.own_words import in_own_words

    return in_own_words(text, family)
