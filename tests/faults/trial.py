"""One fault put into one change, and whether the host came through it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field

from tests.faults.fault import Fault
from tests.faults.faulty_host import GUARD_TIME, STATES, FaultyHost, others_lines
from tests.faults.prober import Prober


@dataclass
class Outcome:
    """``end`` is the state in which the host was, once nobody worked at it any more
    (``old`` and ``new`` as the change sees them); ``status`` is
    the change's exit status (negative: the signal that ended it). ``problems`` are what should not
    be: none where the host came through."""

    fault: Fault
    is_reached: bool = True
    status: int = 0
    end: str = ""
    seconds: float = 0.0
    said: str = ""
    told: str = ""
    leaked: int = 0
    problems: list[str] = field(default_factory=list)


def try_fault(host: FaultyHost, prober: Prober, fault: Fault) -> Outcome:
    """Change a host from the state that it holds to the other one, with a fault in it; then look
    at it, and change it again without one."""
    found = Outcome(fault)
    wanted = "new" if host.holds == "old" else "old"
    path = host.write_policy(STATES[wanted])
    others, leaked, passed = others_lines(host.saved()), prober.leaked, prober.passed
    entries = host.entries()
    fault.before(host)
    host.set_trap(fault.trap)
    done = _change(host, fault, path)
    found.status, found.said = done.returncode, done.stdout + done.stderr
    if "Traceback" in found.said or done.returncode == 70:
        found.problems.append(f"netfw does not know what to say: {found.said}")
    found.is_reached = _is_reached(host, fault, done)
    found.seconds = host.wait_for_guard()
    if found.seconds >= GUARD_TIME:
        found.problems.append("the guard does not come to its end")
    host.set_trap("")
    fault.after(host)
    found.end = host.state_name(host.saved())
    found.end = {host.holds: "old", wanted: "new"}.get(found.end, found.end)
    if fault.is_unguarded:
        if found.end not in STATES:
            found.end = "between"
    elif found.end not in fault.ends:
        found.problems.append(f"the host is {found.end}")
    found.problems += _judge_words(host, found, has_begun=host.entries() > entries)
    applied = host.netfw("apply", path, "--no-rehearse", status=None)
    if applied.returncode:
        found.problems.append(f"the next change fails: {applied.stdout}{applied.stderr}")
    host.wait_for_guard()
    saved = host.saved()
    now = host.state_name(saved)
    if now != wanted:
        found.problems.append(f"behind the next change the host is {now}")
    if others_lines(saved) != others:
        lines = set(others) ^ set(others_lines(saved))
        found.problems.append(f"what others have has changed: {sorted(lines) or 'its order'}")
    found.leaked = prober.leaked - leaked
    if found.leaked:
        found.problems.append(f"{found.leaked} packets got through that both policies deny")
    if prober.passed == passed:
        found.problems.append("the prober saw nothing at all")
    host.holds = wanted
    return found


def _change(host: FaultyHost, fault: Fault, path: str) -> subprocess.CompletedProcess[str]:
    argv = host.argv("apply", path, "--no-rehearse", "-m", str(fault), *fault.words)
    if fault.inject is not None:
        call, number = fault.inject
        traced = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", "signal=none"]
        traced += ["-e", f"inject={call}:signal=SIGKILL:when={number}"]
        start = next(index for index, word in enumerate(argv) if index and word[0] == "/")
        argv = [*argv[:start], *traced, *argv[start:]]
    environment = dict(fault.environment)
    if "LD_PRELOAD" in environment:
        environment["LD_PRELOAD"] = str(host.folder / environment["LD_PRELOAD"])
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**host.environment, **environment},
        cwd=host.folder,
        timeout=180,
        check=False,
    )


def _is_reached(host: FaultyHost, fault: Fault, done: subprocess.CompletedProcess[str]) -> bool:
    if fault.inject is not None:
        return done.returncode < 0
    return not fault.trap or (host.folder / "sprung").exists()


def _judge_words(host: FaultyHost, found: Outcome, *, has_begun: bool) -> list[str]:
    """What ``netfw status`` says, and whether it says what happened."""
    done = host.netfw("status", status=None)
    found.told = done.stdout + done.stderr
    problems = []
    if done.returncode not in (0, 1):
        problems.append(f"status ends with {done.returncode}: {found.told}")
    # where a change had begun and is not there, that has to be told without being asked for
    is_lost = found.status and found.end == "old" and has_begun
    if is_lost and not re.search("undone|undoes it", found.told):
        problems.append(f"status does not say that the change was undone: {found.told}")
    if found.end not in STATES and done.returncode != 1:
        problems.append(f"status does not notice: {found.told}")
    return problems
