"""What ``iptables-save`` prints, taken apart into what is ours and what is not.

Lines are not read into types: what is ours goes back as it was printed, whichever version of
iptables printed it, and what others have is nobody's business but their own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from netfw.errors import FactError
from netfw.facts.table_name import table_of
from netfw.ir.names import BUILTIN_CHAINS, OWN_CHAIN_PREFIX, OWN_COMMENT_PREFIX, Family, TableName
from netfw.plan.count import Count
from netfw.plan.foreign import ForeignTable
from netfw.plan.own import OwnTable

HOOK_COMMENT = f'--comment "{OWN_COMMENT_PREFIX}hook/'
"""What rules of ours in built-in chains have. iptables quotes a comment with a colon, and writes
quotes inside of quotes with a backslash: so this stands nowhere but where a comment begins."""
_OWN_COMMENT = f'--comment "{OWN_COMMENT_PREFIX}'
_IDENTITY = re.compile(f'{re.escape(_OWN_COMMENT)}([^"]*)"')
_GOES_TO = re.compile(rf" -[jg] ({re.escape(OWN_CHAIN_PREFIX)}[^\s\"]+)$")
_ASKS = re.compile(
    rf" --(?:match-set|add-set|del-set|map-set) ({re.escape(OWN_CHAIN_PREFIX)}[^\s\"]+)"
)
_TO_EXCEPTIONS = re.compile(rf" -j {re.escape(OWN_CHAIN_PREFIX)}(?:X|XC|N)-\S+$")
_EXCEPTIONS = tuple(f"{OWN_CHAIN_PREFIX}{kind}-" for kind in ("X", "XC", "N"))
"""Chains that a rule of the policy has for itself: what they hold has its identity too."""


@dataclass(frozen=True, slots=True)
class TableParts:
    """One table, taken apart.

    ``counts`` are by identity, where counters were printed: of all rules that have it in this
    table, but for those that lead to the exceptions of a rule or back from them.
    """

    own: OwnTable
    foreign: ForeignTable
    counts: Mapping[str, Count] = field(default_factory=dict)


def read_saved(
    text: str,
    family: Family,
    file: str,
    recorded: Mapping[tuple[Family, TableName], OwnTable] | None = None,
) -> dict[TableName, TableParts]:
    """Take apart the tables of one family, with or without counters.

    A chain of our prefix is ours unless it holds rules, none of which has our comment; one of
    ``recorded`` is ours whatever it holds. Raises FactError with the line that iptables-save
    would not print.
    """
    drafts: dict[TableName, _Draft] = {}
    draft: _Draft | None = None
    for number, line in enumerate(text.split("\n"), 1):
        try:
            if line.startswith("-A ") or line.startswith("["):
                if draft is None:
                    raise ValueError("this line stands in no table")
                draft.take_rule(line)
            elif not line or line.startswith("#"):
                continue
            elif line.startswith(":") and draft is not None:
                draft.take_chain(line)
            elif line.startswith("*"):
                name = table_of(line[1:])
                if draft is not None or name in drafts:
                    raise ValueError(f"table '{name}' comes in the middle of another, or again")
                drafts[name] = draft = _Draft(name)
            elif line == "COMMIT" and draft is not None:
                draft = None
            else:
                raise ValueError(f"'{line}' is not what iptables-save prints")
        except ValueError as error:
            raise FactError.at(f"{file}:{number}", f"not understood: {error}") from None
    if draft is not None:
        raise FactError.at(file, f"table '{draft.name}' is never committed")
    known = recorded or {}
    return {
        name: each.finished(known.get((family, name), OwnTable()).chains)
        for name, each in drafts.items()
    }


class _Draft:
    """A table while its lines are read."""

    def __init__(self, name: TableName) -> None:
        self.name = name
        self.chains: dict[str, list[str]] = {}
        """Those of our prefix."""
        self.calls: dict[str, list[str]] = {}
        self.hooks = dict.fromkeys((hook.value for hook in BUILTIN_CHAINS[name]), 0)
        """How many rules of others are in a built-in chain."""
        self.ahead: dict[str, int] = {}
        self.heads: list[str] = []
        self.lines: list[str] = []
        self.ours: set[str] = set()
        """Chains in which a rule has our comment."""
        self.counts: dict[str, Count] = {}

    def take_chain(self, line: str) -> None:
        name, policy, *_ = f"{line[1:]}  ".split(" ")
        if name.startswith(OWN_CHAIN_PREFIX):
            self.chains[name] = []
        else:
            self.heads.append(f":{name} {policy}")

    def take_rule(self, line: str) -> None:
        counters = ""
        if line[0] == "[":
            counters, _, line = line[1:].partition("] ")
            if not line.startswith("-A "):
                raise ValueError("behind the counters there is no rule")
        chain, _, text = line[3:].partition(" ")
        is_ours = _OWN_COMMENT in text
        if chain in self.chains:
            self.chains[chain].append(text)
            if is_ours:
                self.ours.add(chain)
        elif is_ours and chain in self.hooks and HOOK_COMMENT in text:
            self.calls.setdefault(chain, []).append(text)
            self.ahead.setdefault(chain, self.hooks[chain])
        else:
            is_ours = False
            self.lines.append(line)
            if chain in self.hooks:
                self.hooks[chain] += 1
        if counters and is_ours:
            self._count(chain, text, counters)

    def _count(self, chain: str, text: str, counters: str) -> None:
        found = _IDENTITY.search(text)
        comes_back = text.endswith(" -j RETURN") and chain.startswith(_EXCEPTIONS)
        if found is None or comes_back or _TO_EXCEPTIONS.search(text):
            return
        packets, _, octets = counters.partition(":")
        before = self.counts.get(found[1], Count())
        self.counts[found[1]] = before + Count(int(packets), int(octets))

    def finished(self, recorded: Collection[str]) -> TableParts:
        chains = {name: tuple(rules) for name, rules in self.chains.items()}
        namesakes = {
            name: rules
            for name, rules in chains.items()
            if rules and name not in self.ours and name not in recorded
        }
        own = {name: rules for name, rules in chains.items() if name not in namesakes}
        strangers = {
            name: odd
            for name, rules in own.items()
            if (odd := tuple(text for text in rules if _OWN_COMMENT not in text))
        }
        heads = [*self.heads, *(f":{name} -" for name in namesakes)]
        lines = [
            *self.lines,
            *(f"-A {name} {text}" for name, rules in namesakes.items() for text in rules),
        ]
        foreign = ForeignTable(
            (*heads, *lines),
            {hook: count for hook, count in self.hooks.items() if count},
            self.ahead,
            _references(lines),
            strangers,
            namesakes,
        )
        calls = {hook: tuple(texts) for hook, texts in self.calls.items()}
        return TableParts(OwnTable(own, calls), foreign, self.counts)


def _references(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Lines that name a chain or set of ours, by its name."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if OWN_CHAIN_PREFIX not in line:
            continue
        names = {*_GOES_TO.findall(line), *_ASKS.findall(line)}
        for name in names:
            found.setdefault(name, []).append(line)
    return {name: tuple(those) for name, those in found.items()}
