"""The change that is being made or waits, and the one atomic step that ends it.

While a change is made and waits, ``pending.json`` says so. Renaming it decides: to
``confirmed.json``, and the change is kept, which needs neither time nor room on the disk; or to
``undoing.json``, and it has to be undone, by whoever renamed it or by a later command.
Of all who try, one wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from netfw.errors import ConflictError, HostError
from netfw.host.clock import boot_name, since_boot
from netfw.host.state_folder import StateFolder
from netfw.host.state_lock import GUARD_LOCK, LOCK, is_held
from netfw.plan.pending import Pending, Phase, pending_data, pending_from

PENDING, UNDOING, CONFIRMED = "pending.json", "undoing.json", "confirmed.json"
WRITING_LIMIT = 300.0
"""Seconds after which a change that is still being written is undone: whoever writes it was
stopped, or waits for something that does not come."""
_KIND = "pending"


def read_pending(state: StateFolder, name: str = PENDING) -> Pending | None:
    """The change that waits (or is being undone, by name), or None; raises HostError."""
    content = state.read(name, _KIND)
    if content is None:
        return None
    try:
        return pending_from(content)
    except ValueError as error:
        raise HostError.at(str(state.path / name), str(error)) from None


def confirmed_number(state: StateFolder) -> int:
    """The entry that was confirmed last, 0 where none was; raises HostError."""
    confirmed = read_pending(state, CONFIRMED)
    return confirmed.number if confirmed else 0


def needed_numbers(state: StateFolder) -> frozenset[int]:
    """Entries that are confirmed, that wait, and that would be gone back to; raises HostError."""
    found = [read_pending(state, name) for name in (PENDING, UNDOING, CONFIRMED)]
    return frozenset(
        number for one in found if one is not None for number in (one.number, one.before)
    ) - {0}


def begin_change(
    state: StateFolder, number: int, before: int, limit: float = WRITING_LIMIT
) -> Pending:
    """Say that a change is being written from now on, for at most ``limit`` seconds.

    Raises ConflictError where another one is under way. The folder's lock is needed.
    """
    left = find_unfinished(state, alone=True)
    if left is not None:
        raise ConflictError.at(str(state.path), left.problem, left.hint)
    pending = Pending(number, before, Phase.WRITING, since_boot() + limit, boot_name())
    state.write(PENDING, _KIND, pending_data(pending))
    return pending


def begin_waiting(state: StateFolder, pending: Pending, seconds: float) -> Pending:
    """Say that a change is written, and has to be confirmed in time.

    Raises ConflictError where it has been taken back. The lock of the folder is needed.
    """
    if read_pending(state) != pending:
        raise ConflictError.at(
            str(state.path), f"change {pending.number} was taken back while it was written"
        )
    waiting = replace(pending, phase=Phase.WAITING, deadline=since_boot() + seconds)
    state.write(PENDING, _KIND, pending_data(waiting))
    return waiting


def confirm_change(state: StateFolder, number: int | None = None) -> Pending:
    """Keep the change that waits: host and history are what they are from now on.

    Raises ConflictError where none waits, where it is another one than ``number`` says, or where
    somebody was faster. The lock of the folder is needed, so that it is no other change that is
    renamed than the one that was looked at.
    """
    pending = read_pending(state)
    place = str(state.path)
    if pending is None:
        undoing = read_pending(state, UNDOING)
        if undoing is not None:
            raise _too_late(state, undoing.number)
        which = "no change waits" if number is None else f"change {number} does not wait"
        raise ConflictError.at(place, f"{which} to be confirmed", "see 'netfw status'")
    if number is not None and pending.number != number:
        raise ConflictError.at(
            place, f"change {pending.number} waits to be confirmed, not {number}", _DECIDE
        )
    if pending.phase is Phase.WRITING:
        raise ConflictError.at(
            place, f"change {pending.number} is not written yet", "see 'netfw status'"
        )
    if pending.boot != boot_name():
        raise ConflictError.at(
            place,
            f"the machine was started again before change {pending.number} was confirmed",
            "apply it again",
        )
    keep_change(state, pending)
    return pending


def keep_change(state: StateFolder, pending: Pending) -> None:
    """Keep a change that the caller has begun or looked at, without a question.

    Raises ConflictError where somebody was faster. The lock of the folder is needed.
    """
    if not state.rename(PENDING, CONFIRMED):
        raise _too_late(state, pending.number)


def claim_undo(state: StateFolder) -> bool:
    """Decide that the change that waits is to be undone; False where somebody was faster.

    Needs no lock, which whoever hangs may hold. Raises HostError.
    """
    return state.rename(PENDING, UNDOING)


def finish_undo(state: StateFolder) -> None:
    """Say that a change is undone; raises HostError. The folder's lock is needed."""
    state.remove(UNDOING)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A change that is not ended: what there is to say of it, and to do.

    ``is_lost`` where nobody will end it in time any more: whoever finds it has to undo it.
    """

    pending: Pending
    is_lost: bool
    problem: str
    hint: str


def find_unfinished(state: StateFolder, *, alone: bool = False) -> Unfinished | None:
    """The change that was left behind or is under way, or None; raises HostError.

    ``alone`` says that the caller holds the folder's lock, and has not begun a change itself:
    then nobody else is writing.
    """
    # in this order, which is that of their names: it is found whoever renames it in between
    pending = read_pending(state)
    if pending is None:
        undoing = read_pending(state, UNDOING)
        return None if undoing is None else _being_undone(state, undoing, alone=alone)
    what = f"change {pending.number}"
    if pending.boot != boot_name():
        return Unfinished(
            pending, True, f"the machine was started again before {what} was confirmed", _UNDO
        )
    guarded = is_held(state, GUARD_LOCK)
    if pending.phase is Phase.WRITING:
        if not alone and (guarded or is_held(state, LOCK)):
            return Unfinished(pending, False, f"{what} is being written", "wait for its end")
        return Unfinished(pending, True, f"{what} was broken off while it was written", _UNDO)
    left = pending.deadline - since_boot()
    if left <= 0:
        return Unfinished(
            pending, alone or not guarded, f"{what} was not confirmed in time", _UNDO
        )
    waits = f"{what} waits to be confirmed"
    if guarded:
        return Unfinished(pending, False, f"{waits}, for {left:.0f} s more", _DECIDE)
    return Unfinished(pending, False, f"{waits}, and its guard is gone: nobody undoes it", _DECIDE)


def _being_undone(state: StateFolder, undoing: Pending, *, alone: bool) -> Unfinished:
    what = f"change {undoing.number}"
    if not alone and (is_held(state) or is_held(state, GUARD_LOCK)):
        return Unfinished(undoing, False, f"{what} is being undone", "wait for its end")
    return Unfinished(undoing, True, f"{what} has not been undone to its end", _UNDO)


_DECIDE = "'netfw confirm' keeps it, 'netfw rollback' undoes it"
_UNDO = "'netfw rollback' undoes it"


def _too_late(state: StateFolder, number: int) -> ConflictError:
    return ConflictError.at(
        str(state.path),
        f"change {number} is being undone: it was not confirmed in time",
        "apply it again",
    )
