"""Rulesets made ready for the stage: every station there, and TRACE at both entrances."""

from __future__ import annotations

from dataclasses import replace

from netfw.ir.match import CommentMatch
from netfw.ir.names import OWN_COMMENT_PREFIX, Hook, TableName
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table
from netfw.ir.target import Trace

TRACE_RULE = Rule((CommentMatch(f"{OWN_COMMENT_PREFIX}trace"),), Trace())
TRACED_CHAINS = frozenset(
    {(TableName.RAW, Hook.PREROUTING.value), (TableName.RAW, Hook.OUTPUT.value)}
)
"""Where TRACE stands, always as the first rule: the first tables that a packet meets.
The kernel accepts it in raw only (xt_TRACE.c)."""


def with_all_stations(ruleset: Ruleset, lacking: frozenset[TableName] = frozenset()) -> Ruleset:
    """The ruleset with every table and built-in chain, so that the whole order can be seen.

    Tables that the kernel is ``lacking`` are added only where the ruleset has rules for them.
    """
    tables = []
    for name in TableName:
        table = ruleset.table(name)
        if table is not None or name not in lacking:
            tables.append(Table.with_builtins(name, () if table is None else table.chains))
    return replace(ruleset, tables=tuple(tables))


def with_trace(ruleset: Ruleset) -> Ruleset:
    """The ruleset with TRACE as the first rule of raw PREROUTING and OUTPUT."""
    return replace(
        ruleset,
        tables=tuple(
            Table(table.name, tuple(_traced(table.name, chain) for chain in table.chains))
            for table in ruleset.tables
        ),
    )


def _traced(table: TableName, chain: Chain) -> Chain:
    if (table, chain.name) not in TRACED_CHAINS:
        return chain
    return replace(chain, rules=(TRACE_RULE, *chain.rules))
