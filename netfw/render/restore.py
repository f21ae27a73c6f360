"""Rulesets as input for iptables-restore, in the form that iptables-save gives back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netfw.ir.limits import check_chain_name
from netfw.ir.names import Family, TableName
from netfw.ir.ruleset import Chain, Ruleset, Table
from netfw.render.rule import render_rule


def render_ruleset(ruleset: Ruleset) -> str:
    """All tables of a ruleset, each a transaction of its own, for a full load.

    Loaded with ``--noflush`` it replaces the user chains that it names and appends to the
    built-in ones. Raises ValueError with place and reason for what iptables cannot hold.
    """
    return "".join(render_table(table, ruleset.family) for table in ruleset.tables)


def render_table(table: Table, family: Family) -> str:
    """One table: its chains with policies, its rules, COMMIT. Raises as ``render_ruleset``."""
    return render_chains(table.name, table.chains, family)


def render_chains(table: TableName, chains: Iterable[Chain], family: Family) -> str:
    """Some chains of a table as one transaction, to be loaded with ``--noflush``.

    Naming a user chain empties it first, so that a chain of ours is replaced as a whole and
    chains that are not named stay as they are. Raises as ``render_ruleset``.
    """
    return "".join(f"{line}\n" for line in _lines(table, tuple(chains), family))


def render_chain(chain: Chain, family: Family) -> Iterator[str]:
    """The ``-A`` lines of a chain. Raises ValueError with the number of the rule."""
    for number, rule in enumerate(chain.rules, 1):
        try:
            yield f"-A {chain.name} {render_rule(rule, family)}".rstrip(" ")
        except ValueError as error:
            raise ValueError(f"{chain.name}:{number}: {error}") from None


def _lines(table: TableName, chains: tuple[Chain, ...], family: Family) -> Iterator[str]:
    yield f"*{table}"
    for chain in chains:
        check_chain_name(chain.name)
        yield f":{chain.name} {chain.policy or '-'} [0:0]"
    for chain in chains:
        yield from render_chain(chain, family)
    yield "COMMIT"
