"""What a trace event's rule is called: its number, its text, and where a policy says it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from netfw.errors import FactError, HostError
from netfw.facts.nft_rule_texts import NftRule, NftRuleTexts, parse_rule_texts
from netfw.host.clock import since_boot
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_rules import LiveRules, read_rules
from netfw.host.nft_trace import rule_handles
from netfw.host.run import run
from netfw.ir.names import OWN_COMMENT_PREFIX, Backend, ChainPolicy, Family, TableName
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Rule, Ruleset, Table
from netfw.ir.target import (
    ChangeSet,
    Hmark,
    RestoreMark,
    SetMark,
    Tproxy,
    UnknownTarget,
)
from netfw.render.rule import render_rule

_AGAIN = 1.0
"""Seconds: no sooner are rules read again that were not there when the trace began."""
_NFT_FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}
_WRITES = re.compile(r"\bmeta mark set\b|\btproxy\b")
_WRITERS = (SetMark, RestoreMark, Hmark, Tproxy, UnknownTarget, ChangeSet)
"""Targets after which the packet's mark may be another one."""


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule of anybody's; ``rule`` is the rule of iptables, where it is one."""

    number: int
    text: str
    origin: Origin | None = None
    writes_mark: bool = False
    rule: Rule | None = None


@dataclass(frozen=True)
class FamilyNames:
    """The rules of iptables of a family, and the numbers of nf_tables' handles."""

    rules: LiveRules
    numbers: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    problem: str = ""


class RuleNames:
    """The rules of a namespace as they were when they were read."""

    def __init__(
        self,
        families: Mapping[Family, FamilyNames],
        texts: NftRuleTexts,
        origin_of: Callable[[str], Origin | None],
        read_texts: Callable[[], NftRuleTexts],
    ) -> None:
        self._families = families
        self._texts = texts
        self._read_texts = read_texts
        self._new_texts: NftRuleTexts | None = None
        self._read_at = since_boot()
        self._origin_of = origin_of
        self._known: dict[tuple[object, ...], NamedRule | None] = {}

    @classmethod
    def read(
        cls, namespace: LiveNamespace, origin_of: Callable[[str], Origin | None]
    ) -> RuleNames:
        """Look at all rules of a namespace; raises HostError."""
        inside = None if namespace.is_own else namespace

        def read_texts() -> NftRuleTexts:
            done = run(["nft", "-a", "list", "ruleset"], namespace=inside, check=False)
            return parse_rule_texts(done.stdout)

        families = {family: _read_family(namespace, family) for family in Family}
        return cls(families, read_texts(), origin_of, read_texts)

    @property
    def problems(self) -> tuple[str, ...]:
        """Whose rules could not be understood, and why."""
        return tuple(one.problem for one in self._families.values() if one.problem)

    @property
    def all_rules(self) -> dict[Family, LiveRules]:
        """The rules of each family that could be understood."""
        return {family: one.rules for family, one in self._families.items() if not one.problem}

    def rules(self, family: Family) -> LiveRules | None:
        """The rules of a family; None where they could not be understood."""
        return self.all_rules.get(family)

    @property
    def hooks(self) -> Mapping[tuple[str, str, str], str]:
        """The hook of each base chain of nf_tables, by family, table and chain."""
        return self._texts.hooks

    def is_of_iptables(self, family: Family, backend: Backend, table: str) -> bool:
        """Whether a table's rules are known as iptables has them."""
        ruleset = self._families[family].rules.rulesets.get(backend)
        return ruleset is not None and _table_of(ruleset, table) is not None

    def nft(
        self, family: Family, table_family: int, table: str, chain: str, handle: int
    ) -> NamedRule | None:
        """The rule of nf_tables with a handle; None for one that is not known."""
        key = (family, table_family, table, chain, handle)
        found = self._known.get(key)
        if found is None:
            found = self._find_nft(family, table_family, table, chain, handle)
            if found is not None:
                self._known[key] = found
        return found

    def _find_nft(
        self, family: Family, table_family: int, table: str, chain: str, handle: int
    ) -> NamedRule | None:
        name = _NFT_FAMILIES.get(table_family, "")
        if name != "inet":
            number = self._families[family].numbers.get((table, chain, handle))
            ruleset = self._families[family].rules.rulesets.get(Backend.NFT)
            found = None if number is None else self._of_iptables(ruleset, table, chain, number)
            if found is not None:
                return found
        one = self._text(name, table, chain, handle)
        if one is None:
            return None
        origin = self._origin(one.comment) if one.comment else None
        return NamedRule(one.number, one.text, origin, bool(_WRITES.search(one.text)))

    def _text(self, family: str, table: str, chain: str, handle: int) -> NftRule | None:
        """A rule as nft prints it; one that is new makes all be read again."""
        place = (family, table, chain)
        one = self._texts.rules.get(place, {}).get(handle)
        if one is None and self._new_texts is None and since_boot() - self._read_at < _AGAIN:
            self._new_texts = self._read_texts()
        elif one is None and since_boot() - self._read_at >= _AGAIN:
            self._new_texts, self._read_at = self._read_texts(), since_boot()
        if one is None and self._new_texts is not None:
            one = self._new_texts.rules.get(place, {}).get(handle)
            # the numbers of before do not count it
            one = None if one is None else replace(one, number=-1)
        return one

    def legacy(self, family: Family, table: str, chain: str, number: int) -> NamedRule | None:
        """A legacy rule; None where the number is that of the chain's end."""
        key = (family, table, chain, number)
        if key not in self._known:
            ruleset = self._families[family].rules.rulesets.get(Backend.LEGACY)
            self._known[key] = self._of_iptables(ruleset, table, chain, number)
        return self._known[key]

    def drops_at_end(self, family: Family, table: str, chain: str) -> bool:
        """Whether a legacy chain's policy is DROP."""
        ruleset = self._families[family].rules.rulesets.get(Backend.LEGACY)
        found = None if ruleset is None else _table_of(ruleset, table)
        found_chain = None if found is None else found.find_chain(chain)
        return found_chain is not None and found_chain.policy is ChainPolicy.DROP

    def _of_iptables(
        self, ruleset: Ruleset | None, table: str, chain: str, number: int
    ) -> NamedRule | None:
        found = None if ruleset is None else _table_of(ruleset, table)
        found_chain = None if found is None else found.find_chain(chain)
        if ruleset is None or found is None or found_chain is None:
            return None
        if not 0 < number <= len(found_chain.rules):
            return None
        rule = found_chain.rule(number)
        comment = rule.comment or ""
        return NamedRule(
            number,
            render_rule(rule, ruleset.family),
            self._origin(comment),
            isinstance(rule.target, _WRITERS),
            rule,
        )

    def _origin(self, comment: str) -> Origin | None:
        return self._origin_of(comment) if comment.startswith(OWN_COMMENT_PREFIX) else None


def _table_of(ruleset: Ruleset, name: str) -> Table | None:
    try:
        return ruleset.table(TableName(name))
    except ValueError:
        return None


def _read_family(namespace: LiveNamespace, family: Family) -> FamilyNames:
    try:
        rules = read_rules(namespace, family)
        handles = rule_handles(namespace, family)
    except (FactError, HostError) as error:
        return FamilyNames(LiveRules({}), problem=str(error).partition("\n")[0])
    except OSError as error:
        raise HostError.at("list of nft rules", str(error.strerror)) from None
    numbers = {
        (table, chain, handle): number
        for (table, chain), of_chain in handles.items()
        for number, handle in enumerate(of_chain, start=1)
    }
    return FamilyNames(rules, numbers)
