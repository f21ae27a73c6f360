"""What whoever writes a change holds of its guard."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import netfw
from netfw.apply.take_back import Undo, take_back
from netfw.errors import HostError
from netfw.host.detached import start_detached
from netfw.host.guard_line import GuardCall
from netfw.host.journal import note
from netfw.host.pending_change import (
    WRITING_LIMIT,
    begin_change,
    begin_waiting,
    claim_undo,
    confirm_change,
    finish_undo,
    keep_change,
)
from netfw.host.state_folder import StateFolder
from netfw.host.state_lock import GUARD_LOCK, is_held, locked
from netfw.host.wait import wait_until
from netfw.host.writers import marked
from netfw.plan.pending import Pending

_PROGRAM = ("-m", "netfw.apply.guard")
_PATIENCE = 15.0
"""Seconds that a guard gets to be ready: Python starts, and the entries are read."""


class Guarded:
    """A change that a guard watches over."""

    def __init__(self, state: StateFolder, pending: Pending, call: GuardCall) -> None:
        self._state = state
        self._call = call
        self.pending = pending
        """The change, as it is in the state folder."""

    def wait_for_confirmation(self, seconds: float) -> Pending:
        """All is written: from now on the guard waits for this long, with us or without us.

        Raises HostError where the guard is gone, and ConflictError where the change was taken
        back. The lock of the folder can be let go afterwards.
        """
        if not is_held(self._state, GUARD_LOCK):
            raise HostError.at("guard", "the process that would undo this change is gone")
        self.pending = begin_waiting(self._state, self.pending, seconds)
        self._call.look_again()
        return self.pending

    def take_back(self, undo: Undo, why: str) -> None:
        """Undo what was written so far, ourselves and at once; raises what ``undo`` raises, and
        then it is the guard's to try again."""
        claim_undo(self._state)
        take_back(self._state, self.pending, undo, why)

    def keep(self) -> None:
        """All is written and well: the change is kept, and the guard ends.

        Raises ConflictError where the change was taken back.
        """
        keep_change(self._state, self.pending)
        note(self._state, self.pending.number, "confirmed")
        nudge(self._state, self.pending.number)


class Summons:
    """A guard that has been started for the change ``number``, and waits for its beginning until
    we call it or end; a context manager. Raises HostError where none can be started."""

    def __init__(self, state: StateFolder, number: int, program: Sequence[str] = _PROGRAM) -> None:
        self.state = state
        self.number = number
        # -P: Python would look for modules in the working directory first, as root
        argv = [sys.executable, "-P", "-W", "ignore", *program]
        root = str(Path(netfw.__file__).resolve().parents[1])
        found = os.environ.get("PYTHONPATH", "")
        self._started = start_detached(
            [*argv, str(state.path), str(number), str(os.getpid())],
            f"netfw-guard-{os.getpid()}-{number}",
            {"PYTHONPATH": f"{root}:{found}" if found else root},
        )

    def call(self, patience: float) -> GuardCall:
        """Wait until the guard is ready, or is known not to become it: HostError then."""
        calls: list[GuardCall] = []

        def is_ready_or_gone() -> bool:
            call = GuardCall.open(self.state, self.number)
            if call is not None:
                calls.append(call)
            # it says nothing unless it is at its end
            return call is not None or bool(self._started.last_words())

        wait_until(is_ready_or_gone, patience)
        if calls:
            return calls[0]
        said = self._started.last_words() or f"it is not ready after {patience:g} seconds"
        raise HostError.at(
            "guard",
            f"the process that would undo this change cannot begin: {said}",
            "nothing has been changed",
        )

    def __enter__(self) -> Summons:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.__exit__()


@contextmanager
def guarded(
    summons: Summons, before: int, *, limit: float = WRITING_LIMIT, patience: float = _PATIENCE
) -> Iterator[Guarded]:
    """Begin the change that a guard was started for, from entry ``before``; both are in the
    history.

    Whoever leaves the context before ``wait_for_confirmation`` or ``keep``, by an error or by
    being killed, leaves the change to the guard, which undoes it as soon as the lock is free.
    ``limit`` is how many seconds writing may take, ``patience`` how many the guard has to be
    ready. Raises HostError where it is not: nothing is begun then.
    The folder's lock is needed.
    """
    state, number = summons.state, summons.number
    pending = begin_change(state, number, before, limit)
    try:
        call = summons.call(patience)
    except BaseException:
        claim_undo(state)
        finish_undo(state)
        raise
    with call, marked(state, number):
        yield Guarded(state, pending, call)


def confirm(state: StateFolder, number: int | None = None) -> Pending:
    """Keep the change that waits, and send its guard home; raises ConflictError, also where it is
    not the one with this ``number``."""
    with locked(state):
        pending = confirm_change(state, number)
        note(state, pending.number, "confirmed")
    nudge(state, pending.number)
    return pending


def nudge(state: StateFolder, number: int) -> None:
    """Have the guard of a change look again, if there is one."""
    try:
        call = GuardCall.open(state, number)
    except HostError:
        return  # it looks once in a while anyway
    if call is not None:
        call.close()
