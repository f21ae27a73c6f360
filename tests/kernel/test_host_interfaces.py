"""Interfaces, addresses and default routes, as a host in a network namespace has them; users."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from netfw.ir.names import Family
from netfw.policy.host_names import HostInterface, parse_host_names

pytestmark = pytest.mark.kernel

SCRIPT = """
ip link set lo up
for name in uplink plain backup; do
    ip link add $name type veth peer name far-$name
    ip link set far-$name up
    ip link set $name up
done
ip addr add 192.0.2.10/24 dev uplink
ip addr add 198.51.100.10/24 dev backup
ip addr add 2001:db8::10/64 dev plain nodad
ip route add default nexthop via 192.0.2.1 dev uplink nexthop via 198.51.100.1 dev backup
ip route add default via 192.0.2.1 dev plain onlink table 77
ip -6 route add default via 2001:db8::1 dev plain
ip -6 route add unreachable default metric 4000
"$1" -m netfw facts
"""


def test_facts_are_what_the_kernel_has() -> None:
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", SCRIPT, "sh", sys.executable],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    facts = parse_host_names(done.stdout, "facts")
    assert facts.users is not None
    assert facts.groups is not None
    assert (facts.users["root"], facts.groups["root"]) == (0, 0)
    found = {each.name: each for each in facts.interfaces}
    both = HostInterface("uplink", ((Family.IPV4, 0xC000020A),), (Family.IPV4,))
    assert without_link_local(found["uplink"]) == both
    assert found["backup"].default_routes == (Family.IPV4,)
    assert found["plain"].default_routes == (Family.IPV6,)
    assert (Family.IPV6, 0x20010DB8 << 96 | 0x10) in found["plain"].addresses
    assert found["lo"].default_routes == ()
    assert (Family.IPV4, 0x7F000001) in found["lo"].addresses


def without_link_local(interface: HostInterface) -> HostInterface:
    """The kernel makes addresses of fe80::/10 by itself."""
    kept = tuple(each for each in interface.addresses if each[1] >> 118 != 0xFE80 >> 6)
    return HostInterface(interface.name, kept, interface.default_routes)
