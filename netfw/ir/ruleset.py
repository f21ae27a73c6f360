"""Rules in chains in tables: what a family's netfilter holds, or shall hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from netfw.ir.ipset import IpSet
from netfw.ir.match import CommentMatch, Match, SetMatch
from netfw.ir.names import (
    BUILTIN_CHAINS,
    OWN_CHAIN_PREFIX,
    OWN_COMMENT_PREFIX,
    ChainPolicy,
    Family,
    Hook,
    TableName,
)
from netfw.ir.origin import Origin
from netfw.ir.target import ChangeSet, Target


@dataclass(frozen=True, slots=True)
class Rule:
    """Matches, all of which must hold, and one target. Origin and counters are not compared.

    ``packets`` and ``octets`` are the kernel's counters, where they were read.
    """

    matches: tuple[Match, ...]
    target: Target
    origin: Origin | None = field(default=None, compare=False)
    packets: int = field(default=0, compare=False)
    octets: int = field(default=0, compare=False)

    @property
    def comment(self) -> str | None:
        """The text of the first comment, or None."""
        for match in self.matches:
            if isinstance(match, CommentMatch):
                return match.text
        return None

    @property
    def set_names(self) -> frozenset[str]:
        """The sets that the rule asks or changes; without them the kernel does not take it."""
        names = {match.name for match in self.matches if isinstance(match, SetMatch)}
        target = self.target
        if isinstance(target, ChangeSet):
            names |= {name for name, _ in filter(None, (target.add, target.delete, target.map))}
        return frozenset(names)

    @property
    def is_ours(self) -> bool:
        """Whether the comment says that netfw made this rule."""
        comment = self.comment
        return comment is not None and comment.startswith(OWN_COMMENT_PREFIX)


@dataclass(frozen=True, slots=True)
class Chain:
    """An ordered list of rules; a built-in chain has a chain policy, a user chain has none.

    Rules are counted from 1, as iptables does.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    policy: ChainPolicy | None = None

    @property
    def is_builtin(self) -> bool:
        """Whether a hook calls this chain."""
        return self.policy is not None

    @property
    def is_ours(self) -> bool:
        """Whether the name says that netfw made this chain."""
        return self.name.startswith(OWN_CHAIN_PREFIX)

    def rule(self, number: int) -> Rule:
        """The rule with this number, counted from 1; raises IndexError."""
        if number < 1:
            raise IndexError(f"rule numbers count from 1, got {number}")
        return self.rules[number - 1]


@dataclass(frozen=True, slots=True)
class Table:
    """Chains by name, built-in ones first."""

    name: TableName
    chains: tuple[Chain, ...]
    _by_name: Mapping[str, Chain] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {chain.name: chain for chain in self.chains}
        if len(by_name) != len(self.chains):
            names = [chain.name for chain in self.chains]
            double = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"table {self.name} has chain {double} twice")
        object.__setattr__(self, "_by_name", by_name)

    def chain(self, name: str) -> Chain:
        """The chain with this name; raises KeyError."""
        return self._by_name[name]

    def find_chain(self, name: str) -> Chain | None:
        """The chain with this name, or None."""
        return self._by_name.get(name)

    @classmethod
    def with_builtins(cls, name: TableName, chains: tuple[Chain, ...] = ()) -> Table:
        """A table that has all its built-in chains (policy ACCEPT where not given), then the rest,
        in the order in which iptables-save lists them."""
        given = {chain.name: chain for chain in chains}
        builtins = tuple(
            given.pop(hook.value, Chain(hook.value, policy=ChainPolicy.ACCEPT))
            for hook in BUILTIN_CHAINS[name]
        )
        return cls(name, builtins + tuple(given.values()))

    def builtin(self, hook: Hook) -> Chain | None:
        """The built-in chain of a hook, or None where the table has none (or it is not loaded)."""
        return self._by_name.get(hook.value)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The tables of one family. A table that is not there is not traversed.

    ``sets`` are those of ipset that rules may name, as far as they are known; those that a list
    names come before it. What a rule asks of another set is open.
    """

    family: Family
    tables: tuple[Table, ...] = ()
    sets: tuple[IpSet, ...] = ()

    def table(self, name: TableName) -> Table | None:
        """The table with this name, or None."""
        for table in self.tables:
            if table.name is name:
                return table
        return None

    def rules(self) -> Iterator[Rule]:
        """Every rule of every chain."""
        for table in self.tables:
            for chain in table.chains:
                yield from chain.rules

    @property
    def rule_count(self) -> int:
        """How many rules there are in all chains."""
        return sum(len(chain.rules) for table in self.tables for chain in table.chains)
