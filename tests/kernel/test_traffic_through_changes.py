"""What both the old and the new policy allow goes on while a host changes, and what both deny
never gets through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netfw.ir.names import Backend, Family
from tests.kernel.backends import FIRST_ONE
from tests.kernel.changing import change_under_traffic
from tests.kernel.policy_pairs import MOVED, OPENING, PAIRS, PolicyPair
from tests.kernel.traffic import Conversation, Flow, TcpConversation, Traffic
from tests.kernel.traffic_host import HOST, INSIDE, TrafficHost

pytestmark = pytest.mark.kernel
MORE = OPENING.replace("[tcp/5000-5199,", "[tcp/5000-5299,")


@pytest.fixture(params=FIRST_ONE, ids=str)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TrafficHost]:
    with TrafficHost(request.param, tmp_path) as made:
        yield made


def test_connections_live_through_apply_rollback_repair_and_remove(host: TrafficHost) -> None:
    host.apply(OPENING)
    flows: list[Flow] = []
    for family in Family:
        for name, box, address in (
            ("host", host.box, HOST[family]),
            ("forward", host.inside, INSIDE[family]),
        ):
            flows.append(TcpConversation(name, family, host.tester, box, address, 5001))
            flows.append(Conversation(name, family, host.tester, box, address, 5001))
    program = f"iptables-{host.backend}"
    with Traffic(flows) as traffic:
        host.apply(MORE)
        traffic.wait_for()
        # what their ports are allowed by is gone: they go on because they are there
        host.apply(OPENING.replace("5000-5199", "6000"))
        traffic.wait_for()
        host.netfw("rollback", "--yes")
        traffic.wait_for()
        host.sh(f"{program} -F NETFW-IN-wan; {program} -A NETFW-IN-wan -p udp -j ACCEPT")
        host.netfw("apply", "--repair")
        traffic.wait_for()
        host.netfw("remove", "--yes")
        traffic.wait_for()
        host.apply(OPENING, "--confirm", "1s")
        traffic.wait_for(packets=1000)
    for flow in flows:
        flow.close()
    assert traffic.wrong == []
    assert all(flow.tally.came for flow in flows)


@pytest.mark.parametrize(
    ("host", "pair"),
    # each pair on one of the backends; ``python -m tests.bench.changes --applies`` takes both
    [
        pytest.param(
            [*Backend][number % 2],
            pair,
            id=pair.name.replace(" ", "-"),
            marks=[pytest.mark.long] if number % 3 == 1 else [],
        )
        for number, pair in enumerate(PAIRS)
    ],
    indirect=["host"],
)
def test_changes_lose_nothing_that_both_allow_and_let_through_nothing_that_both_deny(
    host: TrafficHost, pair: PolicyPair
) -> None:
    changed = change_under_traffic(host, pair, 2)
    assert changed.made == 2
    assert changed.traffic.wrong == []
    assert all(flow.tally.sent for flow in changed.traffic.flows)


def test_moving_the_field_lets_nothing_through_but_loses_what_early_rules_allow(
    host: TrafficHost,
) -> None:
    changed = change_under_traffic(host, MOVED, 2)
    assert changed.traffic.leaked[0] == 0
    assert all("new udp/5002" in line for line in changed.traffic.wrong)
