"""The state folder: what is written is whole, what was changed is found, one caller decides."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from netfw.compiler.source_map import SourceMap
from netfw.errors import ConflictError, HostError, Where
from netfw.host import history, journal
from netfw.host.clock import boot_name, since_boot
from netfw.host.history import add_entry, confirmed_entry, entry_numbers, read_entry
from netfw.host.pending_change import (
    CONFIRMED,
    PENDING,
    UNDOING,
    begin_change,
    begin_waiting,
    claim_undo,
    confirm_change,
    confirmed_number,
    find_unfinished,
    finish_undo,
    read_pending,
)
from netfw.host.state_folder import StateFolder
from netfw.host.state_lock import GUARD_LOCK, StateLock, is_held, locked, take_lock
from netfw.ir.names import Backend, Family, TableName
from netfw.ir.origin import Origin
from netfw.plan.entry import Caller, Entry
from netfw.plan.own import Own, OwnTable
from netfw.plan.pending import pending_data

OWN = Own({(Family.IPV4, TableName.FILTER): OwnTable({"NETFW-a": ("-j DROP",)})})
ENTRY = Entry(
    "2026-01-31T12:00:00Z",
    Caller("anna", "192.0.2.7 port 50122"),
    "a web server — at last",
    "host.yaml",
    "0" * 64,
    Backend.NFT,
    OWN,
    SourceMap((Origin(Where("host.yaml", 3, 5), "public/web", "allow web"),)),
    {"net/ipv4/ip_forward": "0"},
)


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state")
    folder.make()
    return folder


def fresh(state: StateFolder) -> StateFolder:
    """The same folder as another process sees it."""
    return StateFolder(state.path)


def refusal(error: pytest.ExceptionInfo[HostError]) -> str:
    (fault,) = error.value.faults
    assert "\n" not in fault.problem
    return f"{fault.place}: {fault.problem}"


def test_an_entry_comes_back_as_it_was_with_its_number(state: StateFolder) -> None:
    added = add_entry(state, ENTRY)
    assert added == replace(ENTRY, number=1)
    assert read_entry(fresh(state), 1) == added
    assert add_entry(state, ENTRY).number == 2
    assert entry_numbers(state) == [1, 2]


def test_nobody_else_can_read_what_is_kept(state: StateFolder) -> None:
    before = os.umask(0)
    try:
        add_entry(state, ENTRY)
        with locked(state):
            journal.note(state, 1, "applied")
    finally:
        os.umask(before)
    paths = [state.path, *state.path.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}


def test_a_folder_that_others_may_read_is_closed_and_one_that_is_missing_is_empty(
    tmp_path: Path,
) -> None:
    nowhere = StateFolder(tmp_path / "a/b")
    assert (entry_numbers(nowhere), confirmed_entry(nowhere)) == ([], None)
    assert find_unfinished(nowhere) is None
    assert not nowhere.path.exists()
    nowhere.make()
    nowhere.path.chmod(0o755)
    with locked(nowhere):
        assert nowhere.path.stat().st_mode & 0o777 == 0o700


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETFW_STATE", str(tmp_path / "here"))
    assert StateFolder().path == tmp_path / "here"
    monkeypatch.setenv("NETFW_STATE", "")
    assert StateFolder().path == Path("/var/lib/netfw")


@pytest.mark.parametrize("inner", [".", "history"])
def test_a_folder_that_others_may_write_is_refused(state: StateFolder, inner: str) -> None:
    (state.path / inner).chmod(0o770)
    with pytest.raises(HostError) as raised:
        fresh(state)
    assert refusal(raised).endswith(": others may write in this folder (mode 770)")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(HostError, match=r"state: this is no folder"):
        StateFolder(tmp_path / "state")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_of_another_user_is_refused(state: StateFolder) -> None:
    os.chown(state.path, 65534, 65534)
    with pytest.raises(HostError) as raised:
        fresh(state)
    assert refusal(raised).endswith(": this folder belongs to user 65534, who may change it")


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes somebody else")
def test_who_is_not_root_is_told_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    StateFolder(tmp_path / "state").make()
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from netfw.errors import HostError\n"
        "from netfw.host.history import entry_numbers\n"
        "from netfw.host.state_folder import StateFolder\n"
        # now that all is imported, which others may not read everywhere
        "os.chdir('/'); os.seteuid(65534)\n"
        "try: entry_numbers(StateFolder(Path(sys.argv[1])))\n"
        "except HostError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "state")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{tmp_path}/state")
    assert done.stdout.endswith(": cannot be read: Permission denied\n  hint: run as root\n")


def test_an_entry_that_was_changed_is_refused_whatever_was_changed(state: StateFolder) -> None:
    add_entry(state, ENTRY)
    path = state.path / "history/000001.json"
    data = path.read_bytes()
    for place in range(len(data)):
        for text in (
            data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :],
            data[:place],
        ):
            path.write_bytes(text)
            with pytest.raises(HostError) as raised:
                read_entry(fresh(state), 1)
            assert refusal(raised).startswith(f"{path}: ")
    path.write_bytes(data + b"\n")
    with pytest.raises(HostError, match="this is not as netfw wrote it"):
        read_entry(fresh(state), 1)


def test_an_entry_in_the_place_of_another_one_is_refused(state: StateFolder) -> None:
    add_entry(state, ENTRY)
    (state.path / "history/000001.json").rename(state.path / "history/000002.json")
    with pytest.raises(HostError, match=r"000002.json: .*: this is entry 1"):
        read_entry(fresh(state), 2)


def test_a_file_of_another_kind_or_a_newer_form_is_refused(state: StateFolder) -> None:
    add_entry(state, ENTRY)
    (state.path / PENDING).write_bytes((state.path / "history/000001.json").read_bytes())
    with pytest.raises(HostError, match="this is of kind 'entry', not 'pending'"):
        read_pending(state)
    text = (state.path / PENDING).read_text().replace('{"schema":1', '{"schema":2')
    (state.path / PENDING).write_text(text)
    with pytest.raises(HostError, match="this has the form 2, and this netfw knows 1"):
        read_pending(state)


def test_a_pipe_or_a_link_in_the_place_of_a_file_is_refused(state: StateFolder) -> None:
    os.mkfifo(state.path / PENDING)
    with pytest.raises(HostError, match="this is no file"):
        read_pending(state)
    (state.path / PENDING).unlink()
    (state.path / PENDING).symlink_to("/etc/hostname")
    with pytest.raises(HostError, match="cannot be read"):
        read_pending(state)


def test_an_entry_that_is_not_there_is_named(state: StateFolder) -> None:
    with pytest.raises(HostError) as raised:
        read_entry(state, 7)
    assert refusal(raised) == f"{state.path}: there is no entry 7"


def test_the_oldest_entries_go_but_never_those_that_are_needed(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT", 3)
    for _ in range(3):
        add_entry(state, ENTRY)
    begin_waiting(state, begin_change(state, 1, 0), 60)
    confirm_change(state)
    begin_change(state, 3, 2)
    for _ in range(5):
        add_entry(state, ENTRY)
    assert entry_numbers(state) == [1, 2, 3, 6, 7, 8]
    assert confirmed_number(state) == 1


def test_a_number_is_not_given_twice_where_files_are_gone(state: StateFolder) -> None:
    add_entry(state, ENTRY)
    begin_waiting(state, begin_change(state, 1, 0), 60)
    confirm_change(state)
    (state.path / "history/000001.json").unlink()
    assert add_entry(fresh(state), ENTRY).number == 2


def test_the_journal_keeps_what_happened_and_forgets_the_oldest(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "KEPT", 3)
    for number in range(1, 6):
        journal.note(state, number, "undone", "not confirmed in time")
    events = journal.read_events(state)
    assert [event.number for event in events] == [3, 4, 5]
    assert (events[0].what, events[0].text) == ("undone", "not confirmed in time")


def test_a_second_netfw_waits_for_the_lock_and_then_names_its_holder(state: StateFolder) -> None:
    with locked(state):
        assert is_held(state)
        with pytest.raises(ConflictError) as raised, locked(fresh(state), 0.05):
            pass
    assert refusal(raised) == (
        f"{state.path}/lock: another netfw (process {os.getpid()}) is changing this host,"
        " and has not ended after 0.05 seconds"
    )
    assert not is_held(state)
    with locked(fresh(state)):
        pass


def test_a_lock_goes_with_its_holder_and_is_not_inherited(state: StateFolder) -> None:
    program = (
        "import subprocess, sys; from pathlib import Path\n"
        "from netfw.host.state_folder import StateFolder\n"
        "from netfw.host.state_lock import take_lock\n"
        "lock = take_lock(StateFolder(Path(sys.argv[1])))\n"
        "child = subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True); child.wait()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(state.path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with closing(holder.stdout):
        child = int(holder.stdout.readline())
        assert is_held(state)
        holder.kill()
        holder.wait()
    try:
        with locked(state, 1):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_what_was_half_written_is_removed_by_the_next_who_takes_the_lock(
    state: StateFolder,
) -> None:
    for folder in (state.path, state.path / "history"):
        (folder / ".new-abc").write_text("half")
    with locked(state):
        assert not list(state.path.rglob(".new-*"))


def test_a_change_is_written_waits_and_is_confirmed(state: StateFolder) -> None:
    writing = begin_change(state, 2, 1, limit=9)
    assert (writing.number, writing.before, writing.boot) == (2, 1, boot_name())
    assert 8 < writing.deadline - since_boot() <= 9
    waiting = begin_waiting(state, writing, 60)
    assert 59 < waiting.deadline - since_boot() <= 60
    assert read_pending(state) == waiting
    assert confirm_change(state) == waiting
    assert confirmed_number(state) == 2
    assert find_unfinished(state) is None


def test_a_change_that_is_undone_leaves_what_was_confirmed(state: StateFolder) -> None:
    begin_waiting(state, begin_change(state, 1, 0), 60)
    confirm_change(state)
    begin_change(state, 2, 1)
    assert claim_undo(state)
    assert not claim_undo(state)
    assert find_unfinished(state, alone=True) is not None
    finish_undo(state)
    assert find_unfinished(state) is None
    assert confirmed_number(state) == 1


def conflict(action: object) -> str:
    with pytest.raises(ConflictError) as raised:
        action()  # type: ignore[operator]
    return refusal(raised).partition(": ")[2]


def test_what_cannot_be_confirmed_says_why(state: StateFolder) -> None:
    assert conflict(lambda: confirm_change(state)) == "no change waits to be confirmed"
    writing = begin_change(state, 2, 1)
    assert conflict(lambda: confirm_change(state)) == "change 2 is not written yet"
    waiting = begin_waiting(state, writing, 60)
    state.write(PENDING, "pending", pending_data(replace(waiting, boot="another")))
    assert conflict(lambda: confirm_change(state)) == (
        "the machine was started again before change 2 was confirmed"
    )
    claim_undo(state)
    assert conflict(lambda: confirm_change(state)) == (
        "change 2 is being undone: it was not confirmed in time"
    )
    assert conflict(lambda: begin_waiting(state, waiting, 60)) == (
        "change 2 was taken back while it was written"
    )


def test_no_change_begins_while_another_one_is_not_ended(state: StateFolder) -> None:
    begin_waiting(state, begin_change(state, 2, 1), 60)
    assert conflict(lambda: begin_change(state, 3, 1)) == (
        "change 2 waits to be confirmed, and its guard is gone: nobody undoes it"
    )
    claim_undo(state)
    assert conflict(lambda: begin_change(state, 3, 1)) == (
        "change 2 has not been undone to its end"
    )


@pytest.fixture
def guard(state: StateFolder) -> Iterator[StateLock]:
    """A guard that lives, as far as its lock says."""
    with take_lock(state, name=GUARD_LOCK) as lock:
        yield lock


def test_what_is_under_way_is_told_and_what_was_left_behind_is_lost(
    state: StateFolder, guard: StateLock
) -> None:
    def seen(*, alone: bool = False) -> tuple[bool, str]:
        found = find_unfinished(state, alone=alone)
        assert found is not None
        assert found.hint
        return found.is_lost, found.problem

    writing = begin_change(state, 2, 1)
    broken_off = (True, "change 2 was broken off while it was written")
    assert seen() == (False, "change 2 is being written")
    # whoever writes holds the lock: so who has it knows that nobody does
    assert seen(alone=True) == broken_off
    waiting = begin_waiting(state, writing, 60)
    assert seen(alone=True) == (False, "change 2 waits to be confirmed, for 60 s more")
    guard.close()
    gone = "change 2 waits to be confirmed, and its guard is gone: nobody undoes it"
    assert seen() == (False, gone)
    begin_waiting(state, waiting, -1)
    assert seen() == (True, "change 2 was not confirmed in time")
    state.write(PENDING, "pending", pending_data(replace(waiting, boot="another")))
    assert seen() == (True, "the machine was started again before change 2 was confirmed")
    state.write(PENDING, "pending", pending_data(writing))
    assert seen() == broken_off
    claim_undo(state)
    assert seen() == (True, "change 2 has not been undone to its end")
    with locked(state):
        assert seen() == (False, "change 2 is being undone")


def test_confirming_and_undoing_at_the_same_moment_one_wins_and_the_other_says_so(
    state: StateFolder,
) -> None:
    for number in range(1, 201):
        begin_waiting(state, begin_change(state, number, 0), 60)
        start = threading.Barrier(2)
        won: list[str] = []
        said: list[str] = []

        def confirm(
            start: threading.Barrier = start, won: list[str] = won, said: list[str] = said
        ) -> None:
            start.wait()
            try:
                confirm_change(state)
                won.append("confirm")
            except ConflictError as error:
                said.append(str(error))

        def undo(start: threading.Barrier = start, won: list[str] = won) -> None:
            start.wait()
            if claim_undo(state):
                won.append("undo")

        threads = [threading.Thread(target=target) for target in (confirm, undo)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert ["is being undone" in line for line in said] == [True] * (won == ["undo"])
        assert state.has(UNDOING) is (won == ["undo"])
        assert not state.has(PENDING)
        assert (confirmed_number(state) == number) is (won == ["confirm"])
        finish_undo(state)
    assert state.has(CONFIRMED)
