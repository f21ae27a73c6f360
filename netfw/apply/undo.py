"""Back to the entry from which a change began."""

from __future__ import annotations

from collections.abc import Mapping

from netfw.apply.clear_away import clear_away
from netfw.apply.recorded import recorded_in, settings_before
from netfw.apply.transition import bring_to, carry_out
from netfw.host.history import read_entry
from netfw.host.own_host import read_own
from netfw.host.state_folder import StateFolder
from netfw.plan.entry import Entry
from netfw.plan.own import Own
from netfw.plan.pending import Pending
from netfw.plan.plan import plan, sets_asked


def undo(state: StateFolder, pending: Pending) -> None:
    """Make this host hold what it held before a change; may be called again at any time.

    Raises HostError where that cannot be done now.
    """
    change = read_entry(state, pending.number)
    before = read_entry(state, pending.before) if pending.before else None
    entries = [change] if before is None else [before, change]
    recorded, settings = recorded_in(entries), settings_before(entries)
    if before is None:
        bring_to(Own(), recorded, change.backend, settings)
        clear_away(change.own.tables, Own(), change.backend, change.tables_before)
        return
    if before.backend is not change.backend:
        _go_over(before, change, recorded, settings)
    bring_to(before.own, recorded, before.backend, settings)
    left = before.own if before.backend is change.backend else Own()
    clear_away(change.own.tables, left, change.backend, change.tables_before)


def _go_over(before: Entry, change: Entry, recorded: Own, settings: Mapping[str, str]) -> None:
    """Back to the backend of before: the old rules stand before the new ones go, and sets that
    either ask stay until then."""
    there, _ = read_own(change.backend)
    now, _ = read_own(before.backend, recorded=recorded)
    carry_out(plan(now, before.own, settings, kept=sets_asked(there)), before.backend)
    carry_out(plan(Own(there.tables), Own()), change.backend)
