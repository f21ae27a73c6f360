"""Aerleon from PyPI, in a virtual environment of its own, kept for the next time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench import policies
from tests.bench.policies import BenchRule


class AerleonMissing(Exception):
    """Aerleon cannot be had; says why."""


def aclgen() -> Path:
    """Aerleon's compiler, installed where it is not yet; raises AerleonMissing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "netfw-bench" / "aerleon"
    program = folder / "bin" / "aclgen"
    if not program.exists():
        print(f"installing Aerleon from PyPI into {folder}", flush=True)
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(folder / "bin" / "pip"), "install", "--quiet", "aerleon"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
                raise AerleonMissing(f"not installed: {last}")
    return program


def write_aerleon(
    folder: Path,
    rules: Sequence[BenchRule],
    families: Sequence[int],
    *,
    yaml: bool = False,
    chain: str = "INPUT",
) -> None:
    """Definitions and a policy for each family, where ``aerleon_command`` looks for them."""
    definitions, base = folder / "def", folder / "policies" / "pol"
    definitions.mkdir(parents=True)
    base.mkdir(parents=True)
    (folder / "out").mkdir()
    if yaml:
        files = {definitions / "all.yaml": policies.aerleon_yaml_definitions(rules)}
    else:
        files = {
            definitions / "all.net": policies.aerleon_networks(rules),
            definitions / "all.svc": policies.aerleon_services(rules),
        }
    for family in families:
        if yaml:
            text = policies.aerleon_yaml_policy(rules, family, chain)
        else:
            text = policies.aerleon_policy(rules, family, chain)
        files[base / f"v{family}.{'yaml' if yaml else 'pol'}"] = text
    for path, lines in files.items():
        with path.open("w") as file:
            file.writelines(lines)


def aerleon_command(program: Path, folder: Path) -> list[str]:
    """Compile every policy in the folder into ``out/v4.ipt`` and ``out/v6.ipt``."""
    return [
        str(program),
        f"--base_directory={folder / 'policies'}",
        f"--definitions_directory={folder / 'def'}",
        f"--output_directory={folder / 'out'}",
        "--verbosity=-1",
    ]
