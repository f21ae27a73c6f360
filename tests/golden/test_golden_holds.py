"""Whole policies: proved for every packet, and packets of every rule sent through the kernel."""

from __future__ import annotations

import pytest

from netfw.compiler.pipeline import compile_policy
from netfw.ir.names import Backend, Family
from netfw.prove.proof import prove
from netfw.verify.progress import NoProgress
from netfw.verify.result import Result
from netfw.verify.session import run_task
from netfw.verify.verify import policy_task
from tests.golden.cases import CASES, policy_of
from tests.kernel.what_differs import what_differs
from tests.reread import reread

ON_EVERY_KERNEL = frozenset({"60-nat"})
"""Policies that between them ask for every part of the kernel; the others are for one kernel."""
_CASES = [
    pytest.param(case, marks=[pytest.mark.every_kernel] if case in ON_EVERY_KERNEL else [])
    for case in CASES
]


@pytest.mark.parametrize("case", CASES)
def test_rules_say_what_the_policy_says(case: str) -> None:
    policy = policy_of(case)
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
@pytest.mark.parametrize("case", _CASES)
def test_the_kernel_does_what_the_policy_says(case: str, backend: Backend, family: Family) -> None:
    policy = policy_of(case)
    run = run_task(policy_task(policy, backend, family), NoProgress())
    assert run.result is Result.AGREE, what_differs(run)
    assert run.comparisons
