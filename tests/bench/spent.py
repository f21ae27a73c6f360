"""What a command costs: seconds of CPU and of the clock, and peak memory, of its process alone.

A process begins with the peak memory of the one that starts it (exec_mmap in fs/exec.c keeps
that of the memory it leaves). So this file, run by itself, is the small process between: an
interpreter without ``site``, about 10 MiB, which starts the command, waits for it and prints
what wait4(2) says, its children that it waited for included.
"""

import os
import signal
import sys
import time

PATIENCE = 120
"""Seconds after which a command is ended, unless told otherwise."""


class Spent:
    """Seconds of CPU and of the clock, MiB at most, and the exit code (None: it took too long)."""

    def __init__(self, cpu: float, wall: float, peak: int, code: "int | None") -> None:
        self.cpu, self.wall, self.peak, self.code = cpu, wall, peak, code


def spend(argv: "list[str]", stdout: str = os.devnull, patience: int = PATIENCE) -> Spent:
    """Run a command with its output in a file, and say what it cost.

    What it says on standard error is thrown away. Raises FileNotFoundError where it is missing.
    """
    import shutil
    import subprocess

    from tests.bench.child import child

    program = shutil.which(argv[0])
    if program is None:
        raise FileNotFoundError(argv[0])
    between = [sys.executable, "-S", "-E", __file__, stdout, str(patience), program, *argv[1:]]
    with child(between, stdout=subprocess.PIPE) as process:
        said, _ = process.communicate()
    cpu, wall, peak, code = said.split()
    return Spent(float(cpu), float(wall), int(peak), None if code == "late" else int(code))


def best_of(rounds: int, argv: "list[str]", stdout: str = os.devnull) -> Spent:
    """The round with the least CPU: what others do at the same time only adds to it.

    A command that fails or takes too long is not run again.
    """
    best = spend(argv, stdout)
    for _ in range(rounds - 1):
        if best.code != 0:
            break
        best = min(best, spend(argv, stdout), key=lambda spent: spent.cpu)
    return best


def _main(stdout: str, patience: str, *argv: str) -> None:
    """Start the command in a process group of its own, which a command that is late ends with."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    late = False
    numbers = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM)
    # whoever ends us before we can end the command has to wait until we can
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    began = time.perf_counter()
    process = os.posix_spawn(
        argv[0],
        argv,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, stdout, flags, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setpgroup=0,
        setsigmask=(),
    )

    def end(*_: object) -> None:
        nonlocal late
        late = True
        os.killpg(process, signal.SIGKILL)

    for number in numbers:
        signal.signal(number, end)
    signal.alarm(int(patience))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - began
    code = "late" if late else os.waitstatus_to_exitcode(status)
    print(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss // 1024, code)


if __name__ == "__main__":
    _main(*sys.argv[1:])
