"""Undoing a change that was decided against, and what others left behind of one."""

from __future__ import annotations

import logging
from collections.abc import Callable

from netfw.errors import HostError
from netfw.host.journal import note
from netfw.host.pending_change import (
    UNDOING,
    Unfinished,
    claim_undo,
    find_unfinished,
    finish_undo,
    read_pending,
)
from netfw.host.state_folder import StateFolder
from netfw.host.writers import end_writers
from netfw.plan.pending import Pending

_log = logging.getLogger("netfw")
Undo = Callable[[StateFolder, Pending], None]
"""Brings the host to what ``Pending.before`` says, from wherever it is, with the folder's lock
held; raises NetfwError where that does not work now. May be called again at any time."""


def take_back(state: StateFolder, pending: Pending, undo: Undo, why: str) -> None:
    """Undo a change for which ``claim_undo`` has decided; raises what ``undo`` raises.

    A disk that takes nothing does not keep it from being undone: a later command does so once
    more then. The folder's lock is needed.
    """
    end_writers(state, pending.number)
    undo(state, pending)
    note(state, pending.number, "undone", why)
    try:
        finish_undo(state)
    except HostError as error:
        _log.warning("%s", error)


def settle(state: StateFolder, undo: Undo) -> Unfinished | None:
    """Undo what somebody has left behind, and say what it was; None where there is nothing.

    What waits with time left, or is not ended for another reason, is left alone (``is_lost`` is
    not set then). Raises NetfwError where it cannot be undone. The folder's lock is needed.
    """
    left = find_unfinished(state, alone=True)
    if left is None or not left.is_lost:
        return left
    # whoever was faster waits for the lock that we hold, and finds it done
    claim_undo(state)
    if read_pending(state, UNDOING) is not None:
        take_back(state, left.pending, undo, left.problem)
    return left
