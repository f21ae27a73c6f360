"""The wheel and the source distribution hold what they must, and the same each time."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.scripts import ROOT, run_script


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run_script("wheel.py", folder)
    return folder


def files_in_git(*under: str) -> set[str]:
    listing = subprocess.run(
        [
            *("git", "-c", "safe.directory=*", "ls-files", "-z"),
            *("--cached", "--others", "--exclude-standard", "--", *under),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip(f"not a git checkout: {listing.stderr.strip()}")
    return {name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()}


def in_wheel(packages: Path) -> set[str]:
    (wheel,) = packages.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def in_sdist(packages: Path) -> set[str]:
    (sdist,) = packages.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_wheel_holds_every_file_of_the_package(packages: Path):
    """Examples, documents, schemas and units that git knows must reach whoever installs netfw."""
    assert sorted(files_in_git("netfw") - in_wheel(packages)) == []


def test_the_wheel_holds_nothing_else(packages: Path):
    rest = {name for name in in_wheel(packages) if ".dist-info/" not in name}
    assert sorted(rest - files_in_git("netfw")) == []


def test_the_source_distribution_holds_every_file_of_the_tree(packages: Path):
    assert sorted(files_in_git() - in_sdist(packages)) == []


def test_without_git_the_wheel_is_the_same(packages: Path, tmp_path: Path):
    run_script("wheel.py", tmp_path, PATH="/nowhere")
    assert in_wheel(tmp_path) == in_wheel(packages)


def test_building_leaves_the_tree_as_it_was(packages: Path):
    assert not (ROOT / "MANIFEST.in").exists()
    assert not (ROOT / "build" / "lib").exists()


@pytest.mark.long
def test_the_same_sources_give_the_same_wheel(packages: Path, tmp_path: Path):
    run_script("wheel.py", tmp_path)
    once, again = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found.glob("*.whl")}
        for found in (packages, tmp_path)
    )
    assert once == again
