"""Finding and running the netfw program, and reading what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

ENTRY, VARIABLES, LOCK = "policy.yaml", "inventory", "policy.lock"
"""Files of a policy as it is sent to a host: the first one includes all others."""
_PLACES = ("/usr/local/bin", "/usr/bin", "/opt/netfw/current/bin")
_ROLLED_BACK = 5
_POLICY = 3


class Program:
    """The netfw program of this machine, run for an Ansible module."""

    def __init__(self, module: AnsibleModule, named: str = "") -> None:
        self.module = module
        self.path = named or _find(module)
        self.folder = ""

    @property
    def is_there(self) -> bool:
        """Whether there is such a program."""
        return bool(self.path) and os.access(self.path, os.X_OK)

    def require(self) -> None:
        """Fail in one line where there is none."""
        if not self.is_there:
            places = ", ".join(_PLACES)
            where = f"'{self.path}'" if self.path else f"neither in {places} nor in PATH"
            self.module.fail_json(
                msg=f"there is no netfw on this host ({where}); hint: the role netfw_install "
                "installs it, netfw_program names another one"
            )

    def run(self, *words: str) -> tuple[int, str, str]:
        """Run it to its end: exit code, output, errors."""
        path = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"
        # not run_command(): several of these run at once
        done = subprocess.run(
            [self.path, *words],
            cwd=self.folder or None,
            env={**os.environ, "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        output, errors = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
        return done.returncode, output, errors

    def data(self, *words: str, good: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """What a verb prints with ``--json``; fails where its exit code is not ``good``."""
        status, output, errors = self.run(*words, "--json")
        if status not in good:
            self.fail(status, errors)
        try:
            found = json.loads(output)
        except ValueError:
            self.module.fail_json(
                msg=f"'netfw {words[0]}' printed no JSON; hint: is netfw here too old?",
                stdout=output,
                stderr=errors,
            )
        return dict(found)

    def version(self) -> str:
        """What it says of itself, such as ``0.1.0``."""
        status, output, errors = self.run("--version")
        found = re.search(r"netfw (\S+)", output)
        if status != 0 or found is None:
            said = (errors or output).strip().splitlines() or ["nothing"]
            self.module.fail_json(msg=f"{self.path} does not run: {said[-1]}")
        return found[1]

    def fail(self, status: int, errors: str, **more: object) -> NoReturn:
        """Fail with what netfw said last."""
        self.module.fail_json(
            msg=said_last(status, errors),
            rolled_back=status == _ROLLED_BACK,
            exit_code=status,
            stderr=errors,
            **more,
        )
        raise SystemExit(1)


def said_last(status: int, errors: str) -> str:
    """The fault behind an exit code, in one line; all of them where the policy is at fault."""
    faults: list[str] = []
    for line in errors.strip().splitlines():
        if line.startswith("  hint: ") and faults:
            faults[-1] += f"; {line.strip()}"
        else:
            faults.append(line)
    if not faults:
        return f"netfw ended with exit code {status} and said nothing"
    return "\n".join(faults) if status == _POLICY else faults[-1]


def is_older(version: str, than: str) -> bool:
    """Whether a version comes before another, by its numbers."""
    return _numbers(version) < _numbers(than)


def _numbers(version: str) -> list[int]:
    return [int(word) for word in re.findall(r"\d+", version.partition("+")[0])]


def write_files(folder: str, files: dict[str, str]) -> None:
    """Write a policy's files, whose names are paths below the folder."""
    for name, text in files.items():
        path = os.path.realpath(os.path.join(folder, name))
        if not path.startswith(os.path.realpath(folder) + os.sep):
            raise ValueError(f"'{name}' is not below the folder")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def policy_words(files: dict[str, str], lock: str = LOCK, *, locked: bool = True) -> list[str]:
    """How netfw is told of a policy in its working directory."""
    words = [ENTRY, "--lock", lock]
    if VARIABLES in files:
        words += ["--vars", VARIABLES]
    return [*words, "--locked"] if locked else words


def _find(module: AnsibleModule) -> str:
    beside = os.path.join(os.path.dirname(sys.executable), "netfw")
    if os.access(beside, os.X_OK):
        return beside
    found = module.get_bin_path("netfw", opt_dirs=list(_PLACES))
    return str(found or "")
