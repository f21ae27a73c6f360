"""Back to the entry from which a change began."""

from __future__ import annotations

from netfw.apply.recorded import recorded_in, settings_before
from netfw.apply.transition import bring_to
from netfw.host.history import read_entry
from netfw.host.state_folder import StateFolder
from netfw.plan.own import Own
from netfw.plan.pending import Pending


def undo(state: StateFolder, pending: Pending) -> None:
    """Make this host hold what it held before a change; may be called again at any time.

    Raises HostError where that cannot be done now.
    """
    change = read_entry(state, pending.number)
    before = read_entry(state, pending.before) if pending.before else None
    entries = [change] if before is None else [before, change]
    own = Own() if before is None else before.own
    bring_to(own, recorded_in(entries), change.backend, settings_before(entries))
