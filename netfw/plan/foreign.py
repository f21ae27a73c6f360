"""What others have beside what is ours on a host: never written, but to be respected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netfw.ir.names import Family, TableName


@dataclass(frozen=True, slots=True)
class ForeignTable:
    """Others' part of one table.

    ``lines`` are as iptables-save prints them, without counters: chains with their policies, then
    rules. ``hooks`` are the built-in chains that hold rules of others, and how many;
    ``ahead`` is how many of them stand before the first rule of ours, where there is one.
    """

    lines: tuple[str, ...] = ()
    hooks: Mapping[str, int] = field(default_factory=dict)
    ahead: Mapping[str, int] = field(default_factory=dict)
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Rules of others that go to a chain of ours or ask a set of ours, by its name."""
    strangers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Rules without our comment in chains of ours, by chain: put there by hand."""
    namesakes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Chains of others whose names begin like ours, with their rules."""

    @property
    def has_rules(self) -> bool:
        """Whether others have a rule here."""
        return any(line.startswith("-A ") for line in self.lines)


@dataclass(frozen=True, slots=True)
class Foreign:
    """Others' part of what a backend holds.

    ``unreadable`` are tables with rules of nftables that iptables does not print at all (nothing
    of ours is in them), ``inexact`` those in which it prints some of them wrongly: sets that
    nftables holds itself are left out. ``lists`` are sets of others that hold a set of ours, by
    its name.
    """

    tables: Mapping[tuple[Family, TableName], ForeignTable] = field(default_factory=dict)
    unreadable: frozenset[tuple[Family, TableName]] = frozenset()
    inexact: frozenset[tuple[Family, TableName]] = frozenset()
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def needed(self) -> frozenset[str]:
        """Names of ours, of chains and sets, that rules and lists of others need."""
        return frozenset(self.lists).union(*(table.references for table in self.tables.values()))

    @property
    def has_rules(self) -> bool:
        """Whether others have a rule anywhere."""
        return bool(self.unreadable) or any(table.has_rules for table in self.tables.values())
