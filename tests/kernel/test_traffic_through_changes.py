"""What both the old and the new policy allow goes on while a host changes, and what both deny
never gets through."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netfw.ir.names import Backend
from tests.kernel.policy_pairs import OPENING, PAIRS, PolicyPair
from tests.kernel.traffic import Traffic
from tests.kernel.traffic_host import TrafficHost

pytestmark = pytest.mark.kernel


@pytest.fixture(params=Backend, ids=str)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TrafficHost]:
    with TrafficHost(request.param, tmp_path) as made:
        yield made


def change(host: TrafficHost, pair: PolicyPair, times: int) -> str:
    """Apply a pair's policies in turn, so many times in all."""
    files = [
        host.write_policy(text, f"{number}.yaml")
        for number, text in enumerate((pair.first, pair.second))
    ]
    words = [sys.executable, "-m", "tests.kernel.applying", *files, str(times)]
    done = subprocess.run(
        ["nsenter", f"--net={host.box.path}", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=host.environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name.replace(" ", "-"))
def test_changes_lose_nothing_that_both_allow_and_let_through_nothing_that_both_deny(
    host: TrafficHost, pair: PolicyPair
) -> None:
    host.apply(OPENING)
    flows = [*pair.flows(host)]
    try:
        change(host, pair, 1)
        with Traffic(flows) as traffic:
            change(host, pair, 4)
    finally:
        for flow in flows:
            flow.close()
    print(traffic.lost, traffic.leaked)
    assert traffic.wrong == []
