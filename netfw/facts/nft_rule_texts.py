"""The rules of nf_tables as ``nft -a list ruleset`` prints them: a text for every handle."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TABLE = re.compile(r"table (\S+) (\S+) \{(?: # handle \d+)?$")
_CHAIN = re.compile(r"\tchain (\S+) \{(?: # handle \d+)?$")
_RULE = re.compile(r"\t\t(.*\S) # handle (\d+)$")
_HOOK = re.compile(r"\t\ttype \S+ hook (\S+) .*priority ([^;]+);(?: policy (\S+);)?")
_COUNTED = re.compile(r" ?counter packets \d+ bytes \d+")
_COMMENT = re.compile(r' comment "([^"]*)"$')

ChainKey = tuple[str, str, str]
"""Family as nft writes it (``ip``, ``inet``), table and chain."""


@dataclass(frozen=True, slots=True)
class NftRule:
    """A rule: its place in its chain (from 1), and its text without counters and comment."""

    number: int
    text: str
    comment: str = ""


@dataclass(slots=True)
class NftRuleTexts:
    """All rules by chain and handle, and the hook of each base chain (``prerouting``, …)."""

    rules: dict[ChainKey, dict[int, NftRule]] = field(default_factory=dict)
    hooks: dict[ChainKey, str] = field(default_factory=dict)


def parse_rule_texts(text: str) -> NftRuleTexts:
    """Read a listing; lines that are of no rule are passed over."""
    found = NftRuleTexts()
    family = table = ""
    here: ChainKey | None = None
    for line in text.splitlines():
        if opened := _TABLE.match(line):
            family, table = opened[1], opened[2]
        elif opened := _CHAIN.match(line):
            here = (family, table, opened[1])
            found.rules[here] = {}
        elif line == "\t}":
            here = None
        elif here is not None:
            if hook := _HOOK.match(line):
                found.hooks[here] = hook[1]
            elif rule := _RULE.match(line):
                chain = found.rules[here]
                words = _COUNTED.sub("", rule[1])
                comment = _COMMENT.search(words)
                if comment is not None:
                    words = words[: comment.start()]
                said = "" if comment is None else comment[1]
                chain[int(rule[2])] = NftRule(len(chain) + 1, words.strip(), said)
    return found
