"""Processes that a benchmark starts: where it is ended early, so are they, and nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def unwind_when_ended() -> None:
    """Let SIGTERM end this process by way of its ``with`` blocks, as Ctrl-C does.

    This process alone: one that was forked off and is ended (pyroute2 opens sockets in namespaces
    so) would close what it shares with us, such as the epoll of an event loop.
    """
    ours = os.getpid()

    def leave(number: int, _: object) -> None:
        if os.getpid() != ours:
            os._exit(128 + number)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


@contextmanager
def child(argv: Sequence[str], stdout: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process of ours; where we have to leave first, it is asked to end and given the time."""
    process = subprocess.Popen(argv, stdout=stdout, text=True)
    try:
        yield process
    except BaseException:
        process.terminate()
        process.wait()
        raise


def run(argv: Sequence[str]) -> None:
    """Run a process to its end; raises CalledProcessError where that is a bad one."""
    with child(argv) as process:
        status = process.wait()
    if status != 0:
        raise subprocess.CalledProcessError(status, argv)
