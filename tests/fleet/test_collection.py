"""The collection as a whole: it is packed and found, and its examples are well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
EXAMPLES = ROOT / "playbooks" / "examples"


def run(folder: Path, collections: Path, *argv: str) -> str:
    """What one of Ansible's programs prints."""
    environment = {name: text for name, text in os.environ.items() if "ANSIBLE" not in name}
    environment |= {
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{BIN}:{environment['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [str(BIN / argv[0]), *argv[1:]],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the collection as ansible-galaxy installs it, without a network."""
    folder = tmp_path_factory.mktemp("collection")
    build = ("ansible-galaxy", "collection", "build", str(ROOT / "playbooks"))
    run(folder, folder, *build, "--output-path", str(folder))
    (packed,) = folder.glob("netfw-netfw-*.tar.gz")
    install = ("ansible-galaxy", "collection", "install", "--offline", str(packed))
    run(folder, folder, *install, "--collections-path", str(folder))
    return folder


def test_modules_describe_themselves(installed: Path, tmp_path: Path) -> None:
    said = run(tmp_path, installed, "ansible-doc", "--json", "netfw.netfw.netfw")
    described = json.loads(said)["netfw.netfw.netfw"]["doc"]["options"]
    assert {"state", "policy", "confirm", "number", "rollout"} <= described.keys()


def test_the_example_policies_are_well_for_every_host(installed: Path, tmp_path: Path) -> None:
    inventory = EXAMPLES / "inventory"
    groups = yaml.safe_load((inventory / "hosts.yml").read_text())["all"]["children"]
    hosts = {}
    for group, content in groups.items():
        for host in content["hosts"]:
            variables: dict[str, object] = {}
            for name in ("group_vars/all", f"group_vars/{group}", f"host_vars/{host}"):
                path = inventory / f"{name}.yml"
                variables |= yaml.safe_load(path.read_text()) if path.exists() else {}
            hosts[host] = {
                "groups": [group],
                "variables": {
                    name.removeprefix("netfw_var_").replace("_", "-"): value
                    for name, value in variables.items()
                    if name.startswith("netfw_var_")
                },
            }
    asked = {"repository": str(EXAMPLES / "policies"), "hosts": hosts}
    said = run(
        tmp_path,
        installed,
        *("ansible", "localhost", "--one-line", "--inventory", "localhost,"),
        *("--connection", "local", "--extra-vars", f"ansible_python_interpreter={sys.executable}"),
        *("--module-name", "netfw.netfw.netfw_policy", "--args", json.dumps(asked)),
    )
    found = json.loads(said.partition("=> ")[2])
    assert set(found["policies"]) == {"gw1", "gw2", "www1", "www2"}
    assert found["findings"] == {}
    # both web hosts have the same parts and variables: they were looked at once
    assert found["policies"]["www1"] == found["policies"]["www2"]
    assert len(found["files"]) == 3
