"""What is ours on a host as rulesets, so that it can be walked, compared and explained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.names import BUILTIN_CHAINS, Family
from netfw.ir.ruleset import Ruleset
from netfw.plan.own import Own


def rulesets_of(own: Own) -> dict[Family, Ruleset]:
    """A ruleset for each family, as if nobody else had rules. Raises FactError for rules of ours
    that cannot be read."""
    return {family: _ruleset(own, family) for family in Family}


def _ruleset(own: Own, family: Family) -> Ruleset:
    text = "".join(f"{line}\n" for line in _lines(own, family))
    ruleset = parse_ruleset(text, family, "netfw's rules on this host")
    sets = tuple(ipset for ipset in own.sets.values() if ipset.family is family)
    return replace(ruleset, sets=sets)


def _lines(own: Own, family: Family) -> Iterator[str]:
    """As iptables-save would print it."""
    for (of, table), held in own.tables.items():
        if of is not family:
            continue
        yield f"*{table}"
        yield from (f":{hook.value} ACCEPT [0:0]" for hook in BUILTIN_CHAINS[table])
        yield from (f":{name} - [0:0]" for name in held.chains)
        for chains in (held.calls, held.chains):
            for name, rules in chains.items():
                yield from (f"-A {name} {text}" for text in rules)
        yield "COMMIT"
