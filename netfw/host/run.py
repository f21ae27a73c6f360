"""The one door to other programs.

No child outlives us for long: each reads its input to the end and writes to a pipe of ours, and
waits for a lock that others hold only as long as it is told to.
"""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netfw.errors import CapabilityError, HostError
from netfw.host.namespace import Namespace

_log = logging.getLogger("netfw")
_PACKAGES = {"sysctl": "procps", "nsenter": "util-linux", "nft": "nftables", "ip": "iproute2"}
"""Which distribution package has a program of another name; ``*tables-*`` are in iptables."""
_SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ran to its end."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    namespace: Namespace | None = None,
    timeout: float = 30.0,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Completed:
    """Run a program, inside a namespace if given, and wait up to ``timeout`` seconds.

    ``environment`` is added to ours. What the program writes may be any bytes: those that are no
    UTF-8 come as surrogates.

    Raises CapabilityError where the program is missing, and HostError where it takes too long
    or, with ``check``, where it exits with another status than 0.
    """
    command = [*argv]
    if namespace is not None:
        command = ["nsenter", f"--net={namespace.path}", *command]
    settings = {**os.environ, **(environment or {}), "LC_ALL": "C"}
    settings["PATH"] = f"{settings.get('PATH', '')}:{_SYSTEM_PATH}"
    if namespace is not None:
        settings["XTABLES_LOCKFILE"] = namespace.lock_path
    line = shlex.join(command)
    _log.debug("+ %s", line)
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=timeout,
            env=settings,
            check=False,
        )
    except FileNotFoundError:
        raise _missing(command[0]) from None
    except OSError as error:
        raise CapabilityError.at(command[0], f"cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise HostError.at(line, f"still running after {timeout:g} seconds") from None
    if done.returncode == 127 and namespace is not None:
        # nsenter's status where it cannot find the program
        raise _missing(argv[0])
    if check and done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or "it said nothing"
        raise HostError.at(line, f"exit status {done.returncode}: {said}")
    return Completed(tuple(command), done.returncode, done.stdout, done.stderr)


def _missing(program: str) -> CapabilityError:
    name = program.rpartition("/")[2]
    package = "iptables" if "tables" in name else _PACKAGES.get(name, name)
    return CapabilityError.at(
        program, "this program is not installed", f"install the package {package}"
    )
