"""Rulesets as input for iptables-restore, in the form that iptables-save gives back."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.ir.names import Family
from netfw.ir.ruleset import Ruleset, Table
from netfw.render.rule import render_rule


def render_ruleset(ruleset: Ruleset) -> str:
    """All tables of a ruleset, each a transaction of its own."""
    return "".join(render_table(table, ruleset.family) for table in ruleset.tables)


def render_table(table: Table, family: Family) -> str:
    """One table: its chains with policies, its rules, COMMIT."""
    return "".join(f"{line}\n" for line in _lines(table, family))


def _lines(table: Table, family: Family) -> Iterator[str]:
    yield f"*{table.name}"
    for chain in table.chains:
        yield f":{chain.name} {chain.policy or '-'} [0:0]"
    for chain in table.chains:
        for rule in chain.rules:
            yield f"-A {chain.name} {render_rule(rule, family)}".rstrip()
    yield "COMMIT"
