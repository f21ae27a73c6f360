"""The one door to other programs."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from netfw.errors import CapabilityError, HostError
from netfw.host.namespace import Namespace

_log = logging.getLogger("netfw")
_PACKAGES = {
    "iptables-nft-restore": "iptables",
    "iptables-nft-save": "iptables",
    "iptables-legacy-restore": "iptables",
    "iptables-legacy-save": "iptables",
    "ip6tables-nft-restore": "iptables",
    "ip6tables-nft-save": "iptables",
    "ip6tables-legacy-restore": "iptables",
    "ip6tables-legacy-save": "iptables",
    "nsenter": "util-linux",
}
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
) -> Completed:
    """Run a program, inside a namespace if given, and wait up to ``timeout`` seconds.

    Raises CapabilityError where the program is missing, and HostError where it takes too long
    or, with ``check``, where it exits with another status than 0.
    """
    command = [*argv]
    if namespace is not None:
        command = ["nsenter", f"--net={namespace.path}", *command]
    environment = {**os.environ, "LC_ALL": "C"}
    environment["PATH"] = f"{environment.get('PATH', '')}:{_SYSTEM_PATH}"
    line = shlex.join(command)
    _log.debug("+ %s", line)
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        raise _missing(command[0]) from None
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
    return CapabilityError.at(
        program,
        "this program is not installed",
        f"install the package {_PACKAGES.get(program, program)}",
    )
