"""Compiles and checks the policies of many hosts on the controller."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.netfw.netfw.plugins.module_utils.program import (
    ENTRY,
    LOCK,
    VARIABLES,
    Program,
    policy_words,
    said_last,
    write_files,
)

DOCUMENTATION = r"""
---
module: netfw_policy
short_description: Compile and check the policies of many hosts on the controller
version_added: 0.1.0
description:
  - Puts the policy of each host together from a policy repository, compiles and checks it with the
    host's variables, and returns the files for the module M(netfw.netfw.netfw).
  - Nothing but the repository is read, and no host is touched. Run it once, on the controller.
  - Hosts with the same parts and the same variables are looked at once.
options:
  repository:
    description:
      - The policy repository. The folders C(common), C(groups/GROUP) for each of the host's
        groups and C(hosts/HOST) make the policy of a host, in this order; their C(*.yaml) are
        policy files of netfw, other files are lists that these name. C(lists) is for all.
      - C(policy.lock) holds the addresses of host names.
      - C(facts/HOST.json) is what C(netfw facts) has printed on a host, for policies that ask for
        its interfaces or accounts.
    type: path
    required: true
  hosts:
    description: By name of a host, its C(groups) (a list) and its C(variables) (a mapping).
    type: dict
    required: true
  strict:
    description: Also fail where C(netfw check) warns.
    type: bool
    default: false
  locked:
    description: Resolve no host names, all must be in C(policy.lock); else they are added to it.
    type: bool
    default: true
  program:
    description: The netfw program of the controller; else the one beside its Python or in PATH.
    type: path
author:
  - netfw contributors
attributes:
  check_mode:
    description: Nothing is changed in any case, but for C(policy.lock) with O(locked=false).
    support: full
"""

EXAMPLES = r"""
- name: Compile and check every policy
  netfw.netfw.netfw_policy:
    repository: policies
    hosts:
      gw1: {groups: [gateways], variables: {office: 192.0.2.0/24}}
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
version:
  description: The version of netfw on the controller.
  type: str
  returned: always
policies:
  description: By name of a host, the key of its policy in RV(files).
  type: dict
  returned: success
files:
  description: By key, the texts of a policy by their names.
  type: dict
  returned: success
findings:
  description: What C(netfw check) warns of, by name of a host.
  type: dict
  returned: success
faults:
  description: By name of a host, what is wrong with its policy.
  type: dict
  returned: failure
"""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NO_FACTS = json.dumps({"schema": 1, "interfaces": {}, "users": {}, "groups": {}})


class Fault(Exception):
    """What is wrong before netfw is asked."""


class Repository:
    """The files of a policy repository, each read once."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._folders: dict[str, dict[str, str]] = {}
        if not os.path.isdir(path):
            raise Fault(f"{path}: there is no such policy repository; hint: set netfw_repository")
        for kind in ("groups", "hosts"):
            self._check_names(kind)

    def _check_names(self, kind: str) -> None:
        folder = os.path.join(self.path, kind)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if not name.startswith(".") and not os.path.isdir(os.path.join(folder, name)):
                raise Fault(
                    f"{kind}/{name}: this would not be read; hint: {kind} have a folder each, "
                    f"such as {kind}/{name.partition('.')[0]}/{name}"
                )

    def folder(self, name: str) -> dict[str, str]:
        """The texts below a folder, by their names in the repository."""
        if name not in self._folders:
            found: dict[str, str] = {}
            for place, folders, files in os.walk(os.path.join(self.path, name)):
                folders.sort()
                for file in sorted(files):
                    if not file.startswith("."):
                        path = os.path.join(place, file)
                        found[os.path.relpath(path, self.path)] = _read(path)
            self._folders[name] = found
        return self._folders[name]

    def policy(self, host: str, groups: list[str], variables: dict[str, Any]) -> dict[str, str]:
        """The files of a host's policy."""
        files: dict[str, str] = {}
        for name in ("common", *(f"groups/{group}" for group in groups), f"hosts/{host}"):
            files.update(self.folder(name))
        parts = [name for name in files if name.endswith(".yaml")]
        if not parts:
            raise Fault(
                f"{self.path}: no part of it is for this host; hint: add common/NAME.yaml, "
                f"groups/GROUP/NAME.yaml or hosts/{host}/NAME.yaml"
            )
        files.update(self.folder("lists"))
        files[ENTRY] = f"version: 1\ninclude: {json.dumps(parts)}\n"
        if variables:
            files[VARIABLES] = _variables_text(variables)
        lock = os.path.join(self.path, LOCK)
        if os.path.exists(lock):
            files[LOCK] = _read(lock)
        return files

    def facts(self, host: str) -> str:
        """The file of a host's facts, empty where there is none."""
        path = os.path.join(self.path, "facts", f"{host}.json")
        return path if os.path.exists(path) else ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"{path}: cannot be read: {error}") from None


