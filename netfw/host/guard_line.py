"""The line between a guard and whoever writes a change: a FIFO in the state folder.

The guard reads; that somebody can open it for writing says that the guard is ready. Words on it
say nothing but "look again": what holds is in the folder's files. Its end says that whoever wrote
is gone, however that came.
"""

from __future__ import annotations

import errno
import os
import select
from contextlib import suppress

from netfw.errors import HostError
from netfw.host.state_folder import StateFolder, refused
from netfw.host.state_lock import GUARD_LINE

_LOOK_AGAIN = b"\n"


class GuardLine:
    """The guard's end: a context manager; raises HostError where it cannot be made."""

    def __init__(self, state: StateFolder, number: int) -> None:
        self._path = state.path / f"{GUARD_LINE}{number}"
        self.was_met = False
        """Whether somebody has been at the other end."""
        self.has_ended = False
        """Whether somebody was at the other end, and is gone."""
        self._kept_open = -1
        try:
            self._path.unlink(missing_ok=True)
            os.mkfifo(self._path, 0o600)
            self._reader = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise refused(self._path, "cannot be made", error) from None
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)

    def keep_open(self) -> None:
        """From now on the line has no end: others come and go."""
        if self._kept_open < 0:
            self._kept_open = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self.has_ended = False

    def wait(self, seconds: float) -> None:
        """Wait until somebody says something, or is gone, but no longer than this."""
        for _, events in self._poll.poll(max(seconds, 0) * 1000):
            if events & select.POLLIN:
                self.was_met = True
                os.read(self._reader, 4096)
            elif events & select.POLLHUP:
                self.was_met = self.has_ended = True

    def close(self) -> None:
        """Nobody is here any more."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        os.close(self._reader)
        if self._kept_open >= 0:
            os.close(self._kept_open)

    def __enter__(self) -> GuardLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class GuardCall:
    """The other end, of whoever writes a change or decides of it; a context manager."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.look_again()

    @classmethod
    def open(cls, state: StateFolder, number: int) -> GuardCall | None:
        """The line to the guard of a change, or None where no guard is ready."""
        path = state.path / f"{GUARD_LINE}{number}"
        try:
            return cls(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENXIO):
                return None
            raise refused(path, "cannot be opened", error) from None

    def look_again(self) -> None:
        """Tell the guard that something has changed; raises HostError where it is gone."""
        try:
            os.write(self._descriptor, _LOOK_AGAIN)
        except BlockingIOError:
            pass  # it has enough to read already
        except OSError:
            raise HostError.at(
                "guard", "the process that would undo this change is gone"
            ) from None

    def close(self) -> None:
        """Hang up."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> GuardCall:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
