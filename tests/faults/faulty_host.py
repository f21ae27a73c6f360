"""A host whose programs can be made to fail at a chosen call, in the middle of a change."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from netfw.ir.names import Backend
from tests.faults.policies import NEW, OLD
from tests.kernel.changed_host import ChangedHost
from tests.kernel.others import settle_others
from tests.processes import command_lines

STATES = {"old": OLD, "new": NEW}
GUARD_TIME = 90.0
"""Seconds within which a guard has to be at its end."""
_TRAPPED = """\
#!/bin/sh
kind={kind} real={real} here={here} state={state}
if [ -e "$here/trap" ] && {is_writing} && [ "$(readlink /proc/self/ns/net)" = "{space}" ]; then
  n=$(($(cat "$here/count.$kind" 2>/dev/null || echo 0) + 1))
  echo $n >"$here/count.$kind"
  . "$here/trap"
fi
exec "$real" "$@"
"""
"""What stands before a program: a shell script ``trap`` is read at each call that writes to this
host, with the program's ``$kind``, and ``$n``, which counts the calls of that kind. It makes a
file ``$here/sprung`` where it does something."""
_DISK = """\
mount -t tmpfs -o size=8m,mode=700 netfw "$1"
cp -a "$1.kept/." "$1"
echo ready
exec sleep 7200
"""
JUMPING_CLOCK = "./jumping-clock.so"
"""A library that is put before the C library, relative to the host's folder."""
_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

static time_t jump(void) {
    static const time_t by[] = {0, 315360000, -315360000, 86400, -3600};
    static unsigned looks;
    return by[looks++ % 5];
}
int clock_gettime(clockid_t which, struct timespec *found) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(which, found);
    if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE || which == CLOCK_TAI)
        found->tv_sec += jump();
    return status;
}
time_t time(time_t *kept) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (kept) *kept = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *found, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    found->tv_sec = now.tv_sec;
    found->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""
_SET_END = re.compile(r"(NETFW-\S+?)\.[bcd](?=\s|$)")
_ASKED = re.compile(r"--match-set (\S+)")
_CHANCE = re.compile(r" (initval|hashsize|packets|bytes) \S+")


