"""``netfw rehearse`` and the rehearsal of ``netfw apply``, run as an administrator runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.backends import FIRST_ONE
from tests.kernel.changed_host import POLICY, ChangedHost

pytestmark = pytest.mark.kernel

CLOSED = f"{POLICY}failsafes: {{ingress: [{{service: ssh, from: 192.0.2.200}}]}}\n"
FROM_OFFICE = "192.0.2.7 51000 192.0.2.10 22"
FROM_ELSEWHERE = "203.0.113.7 51000 192.0.2.10 22"


class LoggedIn(ChangedHost):
    """A host to which somebody has come by SSH."""

    connection = FROM_OFFICE

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "SSH_CONNECTION": self.connection}


@pytest.fixture(params=FIRST_ONE, ids=str)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LoggedIn]:
    with LoggedIn(request.param, tmp_path) as made:
        yield made


def test_a_rehearsal_prints_what_was_tried_and_writes_nothing(host: LoggedIn):
    before = host.saved()
    done = host.netfw("rehearse", host.write_policy(CLOSED))
    assert "✓ your connection: 2 of 2 as they should be" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("✓ agree: ")
    assert host.saved() == before
    assert not host.state.exists()


def test_a_change_that_would_lock_out_whoever_asks_is_refused_unless_forced(host: LoggedIn):
    host.connection = FROM_ELSEWHERE
    before = host.saved()
    done = host.netfw("rehearse", host.write_policy(CLOSED), "--json", status=1)
    found = json.loads(done.stdout)
    assert found["cuts_connection"] is True
    said = host.apply(CLOSED, "--yes", status=1, rehearsed=True)
    assert "this change would cut the SSH connection that you are logged in by" in said
    assert host.saved() == before
    said = host.apply(CLOSED, "--yes", "--force", rehearsed=True)
    assert "WRITTEN ALL THE SAME, as --force says" in said
    assert "NETFW-" in host.saved()


def test_not_to_rehearse_is_loud(host: LoggedIn):
    host.connection = FROM_ELSEWHERE
    said = host.apply(CLOSED, "--yes")
    assert "NOT REHEARSED, as --no-rehearse says" in said
    assert "this change would cut" not in said


def test_a_change_that_agrees_says_little(host: LoggedIn):
    said = host.apply(CLOSED, "--yes", rehearsed=True)
    assert "rehearsing in a twin of this host" in said
    assert "agree" not in said
    assert "change 1 is kept" in said


def test_going_back_to_what_would_lock_out_whoever_asks_is_refused_too(host: LoggedIn):
    host.apply(CLOSED, "--yes")
    host.apply(POLICY, "--yes")
    host.connection = FROM_ELSEWHERE
    before = host.saved()
    done = host.netfw("rollback", "1", "--yes", status=1)
    assert "netfw rollback: this change would cut the SSH connection" in done.stderr
    assert host.saved() == before
    assert "NOT REHEARSED" in host.netfw("rollback", "1", "--yes", "--no-rehearse").stderr
    assert host.saved() != before


def test_a_removal_is_rehearsed_for_whoever_is_logged_in(host: LoggedIn):
    host.apply(POLICY, "--yes")
    assert "rehearsing in a twin of this host" in host.netfw("remove", "--yes").stderr
    assert "NETFW-" not in host.saved()
