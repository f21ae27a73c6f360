"""Changes of a host under traffic."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

from tests.kernel.policy_pairs import OPENING, PolicyPair
from tests.kernel.traffic import Traffic
from tests.kernel.traffic_host import TrafficHost


@dataclass(frozen=True, slots=True)
class Changed:
    """What was done, in how many seconds, and the traffic through it."""

    made: int
    seconds: float
    traffic: Traffic


def change_under_traffic(host: TrafficHost, pair: PolicyPair, times: int) -> Changed:
    """Go between two policies, so many times in all, while packets come and go."""
    files = [
        host.write_policy(text, name)
        for text, name in ((pair.first, "first.yaml"), (pair.second, "second.yaml"))
    ]
    host.apply(OPENING)
    flows = [*pair.flows(host)]
    try:
        _apply(host, files[:1], 1)
        with Traffic(flows) as traffic:
            traffic.wait_for(packets=10)
            made, seconds = _apply(host, files[::-1], times)
            traffic.wait_for(packets=10)
    finally:
        for flow in flows:
            flow.close()
    return Changed(made, seconds, traffic)


def _apply(host: TrafficHost, files: list[str], times: int) -> tuple[int, float]:
    done = subprocess.run(
        [
            *("nsenter", f"--net={host.box.path}"),
            *(sys.executable, "-m", "tests.kernel.applying", *files, str(times)),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=host.environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made, seconds = done.stdout.split()
    return int(made), float(seconds)
