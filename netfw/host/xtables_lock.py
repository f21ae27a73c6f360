"""Who holds the lock that the legacy programs take for the time of a change."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT = "/run/xtables.lock"
"""XT_LOCK_NAME in iptables/xshared.h; XTABLES_LOCKFILE names another one."""


def lock_holder(path: str = "") -> str:
    """Who holds a lock file: ``process 4711 (dockerd)``, empty where nobody can be seen.

    Sources: proc(5) on /proc/locks, whose process may have ended and left the file open to
    another one.
    """
    path = path or os.environ.get("XTABLES_LOCKFILE", DEFAULT)
    try:
        status = os.stat(path)
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return ""
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    file = f"{device}:{status.st_ino}"
    for words in map(str.split, locks):
        # 1: FLOCK ADVISORY WRITE 4711 00:19:1234 0 EOF; "->" is somebody who waits
        if len(words) == 8 and words[1] == "FLOCK" and words[5] == file:
            holder = words[4] if Path("/proc", words[4]).exists() else _who_has_open(status)
            return _named(holder) if holder else ""
    return ""


def _who_has_open(status: os.stat_result) -> str:
    """The number of a process that has a file open, empty if there is none to be seen."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            files = [os.stat(entry.path) for entry in os.scandir(process / "fd")]
        except OSError:
            continue
        if any(os.path.samestat(status, file) for file in files):
            return process.name
    return ""


def _named(process: str) -> str:
    try:
        name = Path("/proc", process, "comm").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"process {process}"
    return f"process {process} ({name.strip()})"
