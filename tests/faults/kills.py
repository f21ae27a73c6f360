"""netfw ended by SIGKILL at each system call that writes, and at each process that it starts."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator

from tests.faults.fault import Fault
from tests.faults.faulty_host import STATES, FaultyHost

_WRITES = (
    *("write", "writev", "pwrite64", "pwritev", "ftruncate", "fallocate", "copy_file_range"),
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"),
    *("unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "mknod", "mknodat"),
    *("chmod", "fchmod", "fchmodat", "fchown", "fsync", "fdatasync", "flock"),
    *("sendto", "sendmsg", "sendmmsg", "setsockopt", "kill", "pidfd_send_signal"),
)
_STARTS = ("vfork", "fork", "clone", "clone3")
_WAITS = ("poll", "wait4")
"""The first of these behind a start is when the program runs."""
_LINE = re.compile(r"(\w+)\((.*)")


def kills(host: FaultyHost) -> list[Fault]:
    """The faults of a change from the state that the host holds, which is made once, and counted:
    at each call that writes, at each start of a process, and while each of them runs."""
    wanted = "new" if host.holds == "old" else "old"
    path = host.write_policy(STATES[wanted])
    log = host.folder / "calls"
    argv = host.argv("apply", path, "--no-rehearse")
    trace = f"trace=/^({'|'.join((*_WRITES, *_STARTS, *_WAITS))})$"
    subprocess.run(
        [*argv[:2], "strace", "-qq", "-o", log, "-e", trace, "-e", "signal=none", *argv[2:]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=host.environment,
        cwd=host.folder,
        check=True,
    )
    host.wait_for_guard()
    host.holds = wanted
    return [*_faults(log.read_text(errors="replace").splitlines())]


def _faults(lines: list[str]) -> Iterator[Fault]:
    counts: Counter[str] = Counter()
    is_started = False
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        call = found[1]
        counts[call] += 1
        name = f"{call} {counts[call]}"
        if call in _WAITS:
            if is_started:
                yield Fault("killed while a program runs", name, inject=(call, counts[call]))
            is_started = False
            continue
        is_started = call in _STARTS
        kind = "killed at the start of a process" if is_started else "killed at a write"
        yield Fault(kind, f"{name}: {found[2][:60]}", inject=(call, counts[call]))
