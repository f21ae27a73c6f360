"""Nothing slips round the policy: not even what a rule of somebody else has let through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from netfw.cli.policy_file import read_policy
from netfw.ir.match import InterfaceMatch, Way
from netfw.ir.names import Backend, Family, Hook, TableName
from netfw.ir.ruleset import Rule, Ruleset, Table
from netfw.ir.target import Accept
from netfw.traverse.traversal import End
from netfw.verify.probe import Expected
from netfw.verify.progress import NoProgress
from netfw.verify.result import Result
from netfw.verify.session import run_task
from netfw.verify.verify import policy_task

pytestmark = pytest.mark.kernel
POLICY = Path(__file__).parents[1] / "golden" / "165-strict-exit" / "policy.yaml"


def with_foreign_accept(ruleset: Ruleset) -> Ruleset:
    """The rules, with one before ours in FORWARD that lets everything to eth0 through."""
    foreign = Rule((InterfaceMatch(Way.OUT, "eth0"),), Accept())

    def changed(table: Table) -> Table:
        if table.name is not TableName.FILTER:
            return table
        return Table(
            table.name,
            tuple(
                replace(chain, rules=(foreign, *chain.rules)) if chain.name == "FORWARD" else chain
                for chain in table.chains
            ),
        )

    return replace(ruleset, tables=tuple(map(changed, ruleset.tables)))


@pytest.mark.parametrize("family", Family, ids=str)
@pytest.mark.parametrize("backend", Backend, ids=str)
def test_what_another_rule_accepts_does_not_leave_without_our_verdict(
    backend: Backend, family: Family
) -> None:
    task = policy_task(read_policy(str(POLICY)), backend, family)
    denied = [probe for probe in task.probes if probe.expected is Expected.DENIED]
    # no stage has judged what the foreign rule let through, so its mark tells no verdict
    foreign = replace(task, ruleset=with_foreign_accept(task.ruleset), probes=denied, field=None)
    run = run_task(foreign, NoProgress())
    assert run.result is Result.AGREE, run.inconclusive
    seen = [each.observed for each in run.comparisons if each.observed is not None]
    assert not {way.end for way in seen} & {End.SENT, End.DELIVERED}
    kept_back = [way.steps[-1] for way in seen if way.steps[-1].hook is Hook.POSTROUTING]
    assert kept_back
    assert {step.table for step in kept_back} == {TableName.MANGLE}
