"""A machine starts: what was confirmed is there before its interfaces, or it is closed.

A start is another namespace with the same state folder, and nobody left of those who ran before.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netfw.host.pending_change import PENDING, read_pending
from netfw.host.state_folder import StateFolder
from netfw.host.state_lock import GUARD_LOCK, holder_of, is_held
from netfw.ir.names import Backend
from netfw.plan.pending import pending_data
from tests.kernel.backends import FIRST_ONE
from tests.kernel.changed_host import POLICY, ROOT, ChangedHost, only_counted_on
from tests.kernel.private_mounts import needs_private_mounts
from tests.kernel.test_life_of_a_change import MORE, wait_for

pytestmark = pytest.mark.kernel
STEERED = (
    POLICY + "steer:\n  - {from: [10.0.0.0/25], table: 200, via: {out: wan, gateway: 192.0.2.1}}\n"
)
WEB = "tcp 198.51.100.7 -> 192.0.2.10:80 in eth0"
MAIL = "tcp 198.51.100.7 -> 192.0.2.10:25 in eth0"
SSH = "tcp 198.51.100.7 -> 192.0.2.10:22 in eth0"
SSH6 = "tcp [2001:db8:9::7] -> [2001:db8::10]:22 in eth0"
Start = Callable[[], ChangedHost]


@pytest.fixture(params=FIRST_ONE, ids=str)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ChangedHost]:
    with ChangedHost(request.param, tmp_path / "before") as made:
        yield made


@pytest.fixture
def start_again(host: ChangedHost, tmp_path: Path) -> Iterator[Start]:
    """Give the same host after the machine was started again."""
    started = []

    def start() -> ChangedHost:
        state = StateFolder(host.state)
        if is_held(state, GUARD_LOCK):
            os.kill(holder_of(state, GUARD_LOCK), signal.SIGKILL)
            wait_for(lambda: not is_held(state, GUARD_LOCK), 5)
        pending = read_pending(state)
        if pending is not None:
            state.write(PENDING, "pending", pending_data(replace(pending, boot="another one")))
        made = ChangedHost(host.backend, tmp_path / f"after-{len(started)}")
        made.state = host.state
        started.append(made)
        return made

    yield start
    for made in started:
        made.__exit__()


def rules(host: ChangedHost) -> str:
    return host.sh(
        f"for i in ip ip6; do ${{i}}tables-{host.backend}-save; done; ipset save | sort"
        " | sed 's/ initval [^ ]*//'; ip rule; ip -6 rule"
    ).replace("ip6tables", "iptables")


def plain(text: str) -> list[list[str]]:
    """Table by table, without what packets have counted; legacy tables have no order."""
    kept = [line for line in text.splitlines() if not line.startswith(("#", ":")) or " - " in line]
    tables: list[list[str]] = [[]]
    for line in kept:
        if line.startswith("*"):
            tables.append([])
        tables[-1].append(line)
        if line == "COMMIT":
            tables.append([])
    return sorted(tables)


def gets_in(host: ChangedHost, packet: str) -> bool:
    said = host.netfw("explain", "--host", packet).stdout
    assert ("ACCEPT" in said) or ("DROP" in said), said
    return "dropped" not in said.lower()


def stand_in(host: ChangedHost, program: str, script: str) -> None:
    """Put a script in the place of a program; ``$real`` is the program, ``$input`` its input."""
    real = shutil.which(program, path="/usr/sbin:/sbin:/usr/bin")
    path = host.folder / "bin" / program
    path.write_text(f"#!/bin/sh\nreal={real}\ninput=$(cat)\n{script}\n")
    path.chmod(0o755)


def test_what_was_confirmed_is_there_again(host: ChangedHost, start_again: Start) -> None:
    host.apply(POLICY)
    host.apply(STEERED)
    after = start_again()
    assert "change 2 is restored" in after.netfw("boot").stdout
    assert plain(rules(after)) == plain(rules(host))
    assert after.status()["well"] is True
    before = after.saved(counters=True)
    after.netfw("boot")
    assert only_counted_on(before, after.saved(counters=True))


def test_interfaces_need_not_be_there(host: ChangedHost, start_again: Start) -> None:
    host.apply(STEERED)
    after = start_again()
    after.ip("link del eth0", "link del eth1")
    said = after.netfw("boot").stdout
    assert "change 1 is restored" in said
    assert "not yet, its interface is not ready: IPv4 default via 192.0.2.1 dev eth0" in said
    assert plain(rules(after)) == plain(rules(host))


def test_a_change_that_was_not_confirmed_is_never_restored(
    host: ChangedHost, start_again: Start
) -> None:
    host.apply(POLICY)
    host.apply(MORE, "--confirm", "60s")
    after = start_again()
    done = after.netfw("boot")
    assert "change 2 is undone" in done.stderr
    assert "change 1 is restored" in done.stdout
    assert gets_in(after, WEB)
    assert not gets_in(after, MAIL)
    assert after.status()["well"] is True
    assert "undone" in after.netfw("history").stdout


def test_a_first_change_that_was_not_confirmed_leaves_nothing(
    host: ChangedHost, start_again: Start
) -> None:
    host.apply(POLICY, "--confirm", "60s")
    after = start_again()
    empty = rules(after)
    assert "nothing of netfw's" in after.netfw("boot").stdout
    assert rules(after) == empty


def test_a_host_on_which_nothing_was_applied_is_left_alone(host: ChangedHost) -> None:
    empty = rules(host)
    host.netfw("boot")
    assert rules(host) == empty
    assert not host.state.exists()


def test_a_change_that_is_under_way_is_not_touched(host: ChangedHost) -> None:
    host.apply(POLICY)
    host.apply(MORE, "--confirm", "60s")
    before = host.saved(counters=True)
    assert "waits to be confirmed" in host.netfw("boot", status=4).stderr
    assert only_counted_on(before, host.saved(counters=True))
    host.netfw("confirm")


@pytest.mark.parametrize("broken", ["history/000001.json", "confirmed.json"])
def test_what_somebody_has_changed_closes_the_host(
    host: ChangedHost, start_again: Start, broken: str
) -> None:
    host.apply(POLICY)
    path = host.state / broken
    path.write_text(path.read_text().replace("1", "2", 1))
    after = start_again()
    said = after.netfw("boot", status=4).stderr
    assert str(path) in said
    assert "the host is closed but for failsafes" in said
    assert not gets_in(after, WEB)
    assert gets_in(after, SSH)
    assert gets_in(after, SSH6)
    shutil.rmtree(after.state)
    after.apply(POLICY)
    assert "CLOSED" not in after.saved()
    assert gets_in(after, WEB)
    after.netfw("remove", "--yes")
    assert "NETFW" not in after.saved()


def test_what_cannot_be_read_leaves_a_host_open_where_that_is_wanted(
    host: ChangedHost, start_again: Start
) -> None:
    host.apply(POLICY)
    (host.state / "confirmed.json").write_text("{}")
    after = start_again()
    empty = rules(after)
    assert "THE HOST IS OPEN" in after.netfw("boot", "--fail", "open", status=4).stderr
    assert rules(after) == empty


REFUSED = (
    'case "$input" in *NETFW-IN-wan*) echo refused >&2; exit 1;; esac; echo "$input" | $real "$@"'
)


@pytest.mark.parametrize("fail", ["closed", "open"])
def test_a_table_that_is_refused_in_the_middle_leaves_no_half(
    host: ChangedHost, start_again: Start, fail: str
) -> None:
    host.apply(POLICY)
    after = start_again()
    stand_in(after, f"ip6tables-{after.backend}-restore", REFUSED)
    said = after.netfw("boot", "--fail", fail, status=4).stderr
    assert "refused" in said
    if fail == "closed":
        assert not gets_in(after, WEB)
        assert gets_in(after, SSH)
        assert gets_in(after, SSH6)
    else:
        assert "NETFW" not in after.saved()
        if after.backend is Backend.NFT:
            assert after.sh("nft list ruleset") == ""


def test_who_is_killed_in_the_middle_leaves_the_host_closed(
    host: ChangedHost, start_again: Start
) -> None:
    host.apply(POLICY)
    after = start_again()
    kill = REFUSED.replace("echo refused >&2", "kill -9 $PPID")
    stand_in(after, f"iptables-{after.backend}-restore", kill)
    after.netfw("boot", status=-signal.SIGKILL)
    assert not gets_in(after, WEB)
    assert gets_in(after, SSH)
    (after.folder / "bin" / f"iptables-{after.backend}-restore").unlink()
    after.netfw("apply", "--repair")
    assert after.status()["well"] is True


def test_a_policys_own_failsafes_stay_open_in_a_closed_host(
    host: ChangedHost, start_again: Start
) -> None:
    host.apply(POLICY + "failsafes: {ingress: [{service: tcp/2222, from: 198.51.100.0/24}]}\n")
    after = start_again()
    stand_in(after, f"iptables-{after.backend}-restore", REFUSED)
    after.netfw("boot", status=4)
    assert gets_in(after, SSH.replace(":22", ":2222"))
    assert not gets_in(after, SSH.replace(":22", ":2222").replace("198.51.100.7", "203.0.113.7"))
    assert not gets_in(after, SSH)


def test_the_unit_is_one_that_systemd_understands(host: ChangedHost) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze")
    unit = host.folder / "netfw.service"
    unit.write_text(host.netfw("boot", "--unit", "--fail", "open").stdout)
    assert f"Environment=NETFW_STATE={host.state}" in unit.read_text()
    assert "boot --fail open" in unit.read_text()
    done = subprocess.run(
        [program, "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    said = [line for line in done.stderr.splitlines() if "netfw" in line]
    assert not said, done.stderr


@needs_private_mounts
def test_a_state_folder_that_cannot_be_written_is_enough(
    host: ChangedHost, start_again: Start
) -> None:
    host.apply(POLICY)
    after = start_again()
    state = after.state
    mount = f"mount --bind {state} {state} && mount -o remount,bind,ro {state} {state}"
    done = subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private"),
            *("sh", "-ec", f'{mount}; exec "$@"', "sh", *after.argv("boot")),
        ],
        capture_output=True,
        text=True,
        env=after.environment,
        cwd=after.folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Read-only file system" in done.stderr
    assert "change 1 is restored" in done.stdout
    assert plain(rules(after)) == plain(rules(host))
