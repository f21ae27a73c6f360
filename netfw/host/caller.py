"""Who runs this process, and where from: what sudo and su leave of it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from netfw.plan.entry import Caller

_UNSET = 0xFFFFFFFF
"""The login user of processes that nobody logged in for (linux/audit.h: AUDIT_UID_UNSET)."""
_MOST_ANCESTORS = 64
_CONNECTION = "SSH_CONNECTION"


def find_caller() -> Caller:
    """The user who logged in, where somebody did, and the SSH connection that this came by."""
    connection = ssh_connection()
    origin = f"{connection[0]} port {connection[1]}" if connection else ""
    return Caller(_user(), origin)


def ssh_connection() -> tuple[str, int, str, int] | None:
    """Address and port of the client and of this host, or None where there is no SSH connection.

    sudo takes the variable away, so that the processes above are looked at.
    """
    for environment in _environments():
        words = environment.get(_CONNECTION, "").split()
        if len(words) == 4 and words[1].isdigit() and words[3].isdigit():
            return words[0], int(words[1]), words[2], int(words[3])
    return None


def _environments() -> Iterator[dict[str, str]]:
    """Ours, and those that the processes above us were started with, as far as we may see them."""
    yield dict(os.environ)
    pid = os.getppid()
    for _ in range(_MOST_ANCESTORS):
        try:
            words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            # the name may hold blanks and parentheses: what follows the last one has a fixed form
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2]
        except OSError:
            return
        pairs = (os.fsdecode(word).partition("=") for word in words)
        yield {name: value for name, _, value in pairs}
        pid = int(stat.split()[1])
        if pid == 0:
            return


def _user() -> str:
    """sudo's user, else the one who logged in, else the one that this process runs as."""
    named = os.environ.get("SUDO_USER", "")
    if named:
        return named
    number = os.geteuid()
    try:
        login = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
        if login != _UNSET:
            number = login
    except (OSError, ValueError):
        pass  # a kernel without auditing
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
