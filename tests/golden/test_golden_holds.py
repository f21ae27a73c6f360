"""Whole policies: proved for every packet, and packets of every rule sent through the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from netfw.cli.policy_file import read_policy
from netfw.compiler.pipeline import compile_policy
from netfw.ir.names import Backend, Family
from netfw.prove.proof import prove
from netfw.verify.progress import NoProgress
from netfw.verify.result import Result
from netfw.verify.session import run_task
from netfw.verify.verify import policy_task
from tests.reread import reread

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/policy.yaml"))


@pytest.mark.parametrize("case", CASES)
def test_rules_say_what_the_policy_says(case: str) -> None:
    policy = read_policy(str(HERE / case / "policy.yaml"))
    # as text and back, so that what is proved is what is loaded
    rulesets = {
        family: reread(ruleset) for family, ruleset in compile_policy(policy).rulesets.items()
    }
    proof = prove(policy, rulesets, sizes=False)
    assert [difference for family in proof.families for difference in family.differences] == []
    assert [broken for family in proof.families for broken in family.broken] == []


@pytest.mark.kernel
@pytest.mark.parametrize("family", Family, ids=str)
@pytest.mark.parametrize("backend", Backend, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_the_kernel_does_what_the_policy_says(case: str, backend: Backend, family: Family) -> None:
    policy = read_policy(str(HERE / case / "policy.yaml"))
    run = run_task(policy_task(policy, backend, family), NoProgress())
    assert run.result is Result.AGREE, [*run.differences, *run.inconclusive, run.missing]
    assert run.comparisons
