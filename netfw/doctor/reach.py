"""From which hook each chain is reached, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netfw.doctor.any_of import Condition
from netfw.doctor.place import Passage, Stage, System
from netfw.ir.calls import Calls, called_by
from netfw.ir.names import BUILTIN_CHAINS, Backend, Hook, TableName
from netfw.ir.ruleset import Ruleset, Table
from netfw.traverse.hooks import SECURITY_PRIORITY, hook_entries

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """How a chain is reached from a base chain: the numbers of the calling rules, by the first and
    the last way, and the conditions of the first. The base chain itself is at () twice."""

    stage: Stage
    priority: int
    base: str
    first: Path = ()
    last: Path = ()
    calls: tuple[Condition, ...] = ()

    def passage(self, number: int) -> Passage:
        """When packets come by the rule with this number (from 1)."""
        first, last = (*self.first, number), (*self.last, number)
        return Passage(self.stage, self.priority, self.base, first, last)


class Reach:
    """The chains of a ruleset that hooks lead to, and how."""

    def __init__(
        self, backend: Backend, ruleset: Ruleset, security_priority: int = SECURITY_PRIORITY
    ) -> None:
        self._entries: dict[tuple[TableName, str], tuple[Entry, ...]] = {}
        priorities = {
            (entry.what, hook): entry.priority
            for hook in Hook
            for entry in hook_entries(hook, security_priority)
            if isinstance(entry.what, TableName)
        }
        for table in ruleset.tables:
            found: dict[str, list[Entry]] = {}
            for hook in BUILTIN_CHAINS[table.name]:
                if table.builtin(hook) is None:
                    continue
                base = f"{System.of_backend(backend)} {ruleset.family} {table.name} {hook}"
                start = Entry(Stage.of_hook(hook), priorities[table.name, hook], base)
                for chain, entry in _reached(table, hook.value, start):
                    found.setdefault(chain, []).append(entry)
            for chain, entries in found.items():
                self._entries[table.name, chain] = tuple(entries)

    def entries(self, table: TableName, chain: str) -> tuple[Entry, ...]:
        """How a chain is reached, once for each base chain; empty where it is not."""
        return self._entries.get((table, chain), ())

    def passages(self, table: TableName, chain: str, number: int) -> tuple[Passage, ...]:
        """When packets come by a rule (from 1)."""
        return tuple(entry.passage(number) for entry in self.entries(table, chain))


def _reached(table: Table, start: str, at_start: Entry) -> Iterator[tuple[str, Entry]]:
    callers: list[tuple[str, int, str, tuple[Condition, ...]]] = []
    order = Calls.of(table).order(start)
    for name in order:
        chain = table.find_chain(name)
        for number, rule in enumerate(chain.rules if chain is not None else (), start=1):
            called = called_by(rule)
            if called is not None:
                callers.append((name, number, called, rule.matches))
    return reached(at_start, start, callers)


def reached(
    at_start: Entry, start: str, callers: Iterable[tuple[str, int, str, tuple[Condition, ...]]]
) -> Iterator[tuple[str, Entry]]:
    """The chains that calls (from, rule number, to, conditions) lead to, those of each chain
    together and behind all that lead to it."""
    entries = {start: at_start}
    for name, number, called, matches in callers:
        caller = entries.get(name)
        if caller is None:
            continue
        first, last = (*caller.first, number), (*caller.last, number)
        calls = (*caller.calls, *matches)
        known = entries.get(called)
        if known is not None:
            last = max(last, known.last)
            if known.first <= first:
                first, calls = known.first, known.calls
        entries[called] = Entry(
            at_start.stage, at_start.priority, at_start.base, first, last, calls
        )
    return iter(entries.items())
