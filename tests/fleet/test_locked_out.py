"""A policy that cuts a host off: the host undoes it, and the rollout stops there.

While a host is locked out, a new connection hangs; then its guard undoes the change, and the
connection works again. Whoever takes that for a confirmation reports success.
"""

from __future__ import annotations

import shlex

import pytest

from tests.fleet.lab import Lab, needs_lab
from tests.fleet.repository import GATEWAYS, LOCKED_OUT, Repository

pytestmark = [pytest.mark.kernel, needs_lab]
WITH_MAIL = GATEWAYS.replace("https]}", "https, smtp]}")


@pytest.fixture(scope="module")
def before(lab: Lab, repository: Repository) -> dict[str, str]:
    """All hosts hold their policies; then one is to be changed, and to be locked out by it."""
    played = lab.play("apply", netfw_apply_rehearse=False, netfw_serial=3)
    assert played.status == 0, played.output
    repository.write("groups/gateways/web.yaml", WITH_MAIL)
    repository.write("hosts/h2/closed.yaml", LOCKED_OUT)
    return {name: host.saved() for name, host in lab.hosts.items()}


def test_the_rehearsal_refuses_it_and_nothing_is_written_from_there_on(
    lab: Lab, before: dict[str, str]
) -> None:
    played = lab.play("apply", "--limit", "h2,h3")
    assert played.status == 2, played.output
    (said,) = played.said("h2")
    assert "this change would cut the SSH connection that you are logged in by" in said
    assert {name: host.saved() for name, host in lab.hosts.items()} == before


def test_without_a_rehearsal_the_host_rolls_back_and_the_rollout_stops(
    lab: Lab, before: dict[str, str]
) -> None:
    played = lab.play("apply", netfw_apply_rehearse=False, netfw_apply_confirm=10)
    assert played.status == 2, played.output
    # the first is updated
    assert "--dports 25,80,443" in lab.hosts["h1"].saved()
    assert played.totals["h1"]["failures"] == 0
    # the second is as it was, and reported as rolled back though it can be reached again
    assert lab.hosts["h2"].saved() == before["h2"]
    result = played.of("h2", "Learn whether it was kept or rolled back")
    assert result["rolled_back"] is True
    assert played.totals["h2"]["failures"] == 1
    assert played.said("h2")[-1].startswith("ROLLED BACK: change 2 was undone at ")
    assert "it was not confirmed in time; the host holds change 1" in played.said("h2")[-1]
    # the third is untouched
    assert lab.hosts["h3"].saved() == before["h3"]
    assert "ROLLED BACK" not in played.of("h1", "Keep the change").get("msg", "")
    # a rollback of that rollout reaches the first host alone
    numbers = [len(host.history()) for host in lab.hosts.values()]
    back = lab.play("rollback")
    assert back.status == 0, back.output
    assert {name: host.saved() for name, host in lab.hosts.items()} == before
    now = [len(host.history()) for host in lab.hosts.values()]
    assert [new - old for new, old in zip(now, numbers, strict=True)] == [1, 0, 0]


def test_a_connection_that_breaks_in_the_middle_is_no_success_either(
    lab: Lab, before: dict[str, str]
) -> None:
    # as one of sshd, which ends the session once the rules stand
    program = "/usr/local/bin/breaking"
    lines = (
        "#!/bin/sh",
        'netfw "$@"',
        "status=$?",
        '[ "$1" != apply ] || pkill -KILL -f "^sshd: root"',
        "exit $status",
    )
    script = shlex.quote("\n".join(lines))
    lab.hosts["h3"].sh(f"printf '%s\\n' {script} > {program}; chmod 755 {program}")
    played = lab.play(
        "apply",
        *("--limit", "h3"),
        netfw_program=program,
        netfw_apply_rehearse=False,
        netfw_apply_confirm=3,
    )
    assert played.status == 2, played.output
    said = played.said("h3")[-1]
    assert said.startswith(
        "the connection broke while the policy was applied; change 2 was undone"
    )
    assert lab.hosts["h3"].saved() == before["h3"]
