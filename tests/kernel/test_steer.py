"""What steering needs beside rules: classes of tc, routes, and settings, on the running kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from netfw.compiler.compiled import Compiled
from netfw.compiler.pipeline import compile_policy
from netfw.host.inject import FarEnd
from netfw.host.iptables import restore
from netfw.host.network import Network
from netfw.host.packets import PacketBuilder
from netfw.host.routing import load_routing
from netfw.host.run import run
from netfw.ir.names import Backend, Family
from netfw.ir.net import format_address, parse_address
from netfw.ir.protocols import UDP
from netfw.policy.read import load
from netfw.render.restore import render_ruleset
from netfw.render.routing import render_routing, render_settings
from netfw.traverse.packet import Packet
from tests.kernel.router import LEFT_HOST, RIGHT_HOST, Router

pytestmark = pytest.mark.kernel
AFAR = {Family.IPV4: parse_address("192.0.2.77")[1], Family.IPV6: parse_address("fd77::1")[1]}
POLICY = """version: 1
endpoints: {left: {host: left}, right: {host: right}}
policies:
  - {name: all, from: [left, right], forward: [{allow: any}]}
steer:
"""


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as made:
        for name in ("all", "default", "left", "right"):
            with Network(made.box) as network:
                network.set_sysctl(f"net/ipv4/conf/{name}/send_redirects", 0)
        yield made


def loaded(router: Router, backend: Backend, family: Family, entry: str) -> Compiled:
    """A policy that forwards everything and steers by one entry, with its routing."""
    compiled = compile_policy(load(f"{POLICY}  - {entry}\n", "steer.yaml"))
    restore(router.box, backend, family, render_ruleset(compiled.rulesets[family]))
    load_routing(router.box, family, render_routing(compiled.routing[family], family))
    return compiled


def by_default(router: Router, family: Family, interface: str, gateway: int) -> None:
    """Give the main table a default route."""
    route = f"route add default via {format_address(family, gateway)} dev {interface}\n"
    load_routing(router.box, family, route)


def sent(end: FarEnd, source: int, destination: int, family: Family, port: int) -> bytes:
    packet = Packet(family, source, destination, UDP, 40000, port)
    data = PacketBuilder().build(packet, 1)
    end.send(family, data)
    return data


def ports_at(end: FarEnd) -> list[tuple[int, int]]:
    """Source and destination ports of the UDP packets that have come to a far end."""
    found = []
    for family, data in end.arrived():
        protocol, at = (data[9], 20) if family is Family.IPV4 else (data[6], 40)
        if protocol == UDP:
            ports = (data[at : at + 2], data[at + 2 : at + 4])
            found.append((int.from_bytes(ports[0], "big"), int.from_bytes(ports[1], "big")))
    return found


def answered(end: FarEnd, source: int, destination: int, family: Family, port: int) -> None:
    """Send the answer to what ``sent`` sends the other way."""
    packet = Packet(family, source, destination, UDP, port, 40000)
    end.send(family, PacketBuilder().build(packet, 2))


def packets_in(router: Router, interface: str) -> dict[str, int]:
    """How many packets each class of tc has sent out of an interface."""
    said = run(["tc", "-s", "class", "show", "dev", interface], namespace=router.box).stdout
    found = re.findall(r"^class htb (\S+) .*?Sent \d+ bytes (\d+) pkt", said, re.DOTALL | re.M)
    return {name: int(count) for name, count in found}


@pytest.mark.parametrize("family", Family, ids=str)
@pytest.mark.parametrize("backend", Backend, ids=str)
def test_both_directions_of_a_connection_are_sent_in_its_class(
    router: Router, backend: Backend, family: Family
) -> None:
    for interface in ("left", "right"):
        for words in (
            f"qdisc add dev {interface} root handle 1: htb default 30",
            f"class add dev {interface} parent 1: classid 1:20 htb rate 100mbit",
            f"class add dev {interface} parent 1: classid 1:30 htb rate 100mbit",
        ):
            run(["tc", *words.split()], namespace=router.box)
    loaded(router, backend, family, '{in: left, service: udp/5060, class: "1:20"}')
    for port in (5060, 5060, 5061):
        sent(router.left, LEFT_HOST[family], RIGHT_HOST[family], family, port)
    for port in (5060, 5061):
        answered(router.right, RIGHT_HOST[family], LEFT_HOST[family], family, port)
    assert ports_at(router.right) == [(40000, 5060), (40000, 5060), (40000, 5061)]
    assert ports_at(router.left) == [(5060, 40000), (5061, 40000)]
    # the kernel itself speaks IPv6 now and then, but in no class of ours
    assert packets_in(router, "right")["1:20"] == 2
    assert packets_in(router, "left")["1:20"] == 1
    assert packets_in(router, "left")["1:30"] >= 1


REPLIES = "{in: right, replies: true, table: 100, via: {out: right, gateway: [10.2.0.2, fd02::2]}}"


@pytest.mark.parametrize("family", Family, ids=str)
@pytest.mark.parametrize("backend", Backend, ids=str)
def test_answers_leave_by_the_uplink_that_was_asked(
    router: Router, backend: Backend, family: Family
) -> None:
    by_default(router, family, "left", LEFT_HOST[family])
    loaded(router, backend, family, REPLIES)
    sent(router.right, AFAR[family], LEFT_HOST[family], family, 53)
    assert ports_at(router.left) == [(40000, 53)]
    answered(router.left, LEFT_HOST[family], AFAR[family], family, 53)
    assert (ports_at(router.right), ports_at(router.left)) == ([(53, 40000)], [])
    # what begins over there goes the normal way
    sent(router.left, LEFT_HOST[family], AFAR[family], family, 80)
    assert (ports_at(router.right), ports_at(router.left)) == ([], [(40000, 80)])


def test_the_strict_reverse_path_filter_would_drop_them_and_the_settings_prevent_that(
    router: Router,
) -> None:
    family = Family.IPV4
    by_default(router, family, "left", LEFT_HOST[family])
    compiled = loaded(router, Backend.NFT, family, REPLIES)
    with Network(router.box) as network:
        network.set_sysctl("net/ipv4/conf/all/rp_filter", 1)
        network.set_sysctl("net/ipv4/conf/all/src_valid_mark", 1)
    sent(router.right, AFAR[family], LEFT_HOST[family], family, 53)
    assert ports_at(router.left) == []
    run(
        ["sysctl", "-q", "-p", "-"], stdin=render_settings(compiled.settings), namespace=router.box
    )
    sent(router.right, AFAR[family], LEFT_HOST[family], family, 53)
    assert ports_at(router.left) == [(40000, 53)]


@pytest.mark.parametrize("family", Family, ids=str)
@pytest.mark.parametrize(("if_down", "leaks"), [("refuse", False), ("main", True)])
def test_nothing_goes_another_way_where_the_route_is_gone_and_that_is_refused(
    router: Router, family: Family, if_down: str, leaks: bool
) -> None:
    by_default(router, family, "left", LEFT_HOST[family])
    entry = "{in: left, table: 100, via: {out: right, gateway: [10.2.0.2, fd02::2], if-down: %s}}"
    loaded(router, Backend.NFT, family, entry % if_down)
    sent(router.left, LEFT_HOST[family], AFAR[family], family, 53)
    assert (ports_at(router.right), ports_at(router.left)) == ([(40000, 53)], [])
    run(["ip", "link", "set", "right", "down"], namespace=router.box)
    sent(router.left, LEFT_HOST[family], AFAR[family], family, 54)
    assert ports_at(router.left) == ([(40000, 54)] if leaks else [])


def test_a_family_without_a_gateway_is_refused_and_does_not_leak(router: Router) -> None:
    family = Family.IPV6
    by_default(router, family, "left", LEFT_HOST[family])
    entry = "{in: left, table: 100, via: {out: right, gateway: 10.2.0.2, if-down: refuse}}"
    loaded(router, Backend.NFT, family, entry)
    sent(router.left, LEFT_HOST[family], AFAR[family], family, 53)
    assert (ports_at(router.right), ports_at(router.left)) == ([], [])
    # what the main table knows better than by its default route is reached all the same
    sent(router.left, LEFT_HOST[family], RIGHT_HOST[family], family, 54)
    assert ports_at(router.right) == [(40000, 54)]
