"""A sample of the faults that ``python -m tests.faults`` puts into changes, and whether a trial
notices what should not be."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from netfw.ir.names import Backend
from tests.faults.fault import Fault
from tests.faults.faulty_host import FaultyHost
from tests.faults.kills import kills
from tests.faults.prober import Prober
from tests.faults.series import probed_host
from tests.faults.traps import at, traps
from tests.faults.trial import try_fault

pytestmark = pytest.mark.kernel
needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None,
    reason="strace is not installed: it ends programs in the middle",
)
Probed = tuple[FaultyHost, Prober]
SAMPLE = {
    Backend.NFT: (
        "iptables-restore says it failed, and did not: table 4",
        "netfw and its guard are killed: while tables 3 goes on",
    ),
    Backend.LEGACY: (
        "iptables-restore is killed: table 6, setsockopt 2",
        "the xtables lock is held for a moment: 3 s from table 4",
    ),
}


@pytest.fixture(scope="module", params=Backend, ids=str)
def probed(request: pytest.FixtureRequest) -> Iterator[Probed]:
    with probed_host(request.param) as found:
        yield found


@needs_strace
def test_a_host_comes_through_the_death_of_netfw_in_the_middle_of_writing(probed: Probed) -> None:
    host, prober = probed
    at_writes = [fault for fault in kills(host) if fault.kind == "killed at a write"]
    outcome = try_fault(host, prober, at_writes[len(at_writes) * 3 // 4])
    assert outcome.is_reached
    assert not outcome.problems


@needs_strace
def test_a_host_comes_through_what_fails_around_netfw(probed: Probed) -> None:
    host, prober = probed
    chosen = [fault for fault in traps(host.backend) if str(fault) in SAMPLE[host.backend]]
    assert len(chosen) == len(SAMPLE[host.backend])
    for fault in chosen:
        outcome = try_fault(host, prober, fault)
        assert outcome.is_reached
        assert not outcome.problems


def test_a_trial_notices_a_packet_that_gets_through_and_a_rule_of_others_that_is_gone(
    probed: Probed,
) -> None:
    host, prober = probed
    opens = f"iptables-{host.backend} -w 5 -I INPUT -p udp --dport 9999 -j ACCEPT; sleep 0.5"
    outcome = try_fault(host, prober, Fault("others open", "a port", at("tables", "8", opens)))
    problems = "\n".join(outcome.problems)
    assert outcome.leaked > 0
    assert "packets got through that both policies deny" in problems
    assert "what others have has changed" in problems
