"""What every test shares: the versions in the header, and kernel tests only for root."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata

import pytest

PACKAGES_IN_HEADER = ("pyroute2", "scapy", "python-iptables")


def pytest_report_header() -> list[str]:
    """What these tests ran on; a report of a failure is of little use without it."""
    tools = [f"python {platform.python_version()}", f"kernel {os.uname().release}"]
    tools += [_first_line(name, "--version") for name in ("iptables", "iptables-legacy")]
    packages = [f"{name} {metadata.version(name)}" for name in PACKAGES_IN_HEADER]
    return [", ".join(tools), ", ".join(packages)]


def _first_line(*argv: str) -> str:
    if shutil.which(argv[0]) is None:
        return f"{argv[0]} missing"
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, and say so, what only root can do."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("kernel"):
            item.add_marker(pytest.mark.skip(reason="a kernel test needs root"))
