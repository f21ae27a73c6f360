"""What others have that a plan would break: said before anything is written."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.errors import Fault
from netfw.ir.names import Family
from netfw.plan.foreign import Foreign
from netfw.plan.own import Own, OwnTable
from netfw.plan.plan import Plan
from netfw.plan.step import LoadSets, LoadTable, describe


def refusals(now: Own, wanted: Own, foreign: Foreign, found: Plan) -> Iterator[Fault]:
    """A fault for each chain that only looks like ours, in a table in which rules of ours are
    wanted; for each rule of others that needs a chain or set of ours which would go; and for each
    table of others that iptables does not show."""
    yield from _unreadable(foreign, found)
    sets_that_go = {
        line.removeprefix("destroy ")
        for step in found.steps
        if isinstance(step, LoadSets)
        for line in step.text.splitlines()
        if line.startswith("destroy ")
    }
    for place, table in foreign.tables.items():
        family, name = place
        where = f"{family} table {name}"
        # whoever takes everything away need not mind
        namesakes = table.namesakes if place in wanted.tables else {}
        for chain, rules in namesakes.items():
            yield Fault(
                where,
                f"chain {chain} has {len(rules)} {'rule' if len(rules) == 1 else 'rules'}"
                " that netfw did not make, and netfw's own chains begin like that",
                f"rename it: {_program(family.value)} -t {name} -E {chain} OTHER-NAME",
            )
        chains_that_stay = wanted.tables.get(place, OwnTable()).chains.keys()
        for needed, lines in table.references.items():
            chains = now.tables.get(place, OwnTable()).chains
            if needed in sets_that_go or (needed in chains and needed not in chains_that_stay):
                for line in lines:
                    yield Fault(
                        where,
                        f"a rule of others needs {needed}, which would go: {line}",
                        "take that rule out first",
                    )
    for held, lists in foreign.lists.items():
        if held in sets_that_go:
            yield Fault(
                f"set {held}",
                f"sets of others hold it, and it would go: {', '.join(lists)}",
                f"take it out first: ipset del {lists[0]} {held}",
            )


def _unreadable(foreign: Foreign, found: Plan) -> Iterator[Fault]:
    for step in found.steps:
        if isinstance(step, LoadTable) and (step.family, step.table) in foreign.unreadable:
            table = f"{'ip' if step.family is Family.IPV4 else 'ip6'} {step.table}"
            yield Fault(
                describe(step),
                "somebody put rules of nftables into it, which iptables does not show",
                f"see 'nft list table {table}', and put them into a table of their own",
            )


def _program(version: int) -> str:
    return "iptables" if version == 4 else "ip6tables"
