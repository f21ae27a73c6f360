"""The processes of this machine, which come and go while one looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def command_lines() -> Iterator[list[str]]:
    """The words of each process."""
    # no pattern names the file: to see whether it is there fails for a process that has gone
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
