"""Steps on the kernel: what cannot be loaded is refused with its rule and place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netfw.compiler.source_map import SourceMap
from netfw.errors import ConflictError, HostError, Where
from netfw.host.ipsets import load_sets
from netfw.host.iptables import restore
from netfw.host.loader import take
from netfw.host.namespace import Namespace
from netfw.host.network import Network
from netfw.host.own_host import read_own
from netfw.host.refused import RefusedError
from netfw.host.run import run
from netfw.host.sysctl import read_settings
from netfw.ir.names import Backend, Family, TableName
from netfw.ir.origin import Origin
from netfw.plan.own import Own, OwnTable
from netfw.plan.step import LoadRouting, LoadSets, LoadTable, WriteSetting

pytestmark = pytest.mark.kernel
each_backend = pytest.mark.parametrize("backend", Backend, ids=str)
each_family = pytest.mark.parametrize("family", Family, ids=str)

NOTHING = LoadTable(Family.IPV4, TableName.FILTER, "*filter\nCOMMIT\n")
HOLD = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(); input()"
MATCH = '-m comment --comment "netfw:public/web"'
ORIGINS = SourceMap((Origin(Where("policy.yaml", 12, 5), "public/web"),))
ROUTING = {
    Family.IPV4: """\
route replace default via 192.0.2.1 dev up table 100
route replace 198.51.100.0/24 dev up table 100 metric 7
route replace unreachable default table 100 metric 4294967295
route replace unreachable default table 101
rule add preference 30000 fwmark 0x100000/0xff00000 lookup main suppress_prefixlength 0
rule add preference 30001 fwmark 0x100000/0xff00000 lookup 100
rule add preference 30001 fwmark 0x200000/0xff00000 lookup 101
""",
    Family.IPV6: """\
