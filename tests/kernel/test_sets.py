"""Sets of the real ipset: read as they are saved, and asked on a live host."""

from __future__ import annotations

import pytest

from netfw.errors import HostError
from netfw.facts.ipset_save import parse_sets
from netfw.host.iptables import restore
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_scene import LiveScene
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.ipset import SET_KINDS
from netfw.ir.match import ConnectionState
from netfw.ir.names import Backend, Family
from netfw.ir.net import format_address
from netfw.render.ipset import render_sets
from netfw.traverse.connection import AssumedConntrack
from netfw.traverse.notation import parse_packet
from netfw.traverse.traversal import End
from tests.kernel.router import LEFT_OWN, Router

pytestmark = pytest.mark.kernel

WHOLE = "timeout 600 counters comment skbinfo"
MEMBERS = {
    "bitmap:ip": ("range 10.0.0.0/16 netmask 24", ["10.0.3.0"]),
    "bitmap:ip,mac": ("range 10.0.0.0/24", ["10.0.0.5", "10.0.0.6,00:1a:22:33:44:55"]),
    "bitmap:port": ("range 1-1000", ["80", "81"]),
    "hash:ip": ("family inet6", ["2001:db8::1", "::ffff:1.2.3.4"]),
    "hash:mac": ("", ["00:1a:22:33:44:55"]),
    "hash:ip,mac": ("family inet", ["10.0.0.6,00:1a:22:33:44:55"]),
    "hash:net": ("family inet6", ["fd00::/8", "fd01::1 nomatch", "::ffff:1.2.3.0/120"]),
    "hash:net,net": ("family inet", ["10.0.0.0/8,10.1.0.0/16 nomatch"]),
    "hash:ip,port": (
        "family inet",
        ["10.0.0.1,80", "10.0.0.1,icmp:8/0", "10.0.0.1,icmp:200/7", "10.0.0.1,vrrp:0"],
    ),
    "hash:net,port": ("family inet6", ["fd00::/8,icmpv6:135/0", "fd00::/8,udplite:7"]),
    "hash:ip,port,ip": ("family inet", ["10.0.0.1,sctp:80,10.0.0.2"]),
    "hash:ip,port,net": ("family inet", ["10.0.0.1,tcp:80,10.0.0.0/24 nomatch"]),
    "hash:ip,mark": ("family inet markmask 0xf0000", ["10.0.0.1,0x30000"]),
    "hash:net,port,net": ("family inet", ["10.0.0.0/8,tcp:80,10.0.0.0/24"]),
    "hash:net,iface": (
        "family inet",
        ["0.0.0.0/0,physdev:eth1", "10.0.0.0/8,eth wildcard", "10.1.0.0/16,eth0 nomatch"],
    ),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_set_of_each_kind_is_given_back_as_it_was_saved(kind: str) -> None:
    options, members = MEMBERS[kind]
    with Namespace("sets") as namespace:
        for name, more in (("plain", ""), ("whole", WHOLE)):
            create = f"create {name} {kind} {options} {more}"
            try:
                run(["ipset", *create.split()], namespace=namespace)
            except HostError as error:
                if "set type not supported" in str(error):
                    pytest.skip(f"this kernel has no sets of kind {kind}")
                raise
            for member in members:
                run(["ipset", "add", name, *member.split()], namespace=namespace)
        run(["ipset", "create", "list", "list:set"], namespace=namespace)
        run(["ipset", "add", "list", "whole"], namespace=namespace)
        # timeouts run down while one looks
        saved = run(["ipset", "save"], namespace=namespace).stdout
        sets = parse_sets(saved, "saved")
        assert render_sets(sets.values()) == saved
        assert len(sets["plain"].members) == len(members)
        run(["ipset", "destroy", "list"], namespace=namespace)
        run(["ipset", "destroy"], namespace=namespace)
        run(["ipset", "restore"], stdin=render_sets(sets.values()), namespace=namespace)


def test_every_kind_is_tried() -> None:
    assert {*MEMBERS, "list:set"} == set(SET_KINDS)


@pytest.mark.parametrize("backend", Backend, ids=str)
def test_a_live_host_is_asked_for_the_sets_of_its_rules(backend: Backend) -> None:
    rules = "*filter\n-A INPUT -m set --match-set bad src -j DROP\nCOMMIT\n"
    with Router() as router:
        run(["ipset", "create", "bad", "hash:net"], namespace=router.box)
        run(["ipset", "add", "bad", "198.51.100.0/24"], namespace=router.box)
        run(["ipset", "add", "bad", "198.51.100.7", "nomatch"], namespace=router.box)
        restore(router.box, backend, Family.IPV4, rules)
        with LiveNamespace(router.box.path) as live:
            scene = LiveScene.read(
                live, Family.IPV4, lambda: AssumedConntrack(ConnectionState.NEW)
            )
    own = format_address(Family.IPV4, LEFT_OWN[Family.IPV4])
    ends = {
        source: scene.explain(parse_packet(f"tcp {source} -> {own}:80 in left")).traversal.end
        for source in ("198.51.100.1", "198.51.100.7")
    }
    assert ends == {"198.51.100.1": End.DROPPED, "198.51.100.7": End.DELIVERED}
