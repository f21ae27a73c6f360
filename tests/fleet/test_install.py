"""A host that has only Python gets netfw from a folder of wheels, or from an index of packages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import netfw
from tests.fleet.lab import HOST_PYTHON, Lab, needs_lab
from tests.fleet.repository import Repository
from tests.fleet.wheels import make_wheels

pytestmark = [pytest.mark.kernel, needs_lab]
INSTALLED = "/opt/netfw/current/bin/netfw"


def _host_python() -> str:
    done = subprocess.run([HOST_PYTHON, "-V"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _is_same_python() -> bool:
    found = re.match(r"Python (\d+)\.(\d+)", _host_python())
    return found is not None and (int(found[1]), int(found[2])) == sys.version_info[:2]


def _has_venv() -> bool:
    done = subprocess.run([HOST_PYTHON, "-c", "import ensurepip, venv"], check=False)
    return done.returncode == 0


needs_same_python = pytest.mark.skipif(
    not _is_same_python(), reason=f"{HOST_PYTHON} is {_host_python()}: not the one of the wheels"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One host, on which there is no netfw."""
    with Lab(tmp_path_factory.mktemp("lab"), ["h1"]) as made:
        made.hosts["h1"].sh("rm /usr/local/bin/netfw")
        yield made


@needs_same_python
def test_netfw_comes_from_wheels_and_replaces_an_older_one_and_a_second_run_changes_nothing(
    lab: Lab, repository: Repository, tmp_path: Path
) -> None:
    make_wheels(tmp_path)
    host = lab.hosts["h1"]
    settings = {"netfw_wheels": str(tmp_path), "netfw_apply_rehearse": False}
    checked = lab.play("apply", "--check", **settings)
    assert checked.status == 0, checked.output
    assert host.sh("ls /opt/netfw", status=None) == ""
    # an older one is replaced, and stays for whoever runs from it
    host.sh("mkdir -p /opt/netfw/0.0.9/bin; ln -s /opt/netfw/0.0.9/bin/netfw /usr/local/bin/netfw")
    host.sh("printf '#!/bin/sh\\necho netfw 0.0.9\\n' > /opt/netfw/0.0.9/bin/netfw")
    host.sh("chmod 755 /opt/netfw/0.0.9/bin/netfw")
    played = lab.play("apply", **settings)
    assert played.status == 0, played.output
    assert host.sh("/opt/netfw/0.0.9/bin/netfw --version") == "netfw 0.0.9\n"
    assert host.sh(f"{INSTALLED} --version").strip() == f"netfw {netfw.__version__}"
    assert host.netfw("--version").strip() == f"netfw {netfw.__version__}"
    assert "--dports 80,443" in host.saved()
    assert host.status()["well"] is True
    again = lab.play("apply", **settings)
    assert again.status == 0, again.output
    assert again.changed() == {"h1": 0}


@pytest.fixture
def index(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """An index of packages on the controller, as a folder that is empty yet."""
    process = subprocess.Popen(
        lab.argv(sys.executable, "-m", "http.server", "--directory", str(tmp_path), "8000"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield tmp_path
    process.kill()
    process.wait()


@needs_same_python
@pytest.mark.skipif(not _has_venv(), reason=f"{HOST_PYTHON} makes no environments with pip")
def test_netfw_comes_from_an_index_and_what_the_index_does_not_have_is_told(
    lab: Lab, repository: Repository, index: Path
) -> None:
    host = lab.hosts["h1"]
    host.sh("rm -rf /opt/netfw /usr/local/bin/netfw")
    played = lab.play("apply")
    assert played.status == 2, played.output
    assert host.sh("ls /usr/local/bin/netfw /opt/netfw/current", status=None) == ""
    assert "No matching distribution found for netfw" in played.output
    wheels = index / "wheels"
    wheels.mkdir()
    make_wheels(wheels)
    for wheel in wheels.iterdir():
        folder = index / wheel.name.partition("-")[0].replace("_", "-").replace(".", "-").lower()
        folder.mkdir(exist_ok=True)
        wheel.rename(folder / wheel.name)
    played = lab.play("apply", netfw_apply_rehearse=False)
    assert played.status == 0, played.output
    assert host.sh(f"{INSTALLED} --version").strip() == f"netfw {netfw.__version__}"
    assert host.netfw("--version").strip() == f"netfw {netfw.__version__}"
    assert host.status()["well"] is True


def test_a_folder_without_netfw_is_told_and_nothing_is_half_done(
    lab: Lab, repository: Repository, tmp_path: Path
) -> None:
    lab.hosts["h1"].sh("rm -rf /opt/netfw /usr/local/bin/netfw")
    played = lab.play("apply", netfw_wheels=str(tmp_path))
    assert played.status == 2, played.output
    assert "it has no wheel of netfw" in played.output
    assert lab.hosts["h1"].sh("ls /usr/local/bin/netfw /opt/netfw/current", status=None) == ""
