"""The lock of the state folder: whoever changes the host, or the folder, holds it.

The kernel lets it go when its holder ends, however that ends (flock(2)), and a program that the
holder starts does not inherit it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from netfw.errors import ConflictError
from netfw.host.state_folder import StateFolder, refused
from netfw.host.wait import wait_until

PATIENCE = 10.0
"""Seconds to wait for the lock."""
LOCK = "lock"
GUARD_LOCK = "guard.lock"
"""The lock that a guard holds as long as it lives."""
GUARD_LINE = "guard.line."
"""What the names of the lines to guards begin with, which go with them unless they are killed."""
_PID_WIDTH = 10


class StateLock:
    """A lock that is held, until it is closed; a context manager.

    The same process cannot hold it twice.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def try_take(cls, state: StateFolder, name: str = LOCK) -> StateLock | None:
        """Take the lock if it is free. Raises HostError where the folder cannot be used."""
        state.make()
        path = state.path / name
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise refused(path, "cannot be locked", error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise refused(path, "cannot be locked", error) from None
        # for a message only; in the place of the last one's, which needs no room on the disk
        with suppress(OSError):
            os.pwrite(descriptor, f"{os.getpid():<{_PID_WIDTH}}\n".encode(), 0)
        return cls(descriptor)

    def close(self) -> None:
        """Let it go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> StateLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def locked(state: StateFolder, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of a folder, and remove what is left of those who were ended.

    Raises ConflictError where another process holds it for longer than ``patience`` seconds.
    """
    with take_lock(state, patience):
        state.sweep()
        if not is_held(state, GUARD_LOCK):
            state.sweep(GUARD_LINE)
        yield


def take_lock(state: StateFolder, patience: float = PATIENCE, name: str = LOCK) -> StateLock:
    """Take a lock, waiting up to ``patience`` seconds; raises ConflictError."""
    taken: list[StateLock] = []

    def take() -> bool:
        lock = StateLock.try_take(state, name)
        if lock is not None:
            taken.append(lock)
        return lock is not None

    if not wait_until(take, patience):
        pid = holder_of(state, name)
        raise ConflictError.at(
            str(state.path / name),
            f"another netfw{f' (process {pid})' if pid else ''} is changing this host,"
            f" and has not ended after {patience:g} seconds",
            "wait until it has ended",
        )
    return taken[0]


def is_held(state: StateFolder, name: str = LOCK) -> bool:
    """Whether somebody holds a lock, which may be this process."""
    try:
        descriptor = os.open(state.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # shared, so that two who ask do not take each other for the holder
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder_of(state: StateFolder, name: str = LOCK) -> int:
    """The process that took a lock last, or 0 where nobody can say."""
    try:
        text = (state.path / name).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return 0
    return int(text) if text.isascii() and text.isdigit() else 0
