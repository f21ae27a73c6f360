"""Stand-ins for a host and for what changes it: the host is a file, ``host`` beside the state
folder, which says which entry it holds.

``python -m tests.guard_stand_in STATE NUMBER WRITER`` is a guard of such a host, and
``… apply STATE WHERE [SECONDS]`` changes it, stopping where the test says; ``… guards STATE`` is
many guards, one after the other, for the numbers on its standard input. What they show is how the
processes get along with each other, and nothing about a kernel.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from netfw.apply import guard
from netfw.apply.guarded import Summons, guarded
from netfw.errors import HostError
from netfw.host.history import add_entry
from netfw.host.pending_change import begin_change
from netfw.host.state_folder import StateFolder
from netfw.host.state_lock import locked
from netfw.ir.names import Backend
from netfw.plan.entry import Caller, Entry
from netfw.plan.own import Own
from netfw.plan.pending import Pending

PROGRAM = ("-m", "tests.guard_stand_in")
ENTRY = Entry(
    "2026-01-31T12:00:00Z", Caller("anna"), "", "host.yaml", "0" * 64, Backend.NFT, Own()
)


def host_of(state: StateFolder) -> Path:
    return state.path.parent / "host"


def undo(state: StateFolder, pending: Pending) -> None:
    """As a real one: slower than a signal, refused while somebody holds what it needs, and from
    wherever the host is."""
    busy = state.path.parent / "busy"
    if busy.exists():
        raise HostError.at("host", "it is busy")
    (state.path.parent / "undoing").touch()
    host_of(state).write_text(f"half of {pending.before}")
    time.sleep(0.05)
    host_of(state).write_text(str(pending.before))


def stop(here: str, where: str) -> None:
    """Tell the test that we are where it wants us, and wait for what it does."""
    if here == where:
        print(here, flush=True)
        while True:
            signal.pause()


def change(state: StateFolder, where: str, seconds: float) -> None:
    """From entry 1 to the next one, in two writes, and wait so long to be confirmed."""
    stop("begin", where)
    with locked(state):
        stop("locked", where)
        number = add_entry(state, ENTRY).number
        stop("entry", where)
        if where in ("summoned", "begun"):
            with Summons(state, number, PROGRAM):
                stop("summoned", where)
                begin_change(state, number, 1)
                stop("begun", where)
        limit = 0.5 if where == "stopped" else 60.0
        with (
            Summons(state, number, PROGRAM) as summons,
            guarded(summons, 1, limit=limit) as change,
        ):
            stop("guarded", where)
            host_of(state).write_text(f"half of {number}")
            stop("half", where)
            if where == "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            if where == "late":
                late(state, number)
            if where == "error":
                raise HostError.at("step 2 of 2", "it failed")
            if where == "taken back":
                change.take_back(undo, "it failed")
                return
            host_of(state).write_text(str(number))
            stop("written", where)
            if where == "kept":
                change.keep()
                stop("kept", where)
                return
            change.wait_for_confirmation(seconds)
            stop("waiting", where)
    stop("left", where)
    print("ended", flush=True)


def late(state: StateFolder, number: int) -> None:
    """A program that writes when we are gone already."""
    script = 'read text; touch "$1.started"; sleep 0.5; echo "$text" > "$1"'
    child = subprocess.Popen(
        ["sh", "-c", script, "sh", str(host_of(state))], stdin=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    child.stdin.write(f"{number} too late\n")
    child.stdin.flush()
    while not host_of(state).with_name("host.started").exists():
        time.sleep(0.002)
    stop("late", "late")


def guards(state: StateFolder) -> None:
    """For each number on standard input a guard, and a line when it has gone home."""
    for line in sys.stdin:
        guard.stand_guard(state, int(line), os.getppid(), undo)
        print(line, end="", flush=True)


def main() -> None:
    if sys.argv[1] == "guards":
        guards(StateFolder(Path(sys.argv[2])))
        return
    if sys.argv[1] != "apply":
        guard.main(sys.argv[1:], undo)
        return
    if os.environ.get("STAND_IN_CLOCK"):
        # whoever asks for the time of day gets another one each time, years apart
        moments = iter(range(0, 2**31, 10**8))
        time.time = lambda: float(next(moments))
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 600.0
    try:
        change(StateFolder(Path(sys.argv[2])), sys.argv[3], seconds)
    except HostError as error:
        print(error, flush=True)


if __name__ == "__main__":
    main()
