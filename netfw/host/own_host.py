"""What a host holds of ours, and what others have beside it. Only looks; creates no table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from netfw.errors import ConflictError, HostError
from netfw.host.namespace import Namespace
from netfw.host.nft_chains import chains_of
from netfw.host.nft_sets import tables_with_sets
from netfw.host.own_routing import read_routing
from netfw.host.saved import Saved
from netfw.host.saved_text import save_program
from netfw.host.sysctl import read_settings
from netfw.ir.names import OWN_CHAIN_PREFIX, Backend, Family, TableName
from netfw.plan.count import Counts
from netfw.plan.foreign import Foreign
from netfw.plan.own import Own, OwnTable
from netfw.plan.own_saved import TableParts, read_saved
from netfw.plan.own_sets import read_saved_sets, read_set_counts
from netfw.plan.set_text import sets_named

_NOT_SHOWN = re.compile(r"^# Table `(\w+)' is incompatible", re.MULTILINE)
Place = tuple[Family, TableName]


@dataclass(frozen=True, slots=True)
class _Rules:
    """The tables of a backend, both families."""

    tables: Mapping[Place, TableParts]
    unreadable: frozenset[Place] = field(default_factory=frozenset)
    inexact: frozenset[Place] = field(default_factory=frozenset)


def read_own(
    backend: Backend,
    namespace: Namespace | None = None,
    recorded: Own | None = None,
    saved: Saved | None = None,
) -> tuple[Own, Foreign]:
    """What of ours a host holds in a backend, and others' part of it.

    ``recorded`` is what netfw put there as far as it knows, of one entry of its history or of
    several: routing and sysctls are looked for if they are in it, since the host does not say
    whose they are; sysctls with the values that they have now. A chain of our prefix that holds
    nothing of ours is ours if it is in it, and large sets that are in it are read faster.
    ``saved`` is what was asked of this backend already.

    Raises HostError with what a program said, CapabilityError where one is missing or we may not
    look, ConflictError where something of ours stands in a table that iptables cannot show, and
    FactError for what was printed that netfw cannot read.
    """
    known = recorded or Own()
    said = saved or Saved(backend, namespace)
    rules = _read_rules(said, known)
    tables = {place: table.own for place, table in rules.tables.items() if not table.own.is_empty}
    text = _sets_text(said, tables)
    sets = read_saved_sets(text, "ipset save", known.sets.values())
    routing = {
        family: lines
        for family, wanted in known.routing.items()
        if (lines := read_routing(namespace, family, wanted))
    }
    own = Own(tables, sets.own, routing, read_settings(known.settings, namespace))
    others = {place: table.foreign for place, table in rules.tables.items()}
    return own, Foreign(others, rules.unreadable, rules.inexact, sets.lists)


def read_tables(
    backend: Backend, namespace: Namespace | None = None
) -> tuple[dict[Place, OwnTable], Foreign]:
    """The rules alone, which is less to read: ours, and others'. Raises as ``read_own``."""
    rules = _read_rules(Saved(backend, namespace, sets=False), Own())
    own = {place: table.own for place, table in rules.tables.items() if not table.own.is_empty}
    others = {place: table.foreign for place, table in rules.tables.items()}
    return own, Foreign(others, rules.unreadable, rules.inexact)


def read_counts(backend: Backend, namespace: Namespace | None = None) -> Counts:
    """What the kernel has counted for rules of ours. Raises as ``read_own``."""
    said = Saved(backend, namespace, counters=True)
    rules = _read_rules(said, Own())
    tables = {place: table.own for place, table in rules.tables.items()}
    return Counts(
        {place: table.counts for place, table in rules.tables.items() if table.counts},
        read_set_counts(_sets_text(said, tables)),
    )


def _read_rules(said: Saved, recorded: Own) -> _Rules:
    backend, namespace = said.backend, said.namespace
    tables: dict[Place, TableParts] = {}
    unreadable: set[Place] = set()
    inexact: set[Place] = set()
    for family in said.families:
        text = said.rules(family)
        if backend is Backend.NFT:
            unreadable |= set(_not_shown(namespace, family, text))
        found = read_saved(text, family, save_program(backend, family), recorded.tables)
        tables |= {(family, name): table for name, table in found.items()}
        if backend is Backend.NFT and found:
            with_sets = tables_with_sets(namespace, family)
            inexact |= {(family, name) for name in found if name.value in with_sets}
    return _Rules(tables, frozenset(unreadable), frozenset(inexact))


def _not_shown(namespace: Namespace | None, family: Family, text: str) -> Iterator[Place]:
    """Tables that iptables-nft names but does not show. Raises ConflictError where something of
    ours is in one."""
    for name in _NOT_SHOWN.findall(text):
        table = TableName(name)
        if any(
            chain.startswith(OWN_CHAIN_PREFIX) for chain in chains_of(namespace, family, table)
        ):
            nft = "ip" if family is Family.IPV4 else "ip6"
            raise ConflictError.at(
                f"{family} table {table}",
                "somebody put rules of nftables beside netfw's, and iptables does not show them",
                f"find them with 'nft list table {nft} {table}' and take them out",
            )
        yield family, table


def _sets_text(said: Saved, tables: Mapping[Place, OwnTable]) -> str:
    """What ``ipset save`` prints, which no rule of ours may need."""
    try:
        return said.sets()
    except HostError:
        # no program, or none of the kernel's part of it: then there are no sets
        if any(_asks_sets(table) for table in tables.values()):
            raise
        return ""


def _asks_sets(table: OwnTable) -> bool:
    return any(sets_named(text) for rules in table.chains.values() for text in rules)
