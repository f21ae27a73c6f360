"""A twin of a host: what is copied is there, and what is not is said by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.host.twin import Twin
from netfw.host.twin_stage import TwinStage
from netfw.ir.names import Backend, Family
from netfw.ir.net import parse_address
from netfw.ir.protocols import UDP
from netfw.traverse.packet import Packet
from tests.kernel.hosts import Host

pytestmark = pytest.mark.kernel

each_backend = pytest.mark.parametrize("backend", Backend, ids=str)


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as made:
        yield made


def said_of(twin: Twin) -> list[str]:
    return [each.what for each in twin.lacking]


def printed(namespace: Namespace, command: str) -> list[str]:
    """What it prints, without comments and counters."""
    lines = run(command.split(), namespace=namespace).stdout.splitlines()
    counters = re.compile(r" \[\d+:\d+\]$")
    return [counters.sub("", line.rstrip()) for line in lines if not line.startswith("#")]


def same_in_both(host: Host, twin: Twin, *commands: str) -> None:
    for command in commands:
        assert printed(twin.namespace, command) == printed(host.box, command), command


def test_a_plain_host_is_copied_whole(host: Host):
    with Twin(host.live) as twin:
        assert twin.lacking == ()
        same_in_both(
            host,
            twin,
            "ip -4 route show table all",
            "ip -6 route show table all",
            "ip rule",
            "ip -6 rule",
            "iptables-nft-save",
        )
        for name in ("eth0", "eth1"):
            (line,) = printed(twin.namespace, f"ip -br link show {name}")
            assert line.split()[2] == f"02:00:00:00:0{name[-1]}:01"


def test_routing_of_every_kind_is_copied(host: Host):
    host.ip(
        "link set eth1 mtu 1400",
        "link set eth1 group 7",
        "address add 10.0.0.77/24 dev eth1",
        "address add 10.9.9.1 peer 10.9.9.2 dev eth1",
        "route add 10.1.0.0/16 via 10.0.0.2 metric 50 mtu 1300",
        "route add 10.1.0.0/16 via 10.0.0.3 metric 60",
        "route add unreachable 10.2.0.0/16",
        "route add 10.3.0.0/16 nexthop via 10.0.0.2 weight 2 nexthop via 192.0.2.9 weight 3",
        "route add 10.4.0.0/16 via 172.31.0.1 dev eth1 onlink src 10.0.0.77",
        "route add table 100 default via 10.0.0.2",
        "route add local 203.0.113.0/24 dev lo table 101",
        "-6 route add 2001:db8:5::/48 via fd00::5 metric 7 table 100",
        "-6 route add 2001:db8:6::/48 nexthop via fd00::5 nexthop via fd00::6",
        "-6 route add blackhole 2001:db8:7::/48",
        "rule add preference 100 fwmark 0x100/0xf00 lookup 100",
        "rule add preference 90 from 10.0.0.0/24 iif eth1 suppress_prefixlength 0 lookup main",
        "rule add preference 80 not from 10.0.0.9 uidrange 5-9 lookup 101",
        "-6 rule add preference 100 fwmark 0x100/0xf00 lookup 100",
        "rule del preference 32767",
    )
    with Twin(host.live) as twin:
        assert twin.lacking == ()
        same_in_both(
            host,
            twin,
            "ip -4 route show table all",
            "ip -6 route show table all",
            "ip rule",
            "ip -6 rule",
        )
        (line,) = (each for each in printed(twin.namespace, "ip -o link show eth1"))
        assert "mtu 1400" in line
        assert "group 7" in line


def test_next_hop_objects_are_copied(host: Host):
    host.ip(
        "nexthop add id 5 via 10.0.0.2 dev eth1",
        "nexthop add id 6 via 10.0.0.3 dev eth1",
        "nexthop add id 7 group 5/6,3",
        "route add 10.5.0.0/16 nhid 7",
        "route add 10.6.0.0/16 nhid 5",
    )
    with Twin(host.live) as twin:
        assert twin.lacking == ()
        same_in_both(host, twin, "ip -4 route show table all", "ip nexthop show")


def test_sysctls_that_say_which_way_packets_go_are_copied(host: Host):
    values = {
        "net/ipv4/conf/eth1/forwarding": 1,
        "net/ipv4/conf/eth1/rp_filter": 2,
        "net/ipv4/conf/all/src_valid_mark": 1,
        "net/ipv6/conf/all/forwarding": 1,
        "net/ipv6/conf/eth0/forwarding": 0,
        "net/ipv4/fwmark_reflect": 1,
        "net/netfilter/nf_conntrack_tcp_loose": 0,
        "net/ipv4/tcp_ecn": 1,
    }
    for name, value in values.items():
        host.write(name, value)
    with Twin(host.live, ["net/ipv4/tcp_ecn"]) as twin:
        assert twin.lacking == ()
        for name, value in values.items():
            assert run(["cat", f"/proc/sys/{name}"], namespace=twin.namespace).stdout.split() == [
                str(value)
            ]


@each_backend
def test_rules_and_sets_of_others_are_copied_in_their_order(host: Host, backend: Backend):
    host.sh("ipset create banned hash:ip timeout 0; ipset add banned 198.51.100.9")
    host.add_docker(backend)
    host.load(
        backend,
        "*filter\n:F2B - [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j F2B\n"
        "-A F2B -m set --match-set banned src -j REJECT\nCOMMIT\n",
        [Family.IPV4],
    )
    host.load(backend, "*mangle\n-A PREROUTING -p udp -j MARK --set-xmark 0x1/0xff\nCOMMIT\n")
    with Twin(host.live) as twin:
        assert said_of(twin) == ["veth1, a port of bridge docker0"]
        for program in ("iptables", "ip6tables"):
            same_in_both(host, twin, f"{program}-{backend}-save")
        same_in_both(host, twin, "ipset save")


def test_tables_of_nftables_are_copied(host: Host):
    host.sh(
        "nft add table inet mine; "
        "nft 'add set inet mine bad { type ipv4_addr; flags interval; }'; "
        "nft 'add element inet mine bad { 198.51.100.0/24 }'; "
        "nft 'add chain inet mine in { type filter hook input priority 10; policy accept; }'; "
        "nft add rule inet mine in iifname eth0 ip saddr @bad drop; "
        "nft add table netdev early; "
        "nft 'add chain netdev early c { type filter hook ingress device eth0 priority 0; }'; "
        "nft add table ip filter; nft add chain ip filter odd; "
        "nft 'add rule ip filter odd ip saddr { 192.0.2.1, 192.0.2.5 } drop'"
    )
    with Twin(host.live) as twin:
        assert twin.lacking == ()
        same_in_both(host, twin, "nft list ruleset")


def test_what_cannot_be_copied_is_said_by_name(host: Host):
    host.sh("ip tuntap add tun9 mode tun; ip link set tun9 up; tc qdisc add dev eth0 clsact")
    host.ip(
        "link add bond-like type bridge",
        "link set eth1 master bond-like",
        "link add vx type vxlan id 5 dstport 4789 dev eth0",
    )
    with Twin(host.live) as twin:
        assert sorted(said_of(twin)) == [
            "eth1, a port of bridge bond-like",
            "tunnel tun9 (tun): the packets that carry its own",
            "tunnel vx (vxlan): the packets that carry its own",
            "what tc does at eth0 (qdisc clsact)",
        ]
        assert twin.doubts(Family.IPV4, "eth0") == ("what tc does at eth0 (qdisc clsact)",)
        assert twin.doubts(Family.IPV6, "lo") == ()


def test_an_interface_without_a_cable_has_none_in_the_twin(host: Host):
    run(["ip", "link", "set", "eth1", "down"], namespace=host._far)
    with Twin(host.live) as twin:
        assert twin.lacking == ()
        (line,) = printed(twin.namespace, "ip -o link show eth1")
        assert "NO-CARRIER" in line


@pytest.mark.parametrize("family", Family, ids=str)
def test_packets_go_through_a_twin_without_neighbours(host: Host, family: Family):
    host.write("net/ipv4/ip_forward", 1)
    host.write("net/ipv6/conf/all/forwarding", 1)
    source, target, own = {
        Family.IPV4: ("198.51.100.7", "10.0.0.99", "192.0.2.10"),
        Family.IPV6: ("2001:db8:99::7", "fd00::99", "2001:db8::10"),
    }[family]
    packet = Packet(
        family,
        parse_address(source)[1],
        parse_address(target)[1],
        UDP,
        40000,
        53,
        in_interface="eth0",
    )
    to_host = replace(packet, destination=parse_address(own)[1])
    from_host = replace(
        packet, source=to_host.destination, destination=packet.source, in_interface=""
    )
    with Twin(host.live) as twin, TwinStage(twin, family, {UDP}) as stage:
        seen, refused = stage.send({77: packet, 78: to_host, 79: from_host})
        assert refused == {}
        assert {number: each.interface for number, each in seen.items()} == {
            77: "eth1",
            78: "",
            79: "eth0",
        }


def test_a_packet_that_rules_drop_is_seen_nowhere(host: Host):
    host.load(Backend.NFT, "*filter\n-A INPUT -p udp -m udp --dport 53 -j DROP\nCOMMIT\n")
    own = parse_address("192.0.2.10")[1]
    some = parse_address("198.51.100.7")[1]
    packet = Packet(Family.IPV4, some, own, UDP, 40000, 53, in_interface="eth0")
    with Twin(host.live) as twin, TwinStage(twin, Family.IPV4, {UDP}) as stage:
        seen, _ = stage.send({1: packet, 2: replace(packet, destination_port=54)})
        assert list(seen) == [2]


def test_the_host_stays_as_it_was(host: Host):
    host.add_docker(Backend.NFT)
    commands = (
        "ip -o link",
        "ip route show table all",
        "ip rule",
        "iptables-nft-save",
        "ip6tables-nft-save",
        "nft list ruleset",
    )
    before = [printed(host.box, command) for command in commands]
    with Twin(host.live):
        pass
    assert [printed(host.box, command) for command in commands] == before
