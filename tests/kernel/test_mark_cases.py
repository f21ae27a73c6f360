"""Twenty broken hosts and what doctor says of each: the fault, and no word of it once repaired."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kernel.mark_cases import MARK_CASES, MarkCase, are_there, built, diagnosis, findings_of
from tests.kernel.private_mounts import needs_private_mounts

pytestmark = [
    pytest.mark.kernel,
    needs_private_mounts,
    pytest.mark.skipif(not are_there(), reason="../shared/mark-cases is not there"),
]


def prefix_of(case: MarkCase, state: str) -> str:
    return f"mc{os.getpid() % 100000}{case.name[:2]}{state}"


@pytest.mark.parametrize("case", MARK_CASES, ids=lambda case: case.name)
def test_the_fault_of_a_broken_host_is_named_and_shown(case: MarkCase, tmp_path: Path) -> None:
    with built(case, prefix_of(case, "b"), tmp_path, repaired=False) as namespace:
        found = diagnosis(namespace, "--probe")
    those = findings_of(case, found)
    assert those, [(one["code"], one["problem"]) for one in found["findings"]]
    assert [one["probe"]["outcome"] for one in those] == ["shown"] * len(those), those


@pytest.mark.parametrize(
    "case",
    [case for case in MARK_CASES if case.repaired_at is not None],
    ids=lambda case: case.name,
)
def test_nothing_is_said_of_it_once_it_is_repaired(case: MarkCase, tmp_path: Path) -> None:
    with built(case, prefix_of(case, "f"), tmp_path, repaired=True) as namespace:
        found = diagnosis(namespace)
    assert not [one for one in found["findings"] if one["code"] == case.code]
