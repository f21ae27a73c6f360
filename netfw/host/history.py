"""The entries of the state folder: every state that was applied to this host."""

from __future__ import annotations

import re
from dataclasses import replace

from netfw.errors import HostError
from netfw.host.pending_change import confirmed_number, needed_numbers
from netfw.host.state_folder import HISTORY, StateFolder
from netfw.plan.entry import Entry, entry_data, entry_from

KEPT = 50
"""Entries that are kept, besides those that are needed."""
_KIND = "entry"
_FILE = re.compile(r"([0-9]{6,9})\.json")


def entry_numbers(state: StateFolder) -> list[int]:
    """The numbers of all entries, in their order; raises HostError."""
    found = map(_FILE.fullmatch, state.names(HISTORY))
    return sorted(int(name[1]) for name in found if name is not None)


def read_entry(state: StateFolder, number: int) -> Entry:
    """An entry; raises HostError where there is none, or it is not as it was written."""
    known = state.read_entries.get(number)
    if known is not None:
        return known
    path = state.path / _name(number)
    content = state.read(_name(number), _KIND)
    if content is None:
        raise HostError.at(
            str(state.path), f"there is no entry {number}", "'netfw history' lists them"
        )
    try:
        entry = entry_from(content)
        if entry.number != number:
            raise ValueError(f"this is entry {entry.number}")
    except ValueError as error:
        raise HostError.at(str(path), f"this is no entry of the history: {error}") from None
    state.read_entries[number] = entry
    return entry


def next_number(state: StateFolder) -> int:
    """The number that the next entry gets; raises HostError. The folder's lock is needed."""
    return max((0, *entry_numbers(state), *needed_numbers(state))) + 1


def add_entry(state: StateFolder, entry: Entry) -> Entry:
    """Add an entry, whatever number it has, and return it with the next one.

    The oldest ones go, but never one that is confirmed, that waits, or that would be gone back to.
    Raises HostError. The folder's lock is needed.
    """
    numbers, number = entry_numbers(state), next_number(state)
    added = replace(entry, number=number)
    state.write(_name(number), _KIND, entry_data(added))
    state.read_entries[number] = added
    needed = needed_numbers(state)
    for old in numbers[: max(0, len(numbers) + 1 - KEPT)]:
        if old not in needed:
            state.remove(_name(old))
    return added


def confirmed_entry(state: StateFolder) -> Entry | None:
    """What this host holds when it starts, or None where nothing was confirmed."""
    number = confirmed_number(state)
    return read_entry(state, number) if number else None


def _name(number: int) -> str:
    return f"{HISTORY}/{number:06}.json"
