"""From any policy to any other: the kernel takes the steps, and then nothing is left to do."""

from __future__ import annotations

from random import Random

import pytest

from netfw.compiler.pipeline import compile_policy
from netfw.host.loader import take
from netfw.host.namespace import Namespace
from netfw.host.own_host import read_own
from netfw.ir.names import Backend
from netfw.plan.own import Own
from netfw.plan.own_of import own_of
from netfw.plan.plan import plan
from netfw.plan.step import LoadRouting
from netfw.policy.read import load
from tests.golden.cases import CASES, policy_of

pytestmark = pytest.mark.kernel
PAIRS = [*zip(CASES, [*CASES[1:], CASES[0]], strict=True)]
"""Each golden policy and the next one: most have little in common, some nearly everything."""


def own(case: str) -> Own:
    """What a policy asks for; without routing, for which there are no interfaces here."""
    whole = own_of(compile_policy(policy_of(case)), {})
    return Own(whole.tables, whole.sets)


def go(host: Namespace, backend: Backend, now: Own, wanted: Own) -> Own:
    """Take the steps of a plan, and read what is there then."""
    for step in plan(now, wanted).steps:
        assert not isinstance(step, LoadRouting)
        take(step, backend, host)
    found, _ = read_own(backend, host)
    assert plan(found, wanted).steps == ()
    return found


@pytest.mark.parametrize(
    ("one", "other", "backend"),
    # each pair on one of the backends, each policy on both
    [(*pair, [*Backend][number % 2]) for number, pair in enumerate(PAIRS)],
    ids=str,
)
def test_from_one_policy_to_another_and_back(one: str, other: str, backend: Backend) -> None:
    with Namespace("transition") as host:
        first = go(host, backend, Own(), own(one))
        second = go(host, backend, first, own(other))
        # back to what was read, as a rollback does: names of sets are those of that time
        third = go(host, backend, second, first)
        empty = go(host, backend, third, Own())
        assert empty.is_empty


@pytest.mark.parametrize("backend", Backend, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_sets_follow_a_policy_that_changes_again_and_again(backend: Backend, seed: int) -> None:
    """Members come and go, sets come into being and vanish, alone and together with rules."""
    chance = Random(seed)
    rules = [
        f"{{{action}: {protocol}/{8000 + number}, from: 192.0.2.{number}}}"
        for number in range(40)
        for action, protocol in [(chance.choice(["allow", "deny"]), chance.choice(["tcp", "udp"]))]
    ]
    with Namespace("transition") as host:
        now = Own()
        for _ in range(8):
            chosen = [rule for rule in rules if chance.random() < chance.choice((0.3, 0.9))]
            chance.shuffle(chosen)
            text = "version: 1\nendpoints: {wan: {host: eth0}}\npolicies:\n  - name: p\n"
            text += f"    at: wan\n    ingress: [{', '.join(chosen) or '{allow: ssh}'}]\n"
            wanted = own_of(compile_policy(load(text, "p.yaml")), {})
            now = go(host, backend, now, wanted)
            assert len(now.sets) == len(wanted.sets)
