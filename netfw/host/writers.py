"""The programs that write a change to the host, known by a mark in their environment.

Whoever has taken the change over from a process that was ended waits for its programs: one that
was started could still write after all else has been put back.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from netfw.host.state_folder import StateFolder
from netfw.host.wait import wait_until

PATIENCE = 10.0
"""Seconds that such a program gets to end by itself."""
_VARIABLE = "NETFW_CHANGE"


@contextmanager
def marked(state: StateFolder, number: int) -> Iterator[None]:
    """Mark all programs that are started in this context as writers of a change."""
    os.environ[_VARIABLE] = _mark(state, number)
    try:
        yield
    finally:
        del os.environ[_VARIABLE]


def end_writers(state: StateFolder, number: int, patience: float = PATIENCE) -> None:
    """Wait for the programs that write a change, and end them after ``patience`` seconds.

    One that has not begun yet shows no mark. It writes nothing: its input died with its parent.
    """
    try:
        mark = os.fsencode(f"{_VARIABLE}={_mark(state, number)}")
    except OSError:
        return  # the folder is gone, and nobody knows what it was
    if wait_until(lambda: not any(_marked(mark)), patience):
        return
    for pid in _marked(mark):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(_marked(mark)), patience)


def _mark(state: StateFolder, number: int) -> str:
    # the folder's name may be another folder's in another mount namespace
    found = os.stat(state.path)
    return f"{found.st_dev}:{found.st_ino}:{number}"


def _marked(mark: bytes) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
            if mark in file.read().split(b"\0"):
                yield int(name)
