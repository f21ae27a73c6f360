"""What passes hand to each other: the policy, and the chains of one family made so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from netfw.errors import NetfwBug, Where
from netfw.ir.ipset import IpSet
from netfw.ir.mark_field import MarkField
from netfw.ir.match import CommentMatch, Match
from netfw.ir.names import OWN_COMMENT_PREFIX, Family, TableName
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Target
from netfw.policy.model import Policy


@dataclass(frozen=True, slots=True)
class Draft:
    """A ruleset in the making. Passes return a new one and never change what they get."""

    policy: Policy
    family: Family
    chains: Mapping[TableName, tuple[Chain, ...]]
    sets: Mapping[str, IpSet] = field(default_factory=lambda: MappingProxyType({}))
    """Sets by name; chains in several tables may share one."""
    folded: tuple[Origin, ...] = ()
    """The origins of rules of the policy that stand in sets."""

    @property
    def field(self) -> MarkField:
        """The bits of the mark that the policy gives us."""
        return self.policy.field

    @property
    def file(self) -> Where:
        """The origin of rules that no line of the policy asks for."""
        return Where(self.policy.file)

    def with_chains(self, table: TableName, *chains: Chain) -> Draft:
        """This draft with further chains."""
        return replace(
            self, chains={**self.chains, table: self.chains.get(table, ()) + tuple(chains)}
        )

    def with_rules(self, table: TableName, name: str, *rules: Rule) -> Draft:
        """This draft with rules at the end of a chain, which is made if it is not there yet."""
        chains = self.in_table(table)
        if self.find_chain(table, name) is None:
            return self.with_chains(table, Chain(name, rules))
        extended = tuple(
            replace(chain, rules=chain.rules + rules) if chain.name == name else chain
            for chain in chains
        )
        return replace(self, chains={**self.chains, table: extended})

    def with_rewritten(self, rewrite: Callable[[Chain], Chain]) -> Draft:
        """This draft with every chain replaced by what becomes of it."""
        return replace(
            self,
            chains={table: tuple(map(rewrite, chains)) for table, chains in self.chains.items()},
        )

    def with_sets(self, sets: Iterable[IpSet], origins: Iterable[Origin]) -> Draft:
        """This draft with further sets, and with the origins of what is in them.

        Raises NetfwBug for another one with a name that is taken.
        """
        known = dict(self.sets)
        for ipset in sets:
            if known.setdefault(ipset.name, ipset) != ipset:
                raise NetfwBug.at(f"set {ipset.name}", "two sets have the same name")
        return replace(self, sets=known, folded=(*self.folded, *origins))

    def origins(self) -> Iterator[Origin]:
        """Where rules and members come from; many share one."""
        yield from self.folded
        for chains in self.chains.values():
            for chain in chains:
                for rule in chain.rules:
                    if rule.origin is not None:
                        yield rule.origin

    def in_table(self, table: TableName) -> tuple[Chain, ...]:
        """The chains of a table so far."""
        return self.chains.get(table, ())

    def find_chain(self, table: TableName, name: str) -> Chain | None:
        """A chain that an earlier pass made, or None."""
        return next((chain for chain in self.in_table(table) if chain.name == name), None)


Pass = Callable[[Draft], Draft]


def make_rule(origin: Origin, target: Target, *matches: Match) -> Rule:
    """A rule with its identity in the comment, which stands last, where iptables-save puts it."""
    comment = CommentMatch(OWN_COMMENT_PREFIX + origin.identity)
    return Rule((*matches, comment), target, origin)
