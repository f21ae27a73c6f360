"""The steps from what a host holds of ours to what it shall hold, and what they change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from netfw.ir.ipset import IpSet
from netfw.ir.names import Family, TableName
from netfw.plan.change import Change, changed_lines
from netfw.plan.own import Own, OwnTable
from netfw.plan.routing_change import RoutingChange
from netfw.plan.set_change import SetChange, set_changes
from netfw.plan.set_text import base_of, rename_sets, sets_named
from netfw.plan.step import LoadSets, LoadTable, Step, WriteSetting
from netfw.plan.table_change import TableChange
from netfw.plan.table_order import in_order


@dataclass(frozen=True)
class Plan:
    """Steps in their order, each taken whole; none where nothing is to be done."""

    steps: tuple[Step, ...] = ()
    list_changes: Callable[[], Iterable[Change]] = field(default=tuple, repr=False, compare=False)

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """What they change, line by line: made when somebody asks for it, since most do not."""
        return tuple(self.list_changes())


def plan(
    now: Own,
    wanted: Own,
    before: Mapping[str, str] | None = None,
    *,
    kept: frozenset[str] = frozenset(),
) -> Plan:
    """What leads from one state to another.

    ``before`` are the values that sysctls had before netfw wrote them: those that are not wanted
    any longer get them back. ``kept`` are sets that rules in the other backend ask, or
    others' rules: they stay.
    """
    # a snapshot holds the names that sets had on the host
    wanted = replace(wanted, tables={key: _plain(table) for key, table in wanted.tables.items()})
    planned = [_Family(now, wanted, family, kept) for family in Family]
    settings = _settings(now, wanted, before or {})
    made = [step for each in planned for step in each.sets()]
    routing = [RoutingChange.of(now, wanted, family) for family in Family]
    tables = [step for each in planned for step in each.tables()]
    steps: tuple[Step, ...] = (
        *_leftovers(now, kept),
        *made,
        *(WriteSetting(name, value) for name, value in settings.items()),
        *(step for each in routing for step in each.comes_first()),
        *tables,
        *(step for each in routing for step in each.goes_last()),
        *(step for each in planned for step in each.left_over()),
    )

    def changes() -> Iterator[Change]:
        for each in planned:
            yield from each.changes()
        for moved in routing:
            yield from moved.changes()
        for name, value in settings.items():
            old = [f"{name} = {now.settings[name]}"] if name in now.settings else []
            yield from changed_lines(None, "sysctl", old, [f"{name} = {value}"])

    return Plan(steps, changes)


class _Family:
    """Sets and tables of one family: a packet meets those of its own alone."""

    def __init__(self, now: Own, wanted: Own, family: Family, kept: frozenset[str]) -> None:
        self.family = family
        self._kept = kept
        self._installed = _sets_of(now, family)
        self._in_use = _named_by(now, family)
        self._wanted = _wanted_sets(wanted, family)
        self.set_changes = set_changes(self._installed, self._wanted, self._in_use, kept)
        names = {base_of(name): name for name in self._in_use}
        self._in_place: SetChange | None = None
        table_changes = _table_changes(now, wanted, family, names)
        if not table_changes and len(self.set_changes) == 1 and _can_stay(self.set_changes[0]):
            (self._in_place,) = self.set_changes
        else:
            names |= {change.wanted.name: change.new_name for change in self.set_changes}
            table_changes = _table_changes(now, wanted, family, names)
        self._names = names
        self.table_changes = table_changes

    def sets(self) -> Iterator[LoadSets]:
        """Steps before the rules change."""
        if self._in_place is not None:
            yield self._in_place.in_place()
            return
        for change in self.set_changes:
            yield change.made_anew()

    def tables(self) -> Iterator[LoadTable]:
        """Each table in a transaction, in an order in which no packet gets through that neither
        the old rules nor the new ones let through, and none is lost that both do."""
        for change in in_order(self.table_changes):
            yield change.step()

    def left_over(self) -> Iterator[LoadSets]:
        """Sets that no rule asks any longer."""
        used = {self._names.get(name, name) for name in self._wanted}
        gone = sorted(self._in_use & self._installed.keys() - used - self._kept)
        if gone:
            yield LoadSets("".join(f"destroy {name}\n" for name in gone), "sets of before")

    def changes(self) -> Iterator[Change]:
        """For people."""
        for change in self.table_changes:
            yield from change.changes()
        for each in self.set_changes:
            yield from each.changes()


def _can_stay(change: SetChange) -> bool:
    return not change.is_reshaped


def _table_changes(
    now: Own, wanted: Own, family: Family, names: Mapping[str, str]
) -> list[TableChange]:
    found = []
    for table in TableName:
        before = now.tables.get((family, table), OwnTable())
        after = wanted.tables.get((family, table), OwnTable())
        change = TableChange(family, table, before, _with_names(after, names))
        if change.is_needed:
            found.append(change)
    return found


def _with_names(table: OwnTable, names: Mapping[str, str]) -> OwnTable:
    """With the names that sets have on the host."""
    if all(name == base for base, name in names.items()):
        return table
    chains = {
        chain: tuple(rename_sets(text, names) for text in rules)
        for chain, rules in table.chains.items()
    }
    return OwnTable(chains, table.calls)


def _plain(table: OwnTable) -> OwnTable:
    """With the names that the policy gives to sets."""
    named = {
        name for rules in table.chains.values() for text in rules for name in sets_named(text)
    }
    return _with_names(table, {name: base_of(name) for name in named})


def _wanted_sets(wanted: Own, family: Family) -> dict[str, IpSet]:
    """By the policy's names, in which a snapshot may differ from what the host called them."""
    return {
        base_of(name): replace(ipset, name=base_of(name))
        for name, ipset in _sets_of(wanted, family).items()
    }


def _sets_of(own: Own, family: Family) -> dict[str, IpSet]:
    return {name: ipset for name, ipset in own.sets.items() if ipset.family is family}


def sets_asked(own: Own) -> frozenset[str]:
    """The sets that rules of either family ask."""
    return frozenset().union(*(_named_by(own, family) for family in Family))


def _named_by(own: Own, family: Family) -> frozenset[str]:
    """The sets that rules of ours ask."""
    return frozenset(
        name
        for (of, _), table in own.tables.items()
        if of is family
        for rules in (*table.chains.values(), *table.calls.values())
        for text in rules
        if "--match-set" in text
        for name in sets_named(text)
    )


def _leftovers(now: Own, kept: frozenset[str]) -> Iterator[LoadSets]:
    """Sets of a change that was broken off: no rule asks them, and their names are needed."""
    gone = sorted(now.sets.keys() - sets_asked(now) - kept)
    if gone:
        yield LoadSets("".join(f"destroy {name}\n" for name in gone), "sets that nothing asks")


def _settings(now: Own, wanted: Own, before: Mapping[str, str]) -> dict[str, str]:
    """Values to be written, by name."""
    values = {
        name: value for name, value in wanted.settings.items() if now.settings.get(name) != value
    }
    values |= {
        name: before[name]
        for name in now.settings
        if name not in wanted.settings and name in before and before[name] != now.settings[name]
    }
    return values
