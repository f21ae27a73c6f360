"""`netfw init` on a host that is a network namespace, with a real service."""

from __future__ import annotations

import subprocess
import sys

import pytest

from netfw.policy.read import load

pytestmark = pytest.mark.kernel

HOST = """\
ip link set lo up
ip link add up0 type veth peer name far0
ip link set up0 up
ip link set far0 up
ip address add 192.0.2.5/24 dev up0
ip route add default via 192.0.2.1 dev up0
{python} - <<'END'
import socket, subprocess, sys
here, local = socket.create_server(("", 8077)), socket.create_server(("127.0.0.1", 8078))
sys.exit(subprocess.run([sys.executable, "-m", "netfw", "init"]).returncode)
END
"""


def test_the_policy_names_the_uplink_and_the_services_of_this_host() -> None:
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", HOST.format(python=sys.executable)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    policy = load(done.stdout, "p.yaml")
    assert policy.endpoint("wan").interfaces == ("up0",)
    (entry,) = policy.endpoint_policies
    allowed = [rule.origin.text for rule in entry.ingress]
    assert "allow: tcp/8077" in allowed
    assert "allow: tcp/8078" not in allowed
