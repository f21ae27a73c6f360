"""A packet for every rule that any packet can meet, sent and seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from netfw.ir.names import Backend, Family
from netfw.policy.read import load
from netfw.verify.progress import NoProgress
from netfw.verify.result import Result
from netfw.verify.session import run_task
from netfw.verify.verify import policy_task
from tests.kernel.what_differs import what_differs

pytestmark = pytest.mark.kernel
EXAMPLES = sorted((Path(__file__).parents[2] / "netfw" / "examples").glob("*.yaml"))
NOT_STAGED = """\
version: 1
endpoints:
  wan: {host: eth0}
policies:
  - name: public
    at: wan
    ingress:
      - allow: http
        from: 127.0.0.0/8
"""


@pytest.mark.parametrize("family", Family, ids=str)
@pytest.mark.parametrize("backend", Backend, ids=str)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_rule_of_the_examples_is_met(path: Path, backend: Backend, family: Family) -> None:
    policy = load(path.read_text(), path.name)
    run = run_task(policy_task(policy, backend, family), NoProgress())
    assert run.result is Result.AGREE, what_differs(run)
    assert run.reachable
    assert [run.texts[place] for place in run.unseen] == []


def test_a_rule_that_no_packet_was_sent_for_is_named() -> None:
    """No packet comes from a loopback address: the kernel drops it before any rule."""
    policy = load(NOT_STAGED, "policy.yaml")
    run = run_task(policy_task(policy, Backend.NFT, Family.IPV4), NoProgress())
    assert run.result is Result.AGREE
    assert ["-s 127.0.0.0/8" in run.texts[place] for place in run.unseen] == [True]
