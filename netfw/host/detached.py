"""Starting a process that outlives this one, its terminal, its session and its connection."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from netfw.errors import HostError
from netfw.host.run import run

_BOOTED = Path("/run/systemd/system")
"""There where systemd runs the machine (sd_booted(3))."""
_NAMESPACES = ("net", "mnt", "pid", "user")
_PASSED_ON = ("PATH", "XTABLES_LOCKFILE")
"""What of our environment a service of systemd gets."""


class Detached:
    """A process that was started, with what it says on its standard error; a context manager, and
    the process goes on after it."""

    def __init__(self, said: IO[bytes] | None) -> None:
        self._said = said

    def last_words(self) -> str:
        """The last line that it wrote, empty where there is none or nobody knows."""
        if self._said is None:
            return ""
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def __enter__(self) -> Detached:
        return self

    def __exit__(self, *_: object) -> None:
        if self._said is not None:
            self._said.close()


def start_detached(argv: Sequence[str], unit: str, environment: Mapping[str, str]) -> Detached:
    """Start a program in a session of its own, in / and without input. ``environment`` is added
    to ours.

    Where systemd runs, it becomes a service of its own with the name ``unit``: the end of a login
    session, or of the service that we are part of, ends all other processes in it. But only where
    we are in systemd's own namespaces, as it starts services nowhere else.
    Raises HostError where the program cannot be started.
    """
    if _is_systemds() and _run_by_systemd(argv, unit, environment):
        return Detached(None)
    said = tempfile.TemporaryFile()  # noqa: SIM115 - Detached closes it
    try:
        # the shell ends at once: nobody is the program's parent, and it leads no session
        subprocess.run(
            ["/bin/sh", "-c", 'exec "$@" &', "sh", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            cwd="/",
            env={**os.environ, **environment},
            start_new_session=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said.close()
        raise HostError.at(argv[0], f"cannot be started: {error}") from None
    return Detached(said)


def _run_by_systemd(argv: Sequence[str], unit: str, environment: Mapping[str, str]) -> bool:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    passed |= environment
    try:
        done = run(systemd_command(argv, unit, passed), check=False)
    except HostError:
        return False
    return done.status == 0


def systemd_command(argv: Sequence[str], unit: str, environment: Mapping[str, str]) -> list[str]:
    """The command that has systemd start a program as a service."""
    return [
        *("systemd-run", "--quiet", "--collect", f"--unit={unit}", "--working-directory=/"),
        # it ignores what asks it to end: the machine's end does not wait for that
        *("--property=TimeoutStopSec=5s", "--property=OOMScoreAdjust=-900"),
        *(f"--setenv={name}={value}" for name, value in environment.items()),
        *("--", *argv),
    ]


def _is_systemds() -> bool:
    """Whether systemd runs this machine, and we are in its namespaces."""
    try:
        return _BOOTED.is_dir() and all(
            os.path.samefile(f"/proc/1/ns/{kind}", f"/proc/self/ns/{kind}") for kind in _NAMESPACES
        )
    except OSError:
        return False
