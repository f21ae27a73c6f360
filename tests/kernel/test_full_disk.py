"""A state folder on a disk that is full, or read-only: nothing is half written, and who waits for
a decision still gets it.

A process of its own mounts the disk, in a mount namespace that ends with it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.private_mounts import needs_private_mounts

pytestmark = [pytest.mark.kernel, needs_private_mounts]

START = """
import os, subprocess, sys
from dataclasses import replace
from pathlib import Path
from netfw.errors import HostError
from netfw.host.history import add_entry, entry_numbers, read_entry
from netfw.host.pending_change import *
from netfw.host.pending_change import confirmed_number
from netfw.host.state_folder import StateFolder
from netfw.host.state_lock import locked
from tests.unit.test_state_folder import ENTRY

folder = sys.argv[1]

def mount(options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "netfw", folder], check=True)

def refused(action):
    try:
        action()
    except HostError as error:
        return str(error)
    return "nothing was wrong"

def fill():
    with open(f"{folder}/full", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
"""


def play(folder: Path, program: str) -> list[str]:
    folder.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", START + program, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.replace(str(folder), "FOLDER").splitlines()


def test_a_full_disk_is_told_and_leaves_every_file_as_it_was(tmp_path: Path) -> None:
    assert play(
        tmp_path / "state",
        """
mount("size=256k,mode=700")
state = StateFolder(Path(folder))
state.make()
add_entry(state, ENTRY)
waiting = begin_waiting(state, begin_change(state, 1, 0), 60)
fill()
print(refused(lambda: add_entry(state, ENTRY)))
print(refused(lambda: begin_waiting(state, waiting, 99)))
print(entry_numbers(state), read_pending(state) == waiting)
with locked(state):
    print(confirm_change(state).number, confirmed_number(state))
print(sorted(os.listdir(folder)), os.listdir(f"{folder}/history"))
print(read_entry(StateFolder(Path(folder)), 1) == replace(ENTRY, number=1))
""",
    ) == [
        "FOLDER/history/000002.json: cannot be written: No space left on device",
        "  hint: make some room there",
        "FOLDER/pending.json: cannot be written: No space left on device",
        "  hint: make some room there",
        "[1] True",
        "1 1",
        "['confirmed.json', 'full', 'history', 'lock'] ['000001.json']",
        "True",
    ]


def test_a_change_is_undone_on_a_full_disk(tmp_path: Path) -> None:
    assert play(
        tmp_path / "state",
        """
mount("size=256k,mode=700")
state = StateFolder(Path(folder))
state.make()
begin_change(state, 1, 0)
fill()
with locked(state):
    print(claim_undo(state), find_unfinished(state, alone=True).problem)
    finish_undo(state)
print(find_unfinished(state))
""",
    ) == ["True change 1 has not been undone to its end", "None"]


def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    assert play(
        tmp_path / "state",
        """
mount("size=256k,mode=700")
state = StateFolder(Path(folder))
state.make()
add_entry(state, ENTRY)
mount("remount,ro")
print(entry_numbers(StateFolder(Path(folder))))
print(refused(lambda: locked(state).__enter__()))
print(refused(lambda: add_entry(state, ENTRY)))
""",
    ) == [
        "[1]",
        "FOLDER/lock: cannot be locked: Read-only file system",
        "  hint: mount it for writing, or name another folder with NETFW_STATE",
        "FOLDER/history/000002.json: cannot be written: Read-only file system",
        "  hint: mount it for writing, or name another folder with NETFW_STATE",
    ]
