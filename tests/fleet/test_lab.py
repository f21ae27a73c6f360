"""The hosts of these tests themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet.lab import ROOT, Lab, needs_lab, wait_for
from tests.processes import command_lines

pytestmark = [pytest.mark.kernel, needs_lab]
MAKE_ONE = """\
import sys
from pathlib import Path
from tests.fleet.lab import Lab
with Lab(Path(sys.argv[1]), ["h1"]):
    print("up", flush=True)
    sys.stdin.read()
"""


def processes_of(folder: Path) -> list[str]:
    """Command lines that name a lab's folder."""
    texts = map(" ".join, command_lines())
    return [text for text in texts if str(folder) in text]


def test_a_host_is_apart_from_the_machine_and_leaves_nothing_behind(tmp_path: Path) -> None:
    name, in_file = os.uname().nodename, Path("/etc/hostname").read_bytes()
    with Lab(tmp_path, ["h1"]) as lab:
        host = lab.hosts["h1"]
        assert host.sh("hostname").strip() == "h1"
        host.sh("touch /etc/made-here /var/lib/made-here /opt/made-here /run/made-here")
        host.sh("iptables -A INPUT -p tcp --dport 9 -j DROP")
        assert host.sh("cat /proc/1/comm").strip() == "sshd"
    for folder in ("/etc", "/var/lib", "/opt", "/run"):
        assert not Path(folder, "made-here").exists()
    assert (os.uname().nodename, Path("/etc/hostname").read_bytes()) == (name, in_file)
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    wait_for(lambda: processes_of(tmp_path) == [])


def test_hosts_end_with_whoever_made_them_even_if_that_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE_ONE, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert any("sshd" in line for line in processes_of(tmp_path))
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: processes_of(tmp_path) == [])
