"""Whatever happens to whoever changes a host: a guard brings it back, or it is confirmed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netfw.apply.guarded import Summons, confirm, guarded
from netfw.apply.take_back import settle
from netfw.errors import ConflictError, HostError
from netfw.host.guard_line import GuardCall
from netfw.host.history import add_entry
from netfw.host.journal import read_events
from netfw.host.pending_change import (
    PENDING,
    UNDOING,
    begin_change,
    begin_waiting,
    claim_undo,
    confirmed_number,
    find_unfinished,
    keep_change,
    read_pending,
)
from netfw.host.state_folder import StateFolder
from netfw.host.state_lock import GUARD_LOCK, LOCK, holder_of, is_held, locked
from netfw.host.wait import wait_until
from tests.guard_stand_in import ENTRY, PROGRAM, host_of, undo
from tests.processes import command_lines

ROOT = Path(__file__).resolve().parents[2]
LONG = 20.0
"""Seconds within which everything ends that is going to, also on a busy machine."""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    """A host that holds entry 1, confirmed; no process outlives the test."""
    folder = StateFolder(tmp_path / "state")
    with locked(folder):
        add_entry(folder, ENTRY)
        keep_change(folder, begin_change(folder, 1, 0))
    host_of(folder).write_text("1")
    yield folder
    for name in (LOCK, GUARD_LOCK):
        if is_held(folder, name):
            os.kill(holder_of(folder, name), signal.SIGKILL)


class Writer:
    """A process that changes the host, and stops at a place."""

    def __init__(self, state: StateFolder, *words: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *PROGRAM, "apply", str(state.path), *words],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            start_new_session=True,
            # whoever runs the tests in the background may have switched Ctrl-C off
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().strip()

    def send(self, number: signal.Signals, *, to_group: bool = False) -> None:
        """Send a signal to it, or to all that are in its process group and session."""
        if to_group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        self.end()

    def end(self) -> None:
        self.process.wait(LONG)
        assert self.process.stdout is not None
        self.process.stdout.close()


def guard_ends(state: StateFolder) -> None:
    assert wait_until(lambda: not is_held(state, GUARD_LOCK), LONG), "the guard goes on"


def expect(state: StateFolder, host: str, *events: str) -> None:
    """What the host holds, and what the journal says of it; nothing is left to be done."""
    guard_ends(state)
    assert host_of(state).read_text() == host
    assert [event.what for event in read_events(state)] == list(events)
    assert find_unfinished(state) is None
    with locked(state):
        pass
    assert [name for name in state.names() if name.startswith(("guard.line", ".new"))] == []


DEATHS = ["guarded", "half", "written"]


@pytest.mark.parametrize("where", DEATHS)
def test_whoever_is_killed_while_writing_is_undone_at_once(state: StateFolder, where: str) -> None:
    writer = Writer(state, where)
    assert writer.said == where
    writer.send(signal.SIGKILL)
    expect(state, "1", "undone")
    assert confirmed_number(state) == 1


@pytest.mark.parametrize("where", ["begin", "locked", "entry"])
def test_whoever_is_killed_before_anything_is_written_leaves_nothing(
    state: StateFolder, where: str
) -> None:
    Writer(state, where).send(signal.SIGKILL)
    expect(state, "1")


def test_whoever_is_killed_before_the_guard_stands_is_undone_as_soon_as_it_does(
    state: StateFolder,
) -> None:
    Writer(state, "begun").send(signal.SIGKILL)
    soon = 10.0  # half of what a guard waits for whoever may still call
    assert wait_until(lambda: bool(read_events(state)), soon)
    expect(state, "1", "undone")


def test_a_guard_whose_change_never_begins_goes_home_without_a_word(state: StateFolder) -> None:
    writer = Writer(state, "summoned")
    writer.send(signal.SIGKILL)
    assert wait_until(lambda: not _guards_of(state), 10.0)
    expect(state, "1")


def test_a_guard_goes_home_where_the_folder_is_let_go_before_the_change_begins(
    state: StateFolder,
) -> None:
    with locked(state), Summons(state, 2, PROGRAM):
        # this process lives on, and did not come to write anything
        assert wait_until(lambda: bool(_guards_of(state)), LONG)
        assert not wait_until(lambda: not _guards_of(state), 1.0)
    assert wait_until(lambda: not _guards_of(state), 10.0)
    expect(state, "1")


def _guards_of(state: StateFolder) -> list[str]:
    """The processes that are guards of this folder, or will be."""
    return [
        " ".join(words)
        for words in command_lines()
        if str(state.path) in words and "tests.guard_stand_in" in words
    ]


@pytest.mark.parametrize("where", [*DEATHS, "error"])
def test_an_error_in_the_middle_is_undone(state: StateFolder, where: str) -> None:
    writer = Writer(state, where)
    writer.send(signal.SIGINT)
    expect(state, "1", "undone")


def test_whoever_fails_can_undo_it_without_the_guard(state: StateFolder) -> None:
    Writer(state, "taken back").end()
    expect(state, "1", "undone")
    assert read_events(state)[0].text == "it failed"


def test_what_is_kept_at_once_stays_and_the_guard_goes_home(state: StateFolder) -> None:
    writer = Writer(state, "kept")
    guard_ends(state)
    writer.send(signal.SIGKILL)
    expect(state, "2", "confirmed")
    assert confirmed_number(state) == 2


@pytest.mark.parametrize(
    "number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGTSTP]
)
def test_a_guard_does_not_care_for_signals(state: StateFolder, number: signal.Signals) -> None:
    writer = Writer(state, "waiting")
    guard = holder_of(state, GUARD_LOCK)
    os.kill(guard, number)
    writer.send(signal.SIGKILL)
    assert is_held(state, GUARD_LOCK)
    confirm(state)
    expect(state, "2", "confirmed")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_what_ends_a_session_or_a_process_group_does_not_end_the_guard(
    state: StateFolder, number: signal.Signals
) -> None:
    writer = Writer(state, "half")
    guard = holder_of(state, GUARD_LOCK)
    assert os.getsid(guard) != os.getsid(writer.process.pid)
    assert os.getpgid(guard) != os.getpgid(writer.process.pid)
    writer.send(number, to_group=True)
    expect(state, "1", "undone")


def test_a_guard_has_no_parent_in_common_with_whoever_started_it(state: StateFolder) -> None:
    writer = Writer(state, "waiting")
    status = Path(f"/proc/{holder_of(state, GUARD_LOCK)}/stat").read_text()
    assert int(status.rpartition(")")[2].split()[1]) not in (os.getpid(), writer.process.pid)
    assert os.readlink(f"/proc/{holder_of(state, GUARD_LOCK)}/cwd") == "/"
    writer.send(signal.SIGKILL)


def test_a_change_that_waits_survives_whoever_made_it_and_is_undone_in_the_end(
    state: StateFolder,
) -> None:
    start = time.monotonic()
    writer = Writer(state, "waiting", "1.5")
    writer.send(signal.SIGKILL)
    assert host_of(state).read_text() == "2"
    expect(state, "1", "undone")
    assert time.monotonic() - start >= 1.5
    with pytest.raises(ConflictError, match="no change waits to be confirmed"):
        confirm(state)


def test_a_change_that_is_confirmed_stays_and_the_guard_goes_home_at_once(
    state: StateFolder,
) -> None:
    Writer(state, "nowhere").end()
    start = time.monotonic()
    assert confirm(state).number == 2
    expect(state, "2", "confirmed")
    assert time.monotonic() - start < 1
    assert confirmed_number(state) == 2


def test_a_guard_is_ready_for_the_next_change_as_soon_as_one_is_confirmed(
    state: StateFolder,
) -> None:
    for number in range(2, 5):
        Writer(state, "nowhere").end()
        confirm(state)
        assert confirmed_number(state) == number
    expect(state, "4", *["confirmed"] * 3)


def test_a_program_that_still_writes_when_its_parent_is_gone_is_waited_for(
    state: StateFolder,
) -> None:
    writer = Writer(state, "late")
    assert writer.said == "late"
    writer.send(signal.SIGKILL)
    expect(state, "1", "undone")
    # what it wrote came before what was put back
    time.sleep(0.6)
    assert host_of(state).read_text() == "1"


def test_a_writer_that_was_stopped_is_ended_and_undone_when_its_time_is_up(
    state: StateFolder,
) -> None:
    writer = Writer(state, "stopped")
    writer.end()
    assert writer.process.returncode == -signal.SIGKILL
    expect(state, "1", "undone")
    assert read_events(state)[0].text == "it was not written in time"


def test_what_cannot_be_undone_yet_is_tried_again(state: StateFolder) -> None:
    busy = state.path.parent / "busy"
    busy.touch()
    Writer(state, "half").send(signal.SIGKILL)
    assert wait_until(lambda: bool(read_events(state)), LONG)
    assert host_of(state).read_text() == "half of 2"
    found = find_unfinished(state)
    assert found is not None
    assert (found.is_lost, found.problem) == (False, "change 2 is being undone")
    busy.unlink()
    expect(state, "1", "not undone", "undone")
    assert read_events(state)[0].text == "host: it is busy"


def test_a_lock_that_somebody_else_holds_does_not_delay_the_decision(state: StateFolder) -> None:
    Writer(state, "nowhere", "0.3").end()
    with locked(state):
        assert wait_until(lambda: state.has(UNDOING), LONG)
        with pytest.raises(ConflictError, match="change 2 is being undone"):
            confirm_with_the_lock(state)
        assert host_of(state).read_text() == "2"
    expect(state, "1", "undone")


def confirm_with_the_lock(state: StateFolder) -> None:
    from netfw.host.pending_change import confirm_change

    confirm_change(state)


def test_whoever_undoes_it_first_and_is_gone_is_followed_by_the_guard(state: StateFolder) -> None:
    Writer(state, "nowhere", "600").end()
    with locked(state):
        assert claim_undo(state)
    expect(state, "1", "undone")


def test_a_state_folder_that_is_gone_does_not_keep_what_nobody_confirmed(
    state: StateFolder,
) -> None:
    Writer(state, "nowhere", "600").end()
    guard = holder_of(state, GUARD_LOCK)
    state.path.rename(state.path.with_name("elsewhere"))
    assert wait_until(lambda: host_of(state).read_text() == "1", LONG)
    assert wait_until(lambda: not Path(f"/proc/{guard}").exists(), LONG)


def test_a_file_that_was_changed_decides_nothing(state: StateFolder) -> None:
    Writer(state, "nowhere", "1").end()
    (state.path / PENDING).write_text("rubbish")
    with pytest.raises(HostError, match="this is not as netfw wrote it"):
        confirm(state)
    guard_ends(state)
    assert host_of(state).read_text() == "1"


@pytest.mark.parametrize("where", ["half", "waiting"])
def test_a_guard_that_was_killed_leaves_a_change_that_the_next_command_finds(
    state: StateFolder, where: str
) -> None:
    writer = Writer(state, where, "600")
    os.kill(holder_of(state, GUARD_LOCK), signal.SIGKILL)
    guard_ends(state)
    if where == "half":
        found = find_unfinished(state)
        assert found is not None
        # whoever writes holds the lock, and may come to an end yet
        assert (found.is_lost, found.problem) == (False, "change 2 is being written")
    writer.send(signal.SIGKILL)
    found = find_unfinished(state)
    assert found is not None
    if where == "half":
        assert str(found.problem) == "change 2 was broken off while it was written"
        assert (found.is_lost, found.hint) == (True, "'netfw rollback' undoes it")
    else:
        assert found.problem == (
            "change 2 waits to be confirmed, and its guard is gone: nobody undoes it"
        )
        assert found.hint == "'netfw confirm' keeps it, 'netfw rollback' undoes it"
        with locked(state):
            assert settle(state, undo) == found
            assert host_of(state).read_text() == "2"
            pending = read_pending(state)
            assert pending is not None
            begin_waiting(state, pending, -1)
    with locked(state):
        settled = settle(state, undo)
        assert settled is not None
        assert settle(state, undo) is None
    expect(state, "1", "undone")


def test_whoever_finds_its_guard_gone_does_not_wait_for_a_confirmation(state: StateFolder) -> None:
    with locked(state):
        number = add_entry(state, ENTRY).number
        with Summons(state, number, PROGRAM) as summons, guarded(summons, 1) as change:
            os.kill(holder_of(state, GUARD_LOCK), signal.SIGKILL)
            guard_ends(state)
            with pytest.raises(HostError, match="the process that would undo this change is gone"):
                change.wait_for_confirmation(60)
            change.take_back(undo, "it has no guard")
    expect(state, "1", "undone")


def test_a_guard_that_cannot_begin_says_why_and_nothing_is_begun(state: StateFolder) -> None:
    with locked(state):
        number = add_entry(state, ENTRY).number
        path = state.path / "history/000001.json"
        text = path.read_text()
        path.write_text(text.replace("anna", "hugo"))
        with (
            pytest.raises(
                HostError, match=r"cannot begin: .*000001\.json: this was changed since"
            ),
            Summons(state, number, PROGRAM) as summons,
            guarded(summons, 1),
        ):
            pytest.fail("there is no guard")
        with (
            pytest.raises(HostError, match=r"cannot begin: .*No module named nothing"),
            Summons(state, number, ("-m", "nothing")) as summons,
            guarded(summons, 1),
        ):
            pytest.fail("there is no guard")
        path.write_text(text)
    expect(state, "1")


def test_a_clock_that_jumps_changes_nothing(state: StateFolder) -> None:
    Writer(state, "nowhere", "1", STAND_IN_CLOCK="jumps").end()
    pending = read_pending(state)
    assert pending is not None
    assert pending.deadline < time.clock_gettime(time.CLOCK_BOOTTIME) + 1
    expect(state, "1", "undone")


def test_confirmation_and_deadline_at_the_same_moment_200_times(state: StateFolder) -> None:
    """The deadline is that of a guard; the confirmation comes up to 3 ms before or behind it."""
    draw = random.Random(5)
    outcomes = {"confirmed": 0, "undone": 0}
    guards = subprocess.Popen(
        [sys.executable, *PROGRAM, "guards", str(state.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert guards.stdin is not None
    assert guards.stdout is not None
    for number in range(2, 202):
        with locked(state):
            assert add_entry(state, ENTRY).number == number
            writing = begin_change(state, number, 1)
            guards.stdin.write(f"{number}\n")
            guards.stdin.flush()
            call = line_to(state, number)
            waiting = begin_waiting(state, writing, 0.02)
            host_of(state).write_text(str(number))
            call.look_again()
            call.close()
        moment = waiting.deadline + draw.uniform(-0.003, 0.003)
        while time.clock_gettime(time.CLOCK_BOOTTIME) < moment:
            pass
        try:
            confirm(state)
            won = "confirmed"
        except ConflictError:
            won = "undone"
        assert guards.stdout.readline() == f"{number}\n"
        outcomes[won] += 1
        assert host_of(state).read_text() == (str(number) if won == "confirmed" else "1")
        assert (confirmed_number(state) == number) is (won == "confirmed")
        assert find_unfinished(state) is None
    guards.communicate()
    events = [event.what for event in read_events(state)]
    assert {what: events.count(what) for what in outcomes} == outcomes
    assert min(outcomes.values()) > 10, outcomes


def line_to(state: StateFolder, number: int) -> GuardCall:
    calls: list[GuardCall | None] = []
    assert wait_until(lambda: calls.append(GuardCall.open(state, number)) or bool(calls[-1]), LONG)
    (*_, call) = calls
    assert call is not None
    return call


def test_whoever_is_killed_at_any_moment_leaves_the_old_state_or_the_new_one(
    state: StateFolder,
) -> None:
    """Killed at moments between its start and twice its length, a change after the other."""
    start = time.monotonic()
    writer = Writer(state, "kept")
    length = time.monotonic() - start
    writer.send(signal.SIGKILL)
    guard_ends(state)
    ends = set()
    for moment in range(16):
        before = host_of(state).read_text()
        confirmed = confirmed_number(state)
        process = subprocess.Popen(
            [sys.executable, *PROGRAM, "apply", str(state.path), "kept"],
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            start_new_session=True,
        )
        time.sleep(length * moment / 8)
        process.kill()
        process.wait()
        guard_ends(state)
        with locked(state):
            settle(state, undo)
            assert find_unfinished(state, alone=True) is None
        host = host_of(state).read_text()
        if confirmed_number(state) != confirmed:
            assert host == str(confirmed_number(state))
        else:
            # where nothing was written, nothing was undone
            assert host in ("1", before)
        ends.add((confirmed_number(state) != confirmed, host == "1"))
    assert {was_kept for was_kept, _ in ends} == {True, False}
