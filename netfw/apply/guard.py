"""The guard: a process of its own that undoes a change, unless it is confirmed.

It is started before the first write, and has read all that it needs before it says that it is
ready. Neither signals nor the end of the session, the terminal or the connection end it. It undoes
the change where whoever writes it is gone before the end, takes too long, or nobody confirms in
time; and where somebody else has begun to undo it and is gone.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import select
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from netfw.apply.take_back import Undo, take_back
from netfw.errors import HostError, NetfwError
from netfw.host.clock import since_boot
from netfw.host.guard_line import GuardLine
from netfw.host.history import read_entry
from netfw.host.journal import note
from netfw.host.pending_change import (
    PENDING,
    UNDOING,
    claim_undo,
    confirmed_number,
    read_pending,
)
from netfw.host.state_folder import StateFolder
from netfw.host.state_lock import GUARD_LOCK, StateLock, holder_of, is_held, take_lock
from netfw.host.wait import wait_until
from netfw.plan.pending import Pending, Phase

_log = logging.getLogger("netfw")
_MEETING = 20.0
"""Seconds within which whoever has begun a change has to call."""
_GLANCE, _LONGEST_GLANCE = 0.002, 0.1
"""Seconds between two looks for the beginning of a change: the longer it takes, the fewer."""
_LOOK = 1.0
"""Seconds after which the files are looked at, also where nobody said so: a machine that slept
wakes a process too late by the time that it slept."""
_FIRST_PAUSE, _LONGEST_PAUSE, _MOST_TRIES = 0.1, 15.0, 40
"""Seconds between two tries to undo, the first and the longest, and how many: about 8 minutes."""
_NOT_IGNORED = frozenset(
    # what cannot be ignored, what tells of children, and what the program does wrong itself
    {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGCONT, signal.SIGSEGV}
    | {signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGSYS}
    | {signal.SIGTRAP}
)


def stand_guard(state: StateFolder, number: int, writer: int, undo: Undo) -> None:
    """Guard the change ``number``, which the process ``writer`` makes, until it is ended.

    Whoever writes it may still be at its entry. Raises HostError where it cannot begin.
    """
    with _Writer(writer) as process:
        if _begins(state, number, process):
            _stand(state, number, process, undo)


def _stand(state: StateFolder, number: int, writer: _Writer, undo: Undo) -> None:
    with take_lock(state, name=GUARD_LOCK):
        guard = _Guard(state, number, writer, undo)
        with GuardLine(state, number) as line:
            # all that is imported only when it is needed, and was there a moment ago: whoever
            # waits for us need not wait for that
            for name in ("tempfile", "netfw.plan.own_words"):
                importlib.import_module(name)
            why = guard.watch(line)
        guard.finish(why)


class _Writer:
    """The process that makes the change, which another may not be taken for; a context manager."""

    def __init__(self, number: int) -> None:
        self.number = number
        try:
            self._descriptor = os.pidfd_open(number)
        except ProcessLookupError:
            self._descriptor = -1
        self._poll = select.poll()
        if self._descriptor >= 0:
            self._poll.register(self._descriptor, select.POLLIN)

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self.ends_within(0)

    def ends_within(self, seconds: float) -> bool:
        """Whether it has ended, or does so in the next seconds."""
        return self._descriptor < 0 or bool(self._poll.poll(seconds * 1000))

    def kill(self) -> None:
        """End it, if it has not ended."""
        if not self.is_gone:
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def _begins(state: StateFolder, number: int, writer: _Writer) -> bool:
    """Wait for the change to begin; False where whoever would write it is gone before that, or has
    let the folder go: it did not come so far."""
    # most of what an undo would need is there already
    with suppress(HostError):
        if confirmed := confirmed_number(state):
            read_entry(state, confirmed)

    def has_begun() -> bool:
        pending = read_pending(state)
        return pending is not None and pending.number == number

    def has_let_go() -> bool:
        return not is_held(state) or holder_of(state) != writer.number

    start = since_boot()
    while not (has_begun() or has_let_go()):
        pause = (since_boot() - start) / 50
        if writer.ends_within(min(max(pause, _GLANCE), _LONGEST_GLANCE)):
            break
    # the last thing that it did may have been the beginning
    return has_begun()


class _Guard:
    """What is known of the change, whatever becomes of the disk."""

    def __init__(self, state: StateFolder, number: int, writer: _Writer, undo: Undo) -> None:
        pending = read_pending(state)
        if pending is None or pending.number != number:
            raise HostError.at(str(state.path), f"change {number} is not under way")
        self._state = state
        self._pending = pending
        self._undo = undo
        self._writer = writer
        self._said = ""
        for entry in (pending.number, pending.before):
            if entry:
                read_entry(state, entry)

    def watch(self, line: GuardLine) -> str:
        """Wait for the end, and say why it is to be undone: empty where somebody has decided."""
        start = since_boot()
        while True:
            # looked at behind what the line said: it may have been written just before its end
            pending = self._look()
            if pending is None:
                return "" if self._state.path.exists() else "the state folder is gone"
            left = pending.deadline - since_boot()
            if pending.phase is Phase.WAITING:
                if left <= 0:
                    return "it was not confirmed in time"
                line.keep_open()
            elif line.has_ended or (not line.was_met and self._is_alone(since_boot() - start)):
                return "whoever wrote it was ended in the middle"
            elif left <= 0:
                self._end_writer(line)
                return "it was not written in time"
            line.wait(min(left, _LOOK))

    def _is_alone(self, seconds: float) -> bool:
        """Whether nobody will call any more, who has not done so for so long."""
        return self._writer.is_gone or seconds > _MEETING

    def _look(self, name: str = PENDING) -> Pending | None:
        """The change as it is now, or None where somebody has decided."""
        try:
            found = read_pending(self._state, name)
        except HostError as error:
            # neither a disk that fails nor a file that was changed decides, and no other change
            # begins before it is out of the way
            _log.warning("%s", error)
            return self._pending
        if found is None or found.number != self._pending.number:
            return None
        self._pending = found
        return found

    def _end_writer(self, line: GuardLine) -> None:
        """What has been stopped could go on later, into the middle of what we undo."""
        self._writer.kill()
        until = since_boot() + _LOOK
        while not line.has_ended and since_boot() < until:
            line.wait(_LOOK)

    def finish(self, why: str) -> None:
        """Undo it, if that is what was decided, unless somebody else has done it to the end."""
        must = False
        if why:
            try:
                must = not claim_undo(self._state) and not self._state.path.exists()
            except HostError as error:
                # what we cannot rename, nobody can: so nobody has confirmed
                _log.warning("%s", error)
                must = True
        pause = _FIRST_PAUSE
        for _ in range(_MOST_TRIES):
            if self._try_once(why or "whoever undid it was ended", must=must):
                return
            wait_until(lambda: not must and self._look(UNDOING) is None, pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _try_once(self, why: str, *, must: bool) -> bool:
        """Whether nothing is left to do."""
        try:
            lock = StateLock.try_take(self._state)
        except HostError as error:
            # what cannot be locked cannot be written either: nobody else is changing anything
            _log.warning("%s", error)
            return self._undo_once(why, must=must)
        if lock is None:
            return not must and self._look(UNDOING) is None
        with lock:
            return self._undo_once(why, must=must)

    def _undo_once(self, why: str, *, must: bool) -> bool:
        if not must and self._look(UNDOING) is None:
            return True
        try:
            take_back(self._state, self._pending, self._undo, why)
        except Exception as error:  # noqa: BLE001 - nobody is there who could do it better
            said = str(error) if isinstance(error, NetfwError) else repr(error)
            _log.warning("change %d: %s", self._pending.number, said)
            if said != self._said:
                note(self._state, self._pending.number, "not undone", said)
            self._said = said
            return False
        return True


def _shield() -> None:
    for number in signal.valid_signals() - _NOT_IGNORED:
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    # the last process that should go where memory runs out; only root may say so
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-900", encoding="ascii")


def main(argv: Sequence[str], undo: Undo) -> None:
    """Stand guard as a program: ``STATE NUMBER WRITER``."""
    logging.basicConfig(format="netfw guard: %(message)s")
    path, number, writer = argv
    _shield()
    # whoever starts it waits until it has read the entries: many objects, hardly a cycle
    gc.disable()
    try:
        stand_guard(StateFolder(Path(path)), int(number), int(writer), undo)
    except NetfwError as error:
        sys.exit(str(error.faults[0]).partition("\n")[0])


if __name__ == "__main__":
    # by name: whatever undoes changes stands upon what guards them
    main(sys.argv[1:], importlib.import_module("netfw.apply.undo").undo)
