"""What still stands for several rules becomes these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netfw.compiler.draft import Draft
from netfw.compiler.late_rule import LateRule
from netfw.ir.ruleset import Rule


def expand_rules(draft: Draft) -> Draft:
    """Make every late rule real. Raises PolicyError for one that would be too many."""
    return draft.with_rewritten(
        lambda chain: (
            replace(chain, rules=tuple(_expanded(chain.rules)))
            if any(isinstance(rule, LateRule) for rule in chain.rules)
            else chain
        )
    )


def _expanded(rules: tuple[Rule, ...]) -> Iterator[Rule]:
    for rule in rules:
        if isinstance(rule, LateRule):
            yield from rule.expand()
        else:
            yield rule
