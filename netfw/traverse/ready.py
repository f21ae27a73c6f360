"""Rules made ready for the walk, and what the way depends on besides them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from netfw.ir.match import SetMatch
from netfw.ir.names import ChainPolicy, Hook, TableName
from netfw.ir.target import Target
from netfw.traverse.connection import Conntrack
from netfw.traverse.evaluate import Predicate
from netfw.traverse.hooks import KernelPoint
from netfw.traverse.host_facts import HostFacts
from netfw.traverse.skb import Skb
from netfw.traverse.traversal import RulePlace


class ReadyRule(NamedTuple):
    """A rule made ready for the walk."""

    number: int
    predicates: tuple[Predicate, ...]
    target: Target
    asked: tuple[SetMatch, ...] = ()
    """The sets in which it finds packets."""


@dataclass(frozen=True, slots=True)
class ReadyChain:
    name: str
    rules: tuple[ReadyRule, ...]
    policy: ChainPolicy | None

    def candidates(self, _skb: Skb, position: int) -> Iterable[ReadyRule]:
        """The rules behind a position that a packet may match: here all of them."""
        return self.rules[position:] if position else self.rules


class WalkedChain(Protocol):
    """A chain as the walk needs it; one that is read from text leaves out what cannot match."""

    @property
    def name(self) -> str:
        """The chain's name."""

    @property
    def policy(self) -> ChainPolicy | None:
        """The chain policy of a built-in chain."""

    def candidates(self, skb: Skb, position: int) -> Iterable[ReadyRule]:
        """The rules behind a position, in order, without some that a packet does not match."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A ruleset made ready, and what the way depends on besides it.

    ``points`` are the tables and kernel functions at each hook, in order.
    """

    chains: Mapping[tuple[TableName, str], WalkedChain]
    points: Mapping[Hook, tuple[TableName | KernelPoint, ...]]
    facts: HostFacts
    conntrack: Conntrack
    conntrack_is_on: bool
    writes_connmarks: bool
    broadcasts: frozenset[int]
    changed_sets: set[str]
    """Sets to which packets have added something, or taken it away; the walk adds to them."""
    assumed: Mapping[RulePlace, bool] = field(default_factory=dict)
    """Whether rules match of which nobody knows it: only to see what would become of a packet."""
