"""The chains of those rules that have exceptions, or count packets over several terms."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft
from netfw.compiler.policy_rule import Place, chain_of
from netfw.compiler.verdict import allowing
from netfw.ir.names import TableName
from netfw.ir.ruleset import Chain
from netfw.ir.target import Jump


def build_rule_chains(draft: Draft) -> Draft:
    """Make the chain of every rule that calls one, in each table where it stands."""
    called = {table: list(_called(chains)) for table, chains in draft.chains.items()}
    made_already = {chain.name for chains in draft.chains.values() for chain in chains}
    if made_already.issuperset(name for names in called.values() for name in names):
        # most policies have no such rule, and many others
        return draft
    by_name = {
        chain_name.chain_of_rule(rule.identity): (direction, rule)
        for direction, rule in draft.policy.rules()
    }
    for table, names in called.items():
        made = []
        for name in names:
            if name in by_name:
                direction, rule = by_name[name]
                place = Place(table is TableName.FILTER, allowing(draft, table, direction))
                made.append(chain_of(rule, draft.family, place))
        if made:
            draft = draft.with_chains(table, *made)
    return draft


def _called(chains: tuple[Chain, ...]) -> Iterator[str]:
    """The names of the chains that are jumped to, each once."""
    names = (
        rule.target.chain
        for chain in chains
        for rule in chain.rules
        if isinstance(rule.target, Jump)
    )
    yield from dict.fromkeys(names)
