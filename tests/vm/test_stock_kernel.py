"""A stock kernel under qemu, and netfw's own verification in it: the short form of `make kernels`.

The kernel is downloaded once, as a package, and kept in the user's cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.findings import read_findings
from tests.vm.kernel import Kernel, fetch_kernel
from tests.vm.machine import missing_program, run_in
from tests.vm.python_files import ROOT, python_in_guest
from tests.vm.root import OWN, root_archive
from tests.vm.unavailable import Unavailable

pytestmark = pytest.mark.kernel

SERIES = "6.1"
REPORTS = ("order-0.json", "order-1.json")
PATIENCE = 500.0


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    problem = missing_program()
    if problem:
        pytest.skip(problem)
    try:
        return fetch_kernel(SERIES)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    try:
        archive = root_archive(OWN)
    except Unavailable as error:
        pytest.skip(str(error))
    yield archive
    archive.unlink()


def test_verify_agrees_on_a_stock_kernel(kernel: Kernel, root: Path) -> None:
    python = f"PYTHONPATH={ROOT} {python_in_guest()}"
    ran = run_in(
        kernel,
        [root],
        f"cd {ROOT}; {python} -m tests.vm.guest --short /out",
        patience=PATIENCE,
    )
    found = read_findings(ran.files, REPORTS)
    assert [*found.problems, *found.unknown] == [], ran.output
    assert found.kernel == kernel.release != os.uname().release
    assert {(backend, family) for _, backend, family in found.runs} == {
        ("nft", "6"),
        ("legacy", "4"),
    }
    assert all(good == every > 0 for good, every in found.runs.values())
