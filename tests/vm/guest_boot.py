"""What systemd makes of a host that the collection has set up, in the guest of ``make vm-test``.

It changes the machine that it runs on, so it runs nowhere else: ``python -m pytest -k before``,
then a restart of the machine, then ``-k after``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.fleet.plain_rules import plain_rules
from tests.fleet.repository import COMMON, Repository
from tests.fleet.wheels import make_wheels

IN_GUEST = "NETFW_GUEST"
ROOT = Path(__file__).parents[2]
KEPT = Path("/var/tmp/netfw-boot")
"""What the tests before the restart leave for those after it."""
ANSIBLE = str(Path(sys.executable).with_name("ansible-playbook"))
PLAYBOOK = str(ROOT / "playbooks/playbooks/apply.yml")

# an error and no skip: a report in which nothing was run must not look like a good one
if IN_GUEST not in os.environ:
    raise RuntimeError("this changes the machine: it is for the guest of make vm-test alone")


def say(*argv: str, status: int = 0) -> str:
    """What a program of the machine prints."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=_environment())
    assert done.returncode == status, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        # the machine's own: the netfw of this checkout is none that was installed on a host
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "tests/fleet/collections"),
        "ANSIBLE_HOME": str(KEPT / "ansible"),
        "LC_ALL": "C.UTF-8",
    }


def rules() -> str:
    """All rules without counters, and the names of sets."""
    return plain_rules(
        say("iptables-save") + say("ip6tables-save") + say("ipset", "list", "-name")
    )


def status() -> dict[str, Any]:
    """``netfw status --json`` of the netfw that was installed."""
    found: dict[str, Any] = json.loads(say("/usr/local/bin/netfw", "status", "--json"))
    return found


def shown(unit: str, name: str) -> str:
    """What systemd says of a unit."""
    return say("systemctl", "show", "--value", f"--property={name}", unit).strip()


def test_before_the_collection_installs_netfw_applies_a_policy_and_enables_the_unit() -> None:
    wheels = KEPT / "wheels"
    wheels.mkdir(parents=True)
    make_wheels(wheels)
    repository = Repository(KEPT / "policies")
    guest = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
    settings = {
        "netfw_repository": str(repository.folder),
        "netfw_wheels": str(wheels),
        # that takes minutes under software emulation, and has its tests elsewhere
        "netfw_apply_rehearse": False,
    }
    inventory = KEPT / "inventory.yml"
    inventory.write_text(
        yaml.safe_dump(
            {
                "all": {
                    "vars": settings,
                    "children": {"gateways": {"hosts": {"guest": guest}}},
                }
            }
        )
    )
    say(ANSIBLE, "--inventory", str(inventory), PLAYBOOK)
    assert say("/usr/local/bin/netfw", "--version").startswith("netfw ")
    assert say("systemctl", "is-enabled", "netfw.service") == "enabled\n"
    assert status()["well"] is True
    found = rules()
    assert "--dports 80,443" in found
    (KEPT / "rules").write_text(found)


def test_before_a_change_waits_for_its_confirmation_under_a_guard_that_systemd_runs() -> None:
    policy = KEPT / "other.yaml"
    policy.write_text(COMMON.replace("name: common", "name: other"))
    say("/usr/local/bin/netfw", "apply", "--no-rehearse", "--confirm", "1h", str(policy))
    assert "netfw:other/ping" in rules()
    units = say("systemctl", "list-units", "--plain", "--no-legend", "netfw-guard-*")
    assert " active running" in units


def test_after_a_restart_the_unit_has_loaded_what_was_confirmed_and_nothing_else() -> None:
    assert shown("netfw.service", "ActiveState") == "active"
    assert shown("netfw.service", "Result") == "success"
    assert rules() == (KEPT / "rules").read_text()
    found = status()
    assert found["well"] is True
    assert "was not confirmed before the machine was started again" in found["undone"]


def test_after_a_restart_the_rules_stood_when_the_first_interface_came_up() -> None:
    loaded = int(shown("netfw.service", "ExecMainExitTimestampMonotonic"))
    network = int(shown("systemd-networkd.service", "ExecMainStartTimestampMonotonic"))
    assert 0 < loaded < network
