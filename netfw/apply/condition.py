"""Looking at how a host is. Nothing is changed, and no lock is needed."""

from __future__ import annotations

from netfw.apply.application import entries_that_count
from netfw.apply.recorded import recorded_in, settings_before
from netfw.host.history import confirmed_entry, entry_numbers
from netfw.host.journal import read_events
from netfw.host.own_host import read_counts, read_own
from netfw.host.pending_change import find_unfinished
from netfw.host.state_folder import StateFolder
from netfw.host.variant import host_variant, read_elsewhere
from netfw.plan.condition import Condition
from netfw.plan.count import Counts
from netfw.plan.foreign import Foreign
from netfw.plan.own import Own
from netfw.plan.plan import plan


def find_condition(state: StateFolder, *, counters: bool = False) -> Condition:
    """How this host is. Raises HostError where it cannot be looked at."""
    variant = host_variant()
    entry = confirmed_entry(state)
    entries = entries_that_count(state)
    now, foreign = read_own(variant.backend, recorded=recorded_in(entries))
    unfinished = find_unfinished(state)
    # a change that waits is what the host shall hold for now
    wanted = Own() if entry is None else entry.own
    if unfinished is not None and not unfinished.is_lost:
        wanted = next(one.own for one in entries if one.number == unfinished.pending.number)
    elsewhere = read_elsewhere(variant)
    return Condition(
        variant.backend,
        entry,
        plan(now, wanted, settings_before(entries)).changes,
        "" if unfinished is None else f"{unfinished.problem}: {unfinished.hint}",
        _undone(state, 0 if entry is None else entry.number) if unfinished is None else "",
        not elsewhere.own.is_empty,
        elsewhere.has_others,
        tuple(_late(foreign)),
        read_counts(variant.backend) if counters else Counts(),
    )


def _undone(state: StateFolder, confirmed: int) -> str:
    """What became of the last change, where it was undone: whoever made it may have been cut off
    before anybody could say so, and the disk may have been too full for the journal."""
    last = max(entry_numbers(state), default=0)
    if last <= confirmed:
        return ""
    for event in reversed(read_events(state)):
        if event.number == last and event.what == "undone":
            why = event.text.partition("\n")[0]
            return f"change {last} was undone at {event.time}{f': {why}' if why else ''}"
    return f"change {last} was undone"


def _late(foreign: Foreign) -> list[str]:
    return [
        f"{family} {name} {hook}: {count} before netfw's"
        for (family, name), table in foreign.tables.items()
        for hook, count in table.ahead.items()
        if count
    ]