route replace default via 2001:db8::1 dev up table 100
route replace 2001:db8:7::/48 dev up table 100 metric 7
route replace unreachable default table 100 metric 4294967295
route replace unreachable default table 101
rule add preference 30000 fwmark 0x100000/0xff00000 lookup main suppress_prefixlength 0
rule add preference 30001 fwmark 0x100000/0xff00000 lookup 100
rule add preference 30001 fwmark 0x200000/0xff00000 lookup 101
""",
}


@pytest.fixture
def host() -> Iterator[Namespace]:
    """A host with an interface that leads out."""
    with Namespace("host") as made, Namespace("peer") as peer:
        with Network(made) as network, Network(peer) as far:
            network.add_cable("up", "02:00:00:00:00:01", far, "far", "02:00:00:00:00:02")
            network.bring_up("lo")
            network.bring_up("up")
            far.bring_up("far")
            network.add_address("up", Family.IPV4, 0xC0000202, 24)
            network.add_address("up", Family.IPV6, 0x20010DB8 << 96 | 2, 64)
        yield made


@pytest.fixture
def held(host: Namespace) -> Iterator[subprocess.Popen[str]]:
    """Somebody who holds the host's xtables lock until a line is written to him."""
    with subprocess.Popen(
        ["python3", "-c", HOLD, host.lock_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_who_keeps_the_lock_too_long_is_named(
    host: Namespace, held: subprocess.Popen[str]
) -> None:
    with pytest.raises(ConflictError) as caught:
        take(NOTHING, Backend.LEGACY, host, wait=1)
    assert str(caught.value).startswith(
        f"legacy IPv4: process {held.pid} (python3) holds the xtables lock, for 1 seconds by now"
    )


def test_a_lock_that_is_let_go_in_time_is_waited_for(
    host: Namespace, held: subprocess.Popen[str]
) -> None:
    assert held.stdin is not None
    held.stdin.write("\n")
    held.stdin.close()
    take(NOTHING, Backend.LEGACY, host, wait=10)


def test_nf_tables_has_no_lock_to_wait_for(host: Namespace, held: subprocess.Popen[str]) -> None:
    take(NOTHING, Backend.NFT, host, wait=1)
    assert held.poll() is None


@each_backend
def test_a_set_that_others_ask_is_not_destroyed_and_the_rest_is(
    backend: Backend, host: Namespace
) -> None:
    load_sets(host, "create NETFW-4-a hash:ip\ncreate NETFW-4-b hash:ip\n")
    rule = "-A INPUT -m set --match-set NETFW-4-b src -j DROP"
    restore(host, backend, Family.IPV4, f"*filter\n{rule}\nCOMMIT\n")
    with pytest.raises(ConflictError) as caught:
        load_sets(host, "destroy NETFW-4-a\ndestroy NETFW-4-b\n", patience=0.1)
    assert "set NETFW-4-b: it cannot be destroyed" in str(caught.value)
    assert list(read_own(backend, host)[0].sets) == ["NETFW-4-b"]


@each_backend
def test_a_set_is_destroyed_right_after_the_rule_that_asked_it(
    backend: Backend, host: Namespace
) -> None:
    """nf_tables lets it go somewhat later."""
    for _ in range(20):
        load_sets(host, "create NETFW-4-a hash:ip\n")
        rule = "-A INPUT -m set --match-set NETFW-4-a src -j DROP"
        restore(host, backend, Family.IPV4, f"*filter\n{rule}\nCOMMIT\n")
        restore(host, backend, Family.IPV4, "*filter\n-F INPUT\nCOMMIT\n", keep=True)
        take(LoadSets("destroy NETFW-4-a\n"), backend, host)


@each_backend
def test_a_chain_that_others_lead_to_is_not_removed(backend: Backend, host: Namespace) -> None:
    theirs = "*filter\n:NETFW-A - [0:0]\n:D - [0:0]\n-A D -j NETFW-A\nCOMMIT\n"
    restore(host, backend, Family.IPV4, theirs)
    text = "*filter\n:NETFW-A - [0:0]\n-X NETFW-A\nCOMMIT\n"
    with pytest.raises(ConflictError) as caught:
        take(LoadTable(Family.IPV4, TableName.FILTER, text), backend, host)
    assert str(caught.value).startswith(
        "IPv4 table filter: chain NETFW-A cannot be removed: "
        "a rule that is not netfw's leads to it\n"
    )


@each_backend
def test_a_rule_that_somebody_took_away_in_the_meantime_changes_nothing(
    backend: Backend, host: Namespace
) -> None:
    restore(host, backend, Family.IPV4, "*filter\n:NETFW-A - [0:0]\nCOMMIT\n")
    text = "*filter\n:NETFW-A - [0:0]\n-A NETFW-A -j DROP\n-D INPUT -j NETFW-A\nCOMMIT\n"
    with pytest.raises(ConflictError, match="a rule is gone that was there a moment ago"):
        take(LoadTable(Family.IPV4, TableName.FILTER, text), backend, host)
    place = Family.IPV4, TableName.FILTER
    assert read_own(backend, host)[0].tables[place] == OwnTable({"NETFW-A": ()})


@each_backend
def test_without_a_namespace_it_is_where_we_are(backend: Backend, tmp_path: Path) -> None:
    """In a process that stands for the whole of netfw on a host."""
    program = f"""
import os
from netfw.errors import NetfwError
from netfw.host.loader import take
from netfw.host.own_host import read_own
from netfw.ir.names import Backend, Family, TableName
from netfw.plan.own import Own
from netfw.plan.step import LoadRouting, LoadSets, LoadTable, WriteSetting

backend, sysctl = Backend.{backend.name}, "net/ipv4/ip_forward"
table = LoadTable(Family.IPV4, TableName.FILTER, "*filter\\n:NETFW-A - [0:0]\\nCOMMIT\\n")
route = "route replace unreachable default table 77"
steps = (
    LoadSets("create NETFW-4-a hash:ip\\n"),
    table,
    LoadRouting(Family.IPV4, route + "\\n"),
    WriteSetting(sysctl, "1"),
)
for step in steps:
    take(step, backend)
recorded = Own(routing={{Family.IPV4: (route,)}}, settings={{sysctl: "0"}})
own, _ = read_own(backend, recorded=recorded)
print(*own.sets, *own.tables[Family.IPV4, TableName.FILTER].chains, *own.routing[Family.IPV4])
print(own.settings)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for step in steps:
    try:
        take(step, backend)
    except NetfwError as error:
        print(type(error).__name__, error.faults[0].hint)
"""
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", program],
        env={**os.environ, "XTABLES_LOCKFILE": str(tmp_path / "lock")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "NETFW-4-a NETFW-A route replace unreachable default table 77",
        "{'net/ipv4/ip_forward': '1'}",
        *["CapabilityError run as root"] * 4,
    ], done.stderr


def test_a_line_that_ipset_refuses_is_named(host: Namespace) -> None:
    text = "create NETFW-4-a hash:ip\nadd NETFW-4-a 192.0.2.1/33\n"
    with pytest.raises(RefusedError) as caught:
        take(LoadSets(text, "set NETFW-4-a"), Backend.NFT, host)
    assert caught.value.line == "add NETFW-4-a 192.0.2.1/33"
    assert str(caught.value).startswith("set NETFW-4-a: ")


@each_family
def test_routing_is_read_back_as_far_as_it_is_there(family: Family, host: Namespace) -> None:
    lines = tuple(ROUTING[family].splitlines())
    recorded = Own(routing={family: lines})
    assert read_own(Backend.NFT, host, recorded)[0].is_empty
    take(LoadRouting(family, ROUTING[family]), Backend.NFT, host)
    assert read_own(Backend.NFT, host, recorded)[0].routing == {family: lines}
    for gone in ("rule del preference 30000", "route del unreachable default table 101"):
        run(["ip", f"-{family.value}", *gone.split()], namespace=host)
    assert read_own(Backend.NFT, host, recorded)[0].routing == {
        family: tuple(line for line in lines if "30000" not in line and "101" not in line)
        + lines[6:]
    }
    run(["ip", "link", "del", "dev", "up"], namespace=host)
    left = read_own(Backend.NFT, host, recorded)[0].routing[family]
    assert left == (lines[2], *lines[5:])


@each_family
def test_routing_that_is_not_recorded_is_not_ours(family: Family, host: Namespace) -> None:
    take(LoadRouting(family, ROUTING[family]), Backend.NFT, host)
    like = "rule add preference 30001 fwmark 0x100000/0xf00000 lookup 100"
    other = "route replace default via 192.0.2.9 dev up table 100"
    assert read_own(Backend.NFT, host)[0].is_empty
    recorded = Own(routing={family: (like, other)})
    assert read_own(Backend.NFT, host, recorded)[0].is_empty


def test_a_line_that_ip_refuses_is_named(host: Namespace) -> None:
    text = "rule add preference 30001 fwmark 0x1/0xf lookup 100\nroute replace default dev no\n"
    with pytest.raises(RefusedError) as caught:
        take(LoadRouting(Family.IPV4, text), Backend.NFT, host)
    assert caught.value.line == "route replace default dev no"
    assert str(caught.value) == (
        'IPv4 routing: Cannot find device "no"; route replace default dev no'
    )


def test_a_sysctl_is_written_and_read_in_the_namespace(host: Namespace) -> None:
    name = "net/ipv4/conf/up/rp_filter"
    outside = Path("/proc/sys/net/ipv4/conf/all/rp_filter").read_text()
    for value in ("2", "0"):
        take(WriteSetting(name, value), Backend.NFT, host)
        recorded = Own(settings={name: "1", "net/ipv4/conf/gone/rp_filter": "2"})
        assert read_own(Backend.NFT, host, recorded)[0].settings == {name: value}
        assert read_settings([name], host) == {name: value}
    assert Path("/proc/sys/net/ipv4/conf/all/rp_filter").read_text() == outside


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("net/ipv4/conf/gone/rp_filter", "2", "this host has none of this name"),
        ("net/ipv4/conf/up/rp_filter", "much", "'much' cannot be written: Invalid argument"),
        ("../net", "1", "this is no path below /proc/sys"),
    ],
)
def test_a_sysctl_that_cannot_be_written_is_named(
    name: str, value: str, message: str, host: Namespace
) -> None:
    with pytest.raises(HostError) as caught:
        take(WriteSetting(name, value), Backend.NFT, host)
    assert str(caught.value).startswith(f"sysctl {name}: {message}")
