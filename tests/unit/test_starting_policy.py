"""The policy that `netfw init` writes: sound, and what is reachable stays reachable."""

from __future__ import annotations

import pytest

from netfw.errors import FactError
from netfw.facts.host_sketch import HostSketch, Service, SketchedInterface
from netfw.facts.listening import Listener, parse_listening
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import TCP
from netfw.policy.flow import Flow
from netfw.policy.judge import Verdict, judge
from netfw.policy.model import Policy
from netfw.policy.read import load
from netfw.report.starting_policy import starting_policy

ETH0 = SketchedInterface("eth0", "", ("203.0.113.5/24", "2001:db8::5/64"), True)
LAN = SketchedInterface("enp2s0.10", "vlan", ("10.0.0.1/24",), False)
WG = SketchedInterface("wg0", "wireguard", ("10.9.0.1/24",), False)
DOCKER = SketchedInterface("docker0", "bridge", ("172.17.0.1/16",), False)
ODD = SketchedInterface("we:ird", "", ("192.0.2.1/24",), False)
SERVICES = (Service("tcp", 22, ("sshd",)), Service("tcp", 8080, ("na\nme",)))


def written(
    *interfaces: SketchedInterface,
    services: tuple[Service, ...] = SERVICES,
    forwards: bool = False,
    ssh_client: str = "",
) -> tuple[Policy, str]:
    text = starting_policy(HostSketch("box", interfaces, services, forwards, ssh_client))
    return load(text, "p.yaml"), text


def verdict(policy: Policy, way: tuple[str, str], port: int, source: str = "192.0.2.7") -> Verdict:
    came_by, leaves_by = way
    address = Net.parse(source).address
    return judge(policy, Flow(Family.IPV4, came_by, leaves_by, address, 1, TCP, port)).verdict


def test_what_is_reachable_stays_so_and_the_rest_is_closed() -> None:
    policy, text = written(ETH0, LAN)
    for interface in ("eth0", "enp2s0.10"):
        assert verdict(policy, (interface, ""), 8080) is Verdict.ALLOWED
        assert verdict(policy, (interface, ""), 8081) is Verdict.DENIED
    assert "na?me" in text


def test_the_ssh_connection_of_now_becomes_a_failsafe() -> None:
    for client in ("198.51.100.7", "::ffff:198.51.100.7"):
        policy, _ = written(ETH0, services=(), ssh_client=client)
        assert verdict(policy, ("eth0", ""), 22, "198.51.100.7") is Verdict.ALLOWED
        assert verdict(policy, ("eth0", ""), 22) is Verdict.DENIED
    policy, _ = written(ETH0, services=())
    assert verdict(policy, ("eth0", ""), 22) is Verdict.ALLOWED


def test_a_router_goes_on_forwarding_from_inside() -> None:
    policy, _ = written(ETH0, LAN, WG, forwards=True)
    assert verdict(policy, ("enp2s0.10", "eth0"), 443) is Verdict.ALLOWED
    assert verdict(policy, ("wg0", "eth0"), 443) is Verdict.ALLOWED
    assert verdict(policy, ("eth0", "enp2s0.10"), 443) is Verdict.DENIED


@pytest.mark.parametrize("interfaces", [(), (DOCKER,), (ODD,), (ETH0, DOCKER, ODD)])
def test_of_any_interfaces_a_sound_policy_is_made(
    interfaces: tuple[SketchedInterface, ...],
) -> None:
    policy, text = written(*interfaces)
    assert not policy.workloads
    assert all(interface.name in text for interface in interfaces)


TCP_TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 711 1 0
   1: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 712 1 0
   2: 0500A8C0:1F90 070033C6:B3A2 01 00000000:00000000 00:00000000 00000000     0        0 713 1 0
"""


def test_listening_sockets_are_read_and_connections_are_none() -> None:
    assert parse_listening(TCP_TABLE, "tcp") == (
        Listener("tcp", 8080, False, 711),
        Listener("tcp", 3306, True, 712),
    )
    with pytest.raises(FactError, match="/proc/net/tcp:2"):
        parse_listening("head\nnonsense\n", "tcp")
