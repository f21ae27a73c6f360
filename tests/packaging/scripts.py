"""Runs what lies in .packaging, as the Makefile does."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_script(name: str, *arguments: str | Path, **changed: str) -> str:
    """Run a script of .packaging in a changed environment, and say what it printed; a test fails
    with it."""
    argv = [sys.executable, str(ROOT / ".packaging" / name), *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if k != "NETFW_STATE"} | changed
    done = subprocess.run(
        argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(f"$ {shlex.join(argv)}\n{done.stdout}{done.stderr}", pytrace=False)
    return done.stdout
