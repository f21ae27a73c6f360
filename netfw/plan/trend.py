"""Whether rules come or go: what decides which table has to change first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

from netfw.ir.names import BUILTIN_CHAINS, Family, Hook, TableName
from netfw.plan.own import OwnTable
from netfw.plan.set_text import base_of, rename_sets, sets_named
from netfw.plan.wording import canonical

_LEADS_TO = re.compile(r" -[jg] (NETFW-\S+)")


class Trend(Enum):
    """How the rules of some hooks change."""

    NONE = "as they were"
    GROWS = "rules come, and all that were there stay, in their order"
    SHRINKS = "rules go, and none comes"
    TURNS = "rules come and go"


def trend_of(before: OwnTable, after: OwnTable, hooks: Iterable[Hook], family: Family) -> Trend:
    """How that changes what packets meet at these hooks."""
    names = [*hooks]
    old, new = chains_from(before, names), chains_from(after, names)
    pairs = [(before.calls.get(hook.value, ()), after.calls.get(hook.value, ())) for hook in names]
    pairs += [
        (before.chains.get(name, ()), after.chains.get(name, ()))
        for name in dict.fromkeys((*old, *new))
    ]
    pairs = [(plain(one), plain(other)) for one, other in pairs if one != other]
    grows = old.keys() <= new.keys() and all(_holds(new, old, family) for old, new in pairs)
    shrinks = new.keys() <= old.keys() and all(_holds(old, new, family) for old, new in pairs)
    if grows and shrinks:
        return Trend.NONE
    return Trend.GROWS if grows else Trend.SHRINKS if shrinks else Trend.TURNS


def chains_from(table: OwnTable, hooks: Iterable[Hook]) -> dict[str, None]:
    """Our chains to which built-in chains lead."""
    found: dict[str, None] = {}
    waiting = [*_named_in(rule for hook in hooks for rule in table.calls.get(hook.value, ()))]
    while waiting:
        name = waiting.pop()
        if name not in found and name in table.chains:
            found[name] = None
            waiting += _named_in(table.chains[name])
    return found


def hooks_of(table: TableName, *, without: Hook | None = None) -> list[Hook]:
    """The hooks of a table."""
    return [hook for hook in BUILTIN_CHAINS[table] if hook is not without]


def plain(rules: Sequence[str]) -> tuple[str, ...]:
    """With the names that the policy gives to sets."""
    return tuple(plain_rule(text) for text in rules)


def plain_rule(text: str) -> str:
    """With the names that the policy gives to sets."""
    return rename_sets(text, {name: base_of(name) for name in sets_named(text)})


def _named_in(rules: Iterable[str]) -> Iterator[str]:
    for text in rules:
        yield from _LEADS_TO.findall(f" {text}")


def _holds(many: Sequence[str], few: Sequence[str], family: Family) -> bool:
    """Whether all of the few are among the many, in their order."""
    rest = iter(many)
    return all(any(_is_same(one, other, family) for other in rest) for one in few)


def _is_same(one: str, other: str, family: Family) -> bool:
    return one == other or canonical(one, family) == canonical(other, family)
