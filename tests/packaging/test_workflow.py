"""The workflow for hosted runners: it can be read, may do little, and only calls make."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.packaging.scripts import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
PINNED = re.compile(r"^\s*- uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    return yaml.safe_load(WORKFLOW.read_text())["jobs"]


def steps(jobs: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in jobs.values() for step in job["steps"]]


CALL = re.compile(
    r"(sudo (--preserve-env=[A-Z_,]+ )?)?make (?P<targets>[a-z -]+?)( ARGS='[^']*')?"
)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_jobs_call_nothing_but_targets_of_the_makefile(jobs: dict[str, Any]):
    for step in steps(jobs):
        if "run" in step:
            called = CALL.fullmatch(step["run"].strip())
            assert called, step["run"]
            assert set(called["targets"].split()) <= targets(), step["run"]


def test_actions_are_pinned_to_a_commit_with_its_version_beside_it():
    lines = [line for line in WORKFLOW.read_text().splitlines() if "uses:" in line]
    assert lines
    assert [line for line in lines if not PINNED.match(line)] == []


def test_nothing_may_be_written_and_no_token_is_kept(jobs: dict[str, Any]):
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert [name for name, job in jobs.items() if "permissions" in job] == []
    for step in steps(jobs):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_no_job_runs_for_ever(jobs: dict[str, Any]):
    assert [name for name, job in jobs.items() if "timeout-minutes" not in job] == []