class FaultyHost(ChangedHost):
    """A host beside others' rules that holds the policy ``old``, having held both."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        super().__init__(backend, folder)
        self.trap = folder / "trap"
        self.world = self._far
        self._disk: subprocess.Popen[str] | None = None
        for name, kind, is_writing in (
            (f"iptables-{backend}-restore", "tables", "true"),
            (f"ip6tables-{backend}-restore", "tables", "true"),
            ("ipset", "sets", '[ "$1" = restore ]'),
            ("ip", "routing", '[ "$2" = -batch ]'),
        ):
            self._set_trap_before(name, kind, is_writing)
        settle_others(self.box, backend)
        self.add_docker_bridge()
        self.states: dict[str, list[str]] = {}
        for name in ("old", "new", "old"):
            self.apply(STATES[name], "--no-rehearse")
            self.states[name] = self.state_lines()
        self.holds = "old"
        assert self.states["old"] != self.states["new"]

    def add_docker_bridge(self) -> None:
        """What others' rules and the prober need: forwarding, and neighbours that are known."""
        self.write("net/ipv4/ip_forward", 1)
        self.write("net/ipv6/conf/all/forwarding", 1)
        self.ip(
            "link add docker0 type bridge",
            "neighbour replace 10.0.0.7 lladdr 02:00:00:00:01:02 dev eth1 nud permanent",
            "neighbour replace fd00::7 lladdr 02:00:00:00:01:02 dev eth1 nud permanent",
        )

    def _set_trap_before(self, name: str, kind: str, is_writing: str) -> None:
        real = next(
            path
            for folder in ("/usr/sbin", "/sbin", "/usr/bin", "/bin")
            if (path := Path(folder, name)).exists()
        )
        script = self.folder / "bin" / name
        space = f"net:[{os.stat(self.box.path).st_ino}]"
        script.write_text(
            _TRAPPED.format(
                kind=kind,
                real=real,
                here=self.folder,
                state=self.state,
                is_writing=is_writing,
                space=space,
            )
        )
        script.chmod(0o755)

    def argv(self, *words: str) -> list[str]:
        """The command line that runs netfw here, on the disk of its own if it has one."""
        found = super().argv(*words)
        if self._disk is None:
            return found
        return [found[0], f"--mount=/proc/{self._disk.pid}/ns/mnt", *found[1:]]

    def set_trap(self, script: str) -> None:
        """Have this read at each call of a program that writes; nothing if it is empty."""
        for path in (*self.folder.glob("count.*"), self.folder / "sprung"):
            path.unlink(missing_ok=True)
        if script:
            self.trap.write_text(script)
        else:
            self.trap.unlink(missing_ok=True)

    def calls(self, kind: str) -> int:
        """How many calls of a kind there were since the trap was set."""
        path = self.folder / f"count.{kind}"
        return int(path.read_text()) if path.exists() else 0

    def put_on_small_disk(self) -> None:
        """Give the state folder a disk of its own, which nobody but netfw here sees."""
        kept = Path(f"{self.state}.kept")
        subprocess.run(["cp", "-a", self.state, kept], check=True)
        self._disk = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-ec",
                _DISK,
                "sh",
                self.state,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._disk.stdout is not None
        assert self._disk.stdout.readline() == "ready\n"

    def build_jumping_clock(self) -> None:
        """Build the library by which CLOCK_REALTIME jumps by years at each look."""
        library = self.folder / JUMPING_CLOCK
        if library.exists():
            return
        source = self.folder / "clock.c"
        source.write_text(_CLOCK)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        here = {**os.environ, "LD_PRELOAD": str(library)}
        show = [sys.executable, "-c", "import time; print(*(int(time.time()) for _ in range(9)))"]
        looks = subprocess.run(show, env=here, capture_output=True, text=True, check=True).stdout
        assert max(map(int, looks.split())) - min(map(int, looks.split())) > 600_000_000

    def on_disk(self, script: str) -> None:
        """Run a script where netfw here sees its disk; ``$state`` is the state folder."""
        assert self._disk is not None
        subprocess.run(
            ["nsenter", f"--mount=/proc/{self._disk.pid}/ns/mnt", "sh", "-ec", script],
            env={**os.environ, "state": str(self.state)},
            check=True,
        )

    @property
    def _state_here(self) -> Path:
        """The state folder as this process sees it."""
        if self._disk is None:
            return self.state
        return Path(f"/proc/{self._disk.pid}/root{self.state}")

    def entries(self) -> int:
        """How many entries the history has."""
        return len([*(self._state_here / "history").glob("[0-9]*.json")])

    def is_guarded(self) -> bool:
        """Whether a guard stands or comes, or somebody holds the state folder's lock."""
        if self._has_guard_process():
            return True
        for name in ("guard.lock", "lock"):
            try:
                with open(self._state_here / name, "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except FileNotFoundError:
                continue
            except BlockingIOError:
                return True
        return False

    def _has_guard_process(self) -> bool:
        """Whether a guard runs, which holds no lock before its change has begun."""
        return any(
            "netfw.apply.guard" in words and str(self.state) in words for words in command_lines()
        )

    def wait_for_guard(self) -> float:
        """Wait until nobody changes this host any more, as long as that may take; how many seconds
        it took."""
        start = time.monotonic()
        while self.is_guarded() and time.monotonic() - start < GUARD_TIME:
            time.sleep(0.05)
        return time.monotonic() - start

    def state_lines(self, saved: str | None = None) -> list[str]:
        """Everything that a change could touch, in one order, whichever way it came about: chains
        in the order of their names, and sets by the names that the policy gives them. A set that
        no rule of ours asks decides nothing."""
        saved = saved or self.saved()
        asked = {
            found[1]
            for line in saved.splitlines()
            if line.startswith("-A NETFW-") and (found := _ASKED.search(line))
        }
        kept = (
            line
            for line in saved.splitlines()
            if not line.startswith(("create NETFW-", "add NETFW-")) or line.split()[1] in asked
        )
        text = _CHANCE.sub("", _SET_END.sub(r"\1", "\n".join(kept)))
        found, table, numbers = [], "", itertools.count(10_000)
        seen: list[str] = []
        for line in text.splitlines():
            if line.startswith("*"):
                seen.append(line)
                table = f"{seen.count(line)}{line}"
            elif line == "COMMIT":
                table = ""
            elif not table:
                found.append(line)
            elif line.startswith("-A "):
                found.append(f"{table} {line.split()[1]} {next(numbers)} {line}")
            else:
                found.append(f"{table} {line.split()[0][1:]} {line}")
        return _without_numbers(sorted(found))

    def state_name(self, saved: str) -> str:
        """``old``, ``new``, or what differs from the nearer one, by what ``saved`` gave."""
        now = self.state_lines(saved)
        for name, lines in self.states.items():
            if lines == now:
                return name
        unlike = {name: sorted(set(now) ^ set(lines)) for name, lines in self.states.items()}
        name, lines = min(unlike.items(), key=lambda pair: len(pair[1]))
        return f"between: {len(lines)} lines from {name}: {'; '.join(lines[:6])}"

    def __exit__(self, *wrong: object) -> None:
        if self._disk is not None:
            self._disk.kill()
            self._disk.wait()
            assert self._disk.stdout is not None
            self._disk.stdout.close()
        super().__exit__(*wrong)


def others_lines(saved: str) -> list[str]:
    """What is nobody's but others', in its order."""
    return [
        line
        for line in saved.splitlines()
        if "NETFW-" not in line and "netfw:" not in line and line[:1] in (":", "-", "a", "c")
    ]


def _without_numbers(lines: list[str]) -> list[str]:
    """What kept the rules of a chain in their order says nothing any more."""
    return [re.sub(r"^(\d\*\w+ \S+) \d{5} ", r"\1 ", line) for line in lines]
