"""Random rules, random packets: what a live trace shows is what the model of the host says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from netfw.host.iptables import restore
from netfw.host.live_namespace import LiveNamespace
from netfw.host.netlink import ACK, ask, open_netfilter, request
from netfw.host.network import Network
from netfw.host.packets import cookie_of
from netfw.host.run import run
from netfw.ir.names import Backend, Family
from netfw.render.ipset import render_sets
from netfw.render.restore import render_ruleset
from netfw.traverse.observed import ObservedPacket
from netfw.traverse.packet import Packet
from netfw.traverse.packet_filter import parse_filter
from netfw.traverse.situation import Path
from netfw.traverse.situation import Phase as WayPhase
from netfw.verify.follow import Follower, Wish
from netfw.verify.probe import Probe
from netfw.verify.stage import Stage
from tests.fuzz.arena import _MUTE, _ways_by_mark, empty_sets
from tests.fuzz.generate import Case, Relation, cases
from tests.fuzz.world import layout

pytestmark = pytest.mark.kernel

EXAMPLES = 6
_FORGET = 1 << 8 | 2
"""NFNL_SUBSYS_CTNETLINK and IPCTNL_MSG_CT_DELETE: without attributes it deletes all."""
_HEADER = {Family.IPV4: 20, Family.IPV6: 40}


@contextmanager
def host(family: Family) -> Iterator[Stage]:
    with ExitStack() as stack:
        stage = stack.enter_context(Stage(layout(), family))
        with Network(stage.firewall) as network:
            for name, value in _MUTE.items():
                network.set_sysctl(name, value)
        for argv in _ways_by_mark(family):
            run(argv, namespace=stage.firewall)
        sets = render_sets(tuple(empty_sets(family).values()))
        run(["ipset", "restore"], stdin=sets, namespace=stage.firewall)
        yield stage


def followed(stage: Stage, family: Family, packets: list[Packet]) -> list[ObservedPacket]:
    """The packets that were sent, as the trace showed them."""
    wish = Wish(parse_filter("any"), seconds=0.3, rate=0)
    with LiveNamespace(stage.firewall.path) as live, Follower(live, wish) as follower:
        for number, packet in enumerate(packets, start=1):
            path = Path.LOCAL_OUT if packet.is_local else Path.FORWARDED
            probe = Probe(number, "random", "", packet, path, WayPhase.FIRST)
            with suppress(OSError):
                # a local packet that finds no route: the sender is told
                stage.send(probe, stage.build(probe))
        found = list(follower.packets())
    size = _HEADER[family]
    return [one for one in found if cookie_of(family, one.headers[:size], one.headers[size:])]


@pytest.mark.parametrize("family", Family, ids=str)
@pytest.mark.parametrize("backend", Backend, ids=str)
def test_no_packet_surprises(backend: Backend, family: Family) -> None:
    number = 2 if family is Family.IPV4 else 10
    shown = []
    with host(family) as stage, open_netfilter(stage.firewall) as connections:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],  # to shrink a failure takes minutes of loading
            suppress_health_check=list(HealthCheck),
        )
        @given(cases(family))
        def agrees(case: Case) -> None:
            restore(stage.firewall, backend, family, render_ruleset(case.ruleset))
            ask(connections, request(_FORGET, ACK, number, 0, b""), "connections")
            sent = [one.packet for one in case.sendings if one.relation is Relation.FIRST]
            for packet in followed(stage, family, [one for one in sent if one is not None]):
                shown.append(packet)
                model = [line for line in packet.surprises if "the model" in line]
                assert not model, packet

        agrees()
    assert any(packet.prediction == "as seen" for packet in shown)
