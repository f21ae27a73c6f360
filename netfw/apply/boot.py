"""At the start of a machine: what was confirmed, and nothing else.

The host is closed before anything else is loaded, so that it is not open where the rest fails, or
where this process is ended in the middle. Interfaces need not be there yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum

from netfw.apply.clear_away import clear_away
from netfw.apply.possible import bring_as_far_as_possible
from netfw.apply.take_back import take_back
from netfw.apply.transition import bring_to
from netfw.apply.undo import undo
from netfw.errors import ConflictError, Fault, HostError, NetfwError
from netfw.host.history import confirmed_entry
from netfw.host.journal import note
from netfw.host.own_host import read_own
from netfw.host.pending_change import (
    PENDING,
    UNDOING,
    claim_undo,
    find_unfinished,
    finish_undo,
    read_pending,
)
from netfw.host.state_folder import StateFolder
from netfw.host.state_lock import GUARD_LOCK, is_held, locked
from netfw.host.variant import host_variant
from netfw.ir.names import Backend
from netfw.plan.closed import closed
from netfw.plan.entry import Entry
from netfw.plan.own import Own

Tell = Callable[[str], None]
_NOT_CONFIRMED = "it was not confirmed before the machine was started again"


class Failure(Enum):
    """What becomes of a host that cannot be given what was confirmed."""

    CLOSED = "closed"
    """Nothing comes in but what ``netfw.plan.closed`` lets through."""
    OPEN = "open"
    """Nothing of netfw's is loaded."""


class NotRestoredError(HostError):
    """The host does not hold what was confirmed."""


class _UnderWayError(ConflictError):
    """Somebody is changing this host now: it is not at its start."""


@dataclass(frozen=True, slots=True)
class Restored:
    """``entry`` is what the host holds now, None where nothing was confirmed; ``waits`` are the
    parts of it for which something is not there yet: an interface, or its address."""

    entry: Entry | None
    waits: tuple[str, ...] = ()


def restore_at_start(failure: Failure, tell: Tell) -> Restored:
    """Give this host what was confirmed last. ``tell`` is told what else there is to know.

    A change that was not confirmed is forgotten. Raises ConflictError, with nothing touched,
    where a change is under way; and NotRestoredError, with the host as ``failure`` says, where it
    cannot be given what was confirmed. A host that holds rules of ours already keeps them then.
    """
    start = _Start(failure, tell)
    try:
        return start.restore()
    except _UnderWayError:
        raise
    except NetfwError as error:
        raise NotRestoredError.of((*error.faults, start.fail())) from error
    except Exception as error:
        # whatever it is, the host must not be left open for it
        fault = Fault("netfw boot", f"{type(error).__name__}: {error}", "report this bug of netfw")
        raise NotRestoredError.of((fault, start.fail())) from error


class _Start:
    def __init__(self, failure: Failure, tell: Tell) -> None:
        self._failure, self._tell = failure, tell
        self._entry: Entry | None = None
        self._was_empty: bool | None = None
        """Whether the host held no rules of ours; None where nobody has looked."""

    def restore(self) -> Restored:
        state = StateFolder()
        if not state.path.exists():
            return Restored(None)
        with self._locked(state):
            if is_held(state, GUARD_LOCK):
                left = find_unfinished(state)
                said = "a change is under way" if left is None else left.problem
                raise _UnderWayError.at(str(state.path), said, "this is for a machine's start")
            self._entry = entry = confirmed_entry(state)
            self._look(self._backend())
            if entry is not None and not entry.own.is_empty and self._was_empty:
                self._close_first(entry)
            self._forget(state)
            if entry is None or entry.own.is_empty:
                return Restored(entry)
            return Restored(entry, self._load(entry.own))

    def fail(self) -> Fault:
        """Leave the host as the caller wants it; what there is to say of that."""
        try:
            backend = self._backend()
            if self._was_empty is None:
                self._look(backend)
            if not self._was_empty:
                return Fault("netfw boot", "the host keeps the rules of netfw that it has", _AGAIN)
            if self._failure is Failure.OPEN:
                self._take_off(backend)
                return Fault("netfw boot", "THE HOST IS OPEN, as --fail open says", _AGAIN)
            own = None if self._entry is None else self._entry.own
            bring_to(closed(own), Own() if own is None else own, backend, {})
        except Exception as error:  # noqa: BLE001 - nobody is there who could do it better
            said = str(error).partition("\n")[0]
            return Fault("netfw boot", f"THE HOST MAY BE OPEN, nothing can be loaded: {said}")
        return Fault("netfw boot", "the host is closed but for failsafes", _AGAIN)

    @contextmanager
    def _locked(self, state: StateFolder) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(state))
            except ConflictError as error:
                raise _UnderWayError.of(error.faults) from None
            except HostError as error:
                # where nothing can be written, nobody else changes anything
                self._tell(f"{error.faults[0].place}: {error.faults[0].problem}")
            yield

    def _backend(self) -> Backend:
        try:
            return host_variant().backend
        except HostError as error:
            if self._entry is None:
                raise
            self._tell(f"{error.faults[0].place}: {error.faults[0].problem}")
            return self._entry.backend

    def _look(self, backend: Backend) -> None:
        now, _ = read_own(backend)
        self._was_empty = not now.tables

    def _close_first(self, entry: Entry) -> None:
        if self._failure is not Failure.CLOSED:
            return
        try:
            bring_to(closed(entry.own), Own(), self._backend(), {})
        except HostError as error:
            self._tell(f"cannot be closed first: {error.faults[0].problem}")

    def _forget(self, state: StateFolder) -> None:
        """End a change that nobody can confirm any more: the machine has been started since, or
        its guard is gone with whatever this host runs in."""
        try:
            if state.has(PENDING):
                claim_undo(state)
            pending = read_pending(state, UNDOING)
            if pending is None:
                return
            if self._was_empty:
                # nothing of it is on this host
                note(state, pending.number, "undone", _NOT_CONFIRMED)
                finish_undo(state)
            else:
                take_back(state, pending, undo, _NOT_CONFIRMED)
            self._tell(f"change {pending.number} is undone: {_NOT_CONFIRMED}")
        except HostError as error:
            # it is not what is loaded, whatever it is
            self._tell(f"{error.faults[0].place}: {error.faults[0].problem}")

    def _load(self, own: Own) -> tuple[str, ...]:
        """Load everything for which the host has what it needs; gives what waits."""
        # values of sysctls before netfw are those of an earlier start: nothing goes back to them
        return bring_as_far_as_possible(own, own, self._backend(), {}).waits

    def _take_off(self, backend: Backend) -> None:
        own = Own() if self._entry is None else self._entry.own
        bring_to(Own(), Own(own.tables, own.sets), backend, {})
        if self._entry is not None:
            clear_away(own.tables, Own(), backend, self._entry.tables_before)


_AGAIN = "see 'netfw status'; 'netfw apply POLICY' or 'netfw apply --repair' loads its rules"