def _variables_text(variables: dict[str, Any]) -> str:
    """Variables as YAML, one a line, all values as words."""
    lines = []
    for name, value in sorted(variables.items()):
        values = value if isinstance(value, list) else [value]
        for one in values:
            if isinstance(one, bool) or not isinstance(one, (str, int)):
                raise Fault(
                    f"netfw_var_{name.replace('-', '_')}: {json.dumps(one)} is neither a word nor "
                    "a list of words; hint: put it into quotes"
                )
        words = [str(one) for one in values]
        text = json.dumps(words if isinstance(value, list) else words[0])
        lines.append(f"{name}: {text}\n")
    return "".join(lines)


class Checked:
    """What became of one policy, which several hosts may share."""

    def __init__(self, host: str, files: dict[str, str], facts: str) -> None:
        self.host = host
        self.files = files
        self.facts = facts
        self.fault = ""
        self.findings: list[dict[str, Any]] = []

    def look(self, program: Program, repository: str, *, locked: bool) -> None:
        """Compile and check it."""
        with tempfile.TemporaryDirectory(prefix="netfw-") as folder:
            write_files(folder, self.files)
            if not self.facts:
                write_files(folder, {"facts.json": _NO_FACTS})
            own = Program(program.module, program.path)
            own.folder = folder
            lock = LOCK if locked else os.path.join(repository, LOCK)
            words = policy_words(self.files, lock, locked=locked)
            words += ["--facts", self.facts or "facts.json"]
            status, _, errors = own.run("compile", *words)
            if status != 0:
                self.fault = self._explained(said_last(status, errors))
                return
            status, output, errors = own.run("check", *words, "--json")
            if status not in (0, 1):
                self.fault = self._explained(said_last(status, errors))
                return
            found = json.loads(output)
            self.findings = [one for one in found["findings"] if one["level"] == "warning"]
            self.fault = "\n".join(found["broken_assertions"])

    def _explained(self, fault: str) -> str:
        if not self.facts and ("netfw facts" in fault or "user" in fault or "group" in fault):
            fault += f"; the controller believes facts/{self.host}.json, which is not there"
        return fault


def _key(files: dict[str, str], facts: str) -> str:
    text = json.dumps([files, facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _look_at_all(module: AnsibleModule, program: Program) -> dict[str, Any]:
    given = module.params
    repository = Repository(given["repository"])
    faults: dict[str, str] = {}
    policies: dict[str, str] = {}
    checked: dict[str, Checked] = {}
    for host, request in sorted(given["hosts"].items()):
        if not _NAME.fullmatch(host):
            faults[host] = f"'{host}' cannot be the name of a folder in the repository"
            continue
        try:
            groups = [str(one) for one in request.get("groups", ())]
            files = repository.policy(host, groups, dict(request.get("variables", {})))
        except Fault as fault:
            faults[host] = str(fault)
            continue
        facts = repository.facts(host)
        policies[host] = _key(files, facts)
        checked.setdefault(policies[host], Checked(host, files, facts))
    at_once = (os.cpu_count() or 1) if given["locked"] else 1
    with ThreadPoolExecutor(at_once) as pool:
        list(
            pool.map(
                lambda one: one.look(program, repository.path, locked=given["locked"]),
                checked.values(),
            )
        )
    findings: dict[str, list[dict[str, Any]]] = {}
    for host, key in policies.items():
        one = checked[key]
        if one.fault:
            faults[host] = one.fault
        elif one.findings:
            findings[host] = one.findings
            if given["strict"]:
                faults[host] = "\n".join(map(_finding_line, one.findings))
    return {
        "policies": policies,
        "files": {key: one.files for key, one in checked.items()},
        "findings": findings,
        "faults": faults,
    }


def _finding_line(finding: dict[str, Any]) -> str:
    return f"{finding['where']}: {finding['text']} [{finding['code']}]"


def _told(faults: dict[str, str]) -> str:
    """All faults, each once, with the hosts that have it."""
    hosts: dict[str, list[str]] = {}
    for host, fault in faults.items():
        hosts.setdefault(fault, []).append(host)
    return "\n".join(f"{', '.join(names)}: {fault}" for fault, names in hosts.items())


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "repository": {"type": "path", "required": True},
            "hosts": {"type": "dict", "required": True},
            "strict": {"type": "bool", "default": False},
            "locked": {"type": "bool", "default": True},
            "program": {"type": "path"},
        },
        supports_check_mode=True,
    )
    program = Program(module, module.params["program"] or "")
    program.require()
    version = program.version()
    try:
        found = _look_at_all(module, program)
    except Fault as fault:
        module.fail_json(msg=str(fault), version=version, faults={})
    if found["faults"]:
        module.fail_json(msg=_told(found["faults"]), faults=found["faults"], version=version)
    told = {host: "\n".join(map(_finding_line, each)) for host, each in found["findings"].items()}
    if told:
        module.warn(_told(told))
    module.exit_json(changed=False, version=version, **found)


if __name__ == "__main__":
    main()
