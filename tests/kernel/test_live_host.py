"""``explain --host``: what it says of a live namespace is what the kernel does there."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet import UDP as ScapyUdp
from scapy.utils import wrpcap

from netfw.cli.main import main
from netfw.errors import CapabilityError, UsageError
from netfw.host.inject import LocalSender
from netfw.host.iptables import restore
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_scene import LiveScene
from netfw.host.local_receiver import LocalReceiver
from netfw.host.namespace import Namespace
from netfw.host.network import Network
from netfw.host.packets import PacketBuilder, cookie_of
from netfw.host.run import run
from netfw.host.wait import wait_until
from netfw.ir.match import ConnectionState
from netfw.ir.names import Backend, Family
from netfw.ir.net import format_address
from netfw.ir.protocols import UDP
from netfw.traverse.account import Account
from netfw.traverse.connection import AssumedConntrack
from netfw.traverse.notation import parse_packet
from netfw.traverse.traversal import End
from tests.kernel.router import LEFT_HOST, LEFT_OWN, RIGHT_HOST, RIGHT_OWN, Router

pytestmark = pytest.mark.kernel

each = pytest.mark.parametrize("family", Family, ids=str)
MARKS = """\
*mangle
-A PREROUTING -p udp -m udp --dport 60 -j MARK --set-xmark 0x5/0xf
-A PREROUTING -p udp -m udp --dport 61:79 -j MARK --set-xmark 0x6/0xf
COMMIT
"""
NAT = """\
*nat
-A PREROUTING -p udp -m udp --dport 70 -j REDIRECT --to-ports 71
-A POSTROUTING -o right -j MASQUERADE
COMMIT
"""
FILTER = """\
*filter
-A INPUT -p udp -m udp --dport 54 -j DROP
-A FORWARD -m mark --mark 0x5/0xf -j DROP
-A OUTPUT -p udp -m udp --dport 55 -j DROP
COMMIT
"""
LOADED = {
    "nft": {Backend.NFT: MARKS + NAT + FILTER},
    "legacy": {Backend.LEGACY: MARKS + NAT + FILTER},
    "both": {Backend.NFT: FILTER + MARKS, Backend.LEGACY: NAT},
}
_SENTINEL = 1000


def scene_of(namespace: Namespace, family: Family) -> LiveScene:
    with LiveNamespace(namespace.path) as live:
        return LiveScene.read(live, family, lambda: AssumedConntrack(ConnectionState.NEW))


def explained(scene: LiveScene, line: str) -> Account:
    return scene.explain(parse_packet(line))


@dataclass(frozen=True)
class Seen:
    """Where a packet came out (``left``, ``right`` or ``here``), from where and to which port."""

    where: str
    source: str
    port: int


class Watcher:
    """Sends packets through a router, and says where they came out."""

    def __init__(self, router: Router, family: Family) -> None:
        self.router, self.family = router, family
        self.builder = PacketBuilder()
        self.receiver = LocalReceiver(router.box, family, {UDP})
        self.sender = LocalSender(router.box, family)

    def close(self) -> None:
        self.receiver.close()
        self.sender.close()

    def outcomes(self, accounts: list[Account]) -> list[Seen | None]:
        """What became of the packets of these accounts, after all of them were sent."""
        seen: dict[int, Seen] = {}
        for number, account in enumerate(accounts, start=1):
            packet = account.packet
            data = self.builder.build(packet, number)
            if packet.in_interface:
                getattr(self.router, packet.in_interface).send(self.family, data)
            else:
                self.sender.send(data, packet.destination)
        # nobody drops the last one: when it has come, the others have had their time
        last = replace(
            accounts[0].packet,
            source=LEFT_HOST[self.family],
            destination=LEFT_OWN[self.family],
            destination_port=9,
        )
        self.router.left.send(self.family, self.builder.build(last, _SENTINEL))

        def has_come() -> bool:
            for one in self.receiver.arrived():
                self._note(seen, "here", one.packet)
            for name in ("left", "right"):
                for _, data in getattr(self.router, name).arrived():
                    self._note(seen, name, data)
            return _SENTINEL in seen

        assert wait_until(has_come, 3)
        return [seen.get(number) for number in range(1, len(accounts) + 1)]

    def _note(self, seen: dict[int, Seen], where: str, data: bytes) -> None:
        header, first, length = (20, 12, 4) if self.family is Family.IPV4 else (40, 8, 16)
        number = cookie_of(self.family, data[:header], data[header:])
        if number is None:
            return
        source = int.from_bytes(data[first : first + length], "big")
        (port,) = struct.unpack_from(">H", data, header + 2)
        seen[number] = Seen(where, format_address(self.family, source), port)


def said(account: Account) -> Seen | None:
    """What an account says of where its packet comes out."""
    way, family = account.traversal, account.packet.family
    assert way.final is not None
    source, port = format_address(family, way.final.source), way.final.destination_port
    if way.end is End.SENT:
        return Seen(way.detail, source, port)
    return Seen("here", source, port) if way.end is End.DELIVERED else None


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as made:
        yield made


def lines(family: Family) -> list[str]:
    """Packets of which the way in is left out."""

    def text(address: int, port: int) -> str:
        words = format_address(family, address)
        return f"[{words}]:{port}" if family is Family.IPV6 else f"{words}:{port}"

    left, own = LEFT_HOST[family], LEFT_OWN[family]
    right = RIGHT_HOST[family]
    return [
        *(f"udp {format_address(family, left)} -> {text(right, to)}" for to in (53, 60, 62, 70)),
        *(f"udp {format_address(family, left)} -> {text(own, to)}" for to in (53, 54, 60)),
        *(f"udp {text(right, to)}" for to in (56, 55)),
    ]


@each
@pytest.mark.parametrize("loaded", LOADED)
def test_packets_go_where_explain_says(router: Router, family: Family, loaded: str) -> None:
    for backend, rules in LOADED[loaded].items():
        restore(router.box, backend, family, rules)
    scene = scene_of(router.box, family)
    accounts = [explained(scene, line) for line in lines(family)]
    assert not any(account.traversal.end is End.UNDECIDED for account in accounts)
    expected = [said(account) for account in accounts]
    # the rules show in what is expected: all three kinds of ends are there
    assert {None, "here", "right"} <= {one and one.where for one in expected}
    watcher = Watcher(router, family)
    assert watcher.outcomes(accounts) == expected
    watcher.close()


@each
def test_what_was_left_out_is_found_on_the_host(router: Router, family: Family) -> None:
    scene = scene_of(router.box, family)
    left, right = (format_address(family, one[family]) for one in (LEFT_HOST, RIGHT_HOST))
    came_in = explained(scene, f"udp {left} -> {right}")
    assert came_in.packet.in_interface == "left"
    assert any(piece.startswith("in left (") for piece in came_in.completed)
    own = explained(scene, f"udp {right}")
    assert own.packet.is_local
    assert own.packet.source == RIGHT_OWN[family]
    neighbour = explained(scene, f"udp {right} in left")
    assert neighbour.packet.source == LEFT_HOST[family]
    assert (neighbour.traversal.end, neighbour.traversal.detail) == (End.SENT, "right")


def tables_of(namespace: Namespace) -> tuple[str, ...]:
    def names() -> tuple[str, ...]:
        folder = Path("/proc/thread-self/net")
        return tuple(
            (folder / name).read_text() if (folder / name).exists() else ""
            for name in ("ip_tables_names", "ip6_tables_names")
        )

    return (
        *namespace.call(names),
        run(["nft", "list", "ruleset"], namespace=namespace).stdout,
        run(["ip", "rule"], namespace=namespace).stdout,
        run(["ip", "-4", "-oneline", "address"], namespace=namespace).stdout,
    )


@each
@pytest.mark.parametrize("backend", [None, *Backend])
def test_looking_changes_nothing(router: Router, family: Family, backend: Backend | None) -> None:
    if backend is not None:
        restore(router.box, backend, family, FILTER)
    before = tables_of(router.box)
    assert main(["explain", "--host", "--netns", router.box.path, "udp 10.1.0.2 -> 10.2.0.2"]) == 0
    scene_of(router.box, family)
    assert tables_of(router.box) == before


def test_the_host_that_is_shown_in_the_documentation_is_explained_so(
    router: Router, capsys: pytest.CaptureFixture[str]
) -> None:
    for backend, rules in LOADED["both"].items():
        restore(router.box, backend, Family.IPV4, rules)
    text = (Path(__file__).parents[2] / "netfw" / "docs" / "packets.md").read_text()
    command, _, shown = text.partition("$ netfw explain --host ")[2].partition("\n")
    packet = command.strip("'")
    assert main(["explain", "--host", "--netns", router.box.path, packet]) == 0
    assert capsys.readouterr().out == shown.partition("```")[0]


def test_strict_rp_filter_refuses_what_comes_the_wrong_way(router: Router) -> None:
    with Network(router.box) as network:
        network.set_sysctl("net.ipv4.conf.left.rp_filter", 1)
    scene = scene_of(router.box, Family.IPV4)
    wrong = explained(scene, "udp 10.2.0.7 -> 10.1.0.1:53 in left")
    right = explained(scene, "udp 10.1.0.7 -> 10.1.0.1:53 in left")
    assert wrong.traversal.end is End.STOPPED
    assert wrong.traversal.detail == "rp_filter: the way back to 10.2.0.7 is right"
    watcher = Watcher(router, Family.IPV4)
    assert watcher.outcomes([wrong, right]) == [None, Seen("here", "10.1.0.7", 53)]
    watcher.close()


@pytest.mark.parametrize("scope", ["all", "left"])
def test_the_way_back_asks_the_mark_where_a_setting_says_so(router: Router, scope: str) -> None:
    with Network(router.box) as network:
        network.set_sysctl("net.ipv4.conf.left.rp_filter", 1)
        network.set_sysctl(f"net.ipv4.conf.{scope}.src_valid_mark", 1)
    for words in (
        "rule add fwmark 0x5/0xf lookup 78",
        "route add 10.2.0.7 dev left table 78",
    ):
        run(["ip", *words.split()], namespace=router.box)
    restore(router.box, Backend.NFT, Family.IPV4, MARKS)
    scene = scene_of(router.box, Family.IPV4)
    accounts = [explained(scene, f"udp 10.2.0.7 -> 10.1.0.1:{port} in left") for port in (53, 60)]
    assert accounts[0].traversal.detail == "rp_filter: the way back to 10.2.0.7 is right"
    watcher = Watcher(router, Family.IPV4)
    assert watcher.outcomes(accounts) == [None, Seen("here", "10.2.0.7", 60)]
    watcher.close()


def test_routing_rules_are_followed_by_source_and_mark(router: Router) -> None:
    box = router.box
    for words in (
        "rule add from 10.1.0.7 lookup 77",
        "rule add fwmark 0x5/0xf lookup 78",
        "route add blackhole 10.2.0.0/24 table 77",
        "route add 10.2.0.0/24 dev left table 78",
        "neighbour add 10.2.0.2 dev left lladdr 02:00:00:00:01:01",
    ):
        run(["ip", *words.split()], namespace=box)
    restore(box, Backend.NFT, Family.IPV4, MARKS)
    scene = scene_of(box, Family.IPV4)
    accounts = [
        explained(scene, f"udp {source} -> 10.2.0.2:{port} in left")
        for source, port in (("10.1.0.7", 53), ("10.1.0.8", 53), ("10.1.0.8", 60))
    ]
    expected = [said(account) for account in accounts]
    assert [one and one.where for one in expected] == [None, "right", "left"]
    watcher = Watcher(router, Family.IPV4)
    assert watcher.outcomes(accounts) == expected
    watcher.close()


def test_chains_that_are_not_of_iptables_leave_it_open(
    router: Router, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "table inet own { chain c { type filter hook forward priority 5; udp dport 53 drop; }; }\n"
    )
    run(["nft", "-f", "-"], stdin=text, namespace=router.box)
    words = ["explain", "--host", "--netns", router.box.path]
    assert main([*words, "udp 10.1.0.2 -> 10.2.0.2:53"]) == 4
    assert "depends on what netfw cannot know: chain of nftables 'inet own c'" in (
        capsys.readouterr().out
    )
    # a packet that does not meet the chain is known
    assert main([*words, "udp 10.1.0.2 -> 10.1.0.1:53"]) == 0


def test_where_the_order_of_the_backends_decides_nobody_knows(router: Router) -> None:
    drop, mark = FILTER, MARKS.replace("*mangle", "*filter").replace("PREROUTING", "FORWARD")
    restore(router.box, Backend.NFT, Family.IPV4, drop)
    restore(router.box, Backend.LEGACY, Family.IPV4, mark)
    scene = scene_of(router.box, Family.IPV4)
    open_question = explained(scene, "udp 10.1.0.2 -> 10.2.0.2:60")
    assert open_question.traversal.end is End.UNDECIDED
    assert "nft or of legacy come first" in open_question.traversal.detail
    assert explained(scene, "udp 10.1.0.2 -> 10.2.0.2:53").traversal.end is End.SENT


def test_an_interface_that_is_down_lets_nothing_in(router: Router) -> None:
    run(["ip", "link", "set", "left", "down"], namespace=router.box)
    scene = scene_of(router.box, Family.IPV4)
    account = explained(scene, "udp 10.1.0.2 -> 10.1.0.1:53 in left")
    assert account.traversal.end is End.STOPPED
    assert account.traversal.detail == "interface left is down"


def test_with_lo_down_nobody_knows_what_a_host_sends_to_itself(router: Router) -> None:
    own = "udp 10.1.0.1:53"
    assert explained(scene_of(router.box, Family.IPV4), own).traversal.end is End.DELIVERED
    run(["ip", "link", "set", "lo", "down"], namespace=router.box)
    assert explained(scene_of(router.box, Family.IPV4), own).traversal.end is End.UNDECIDED


def test_an_interface_that_the_host_does_not_have_is_refused(
    router: Router, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", "--host", "--netns", router.box.path]
    assert main([*words, "udp 10.1.0.2 -> 10.1.0.1 in nowhere"]) == 2
    assert capsys.readouterr().err == (
        "PACKET: this host has no interface nowhere\n  hint: it has left, lo, right\n"
    )
    assert main([*words, "udp 192.0.2.1 -> 10.1.0.1"]) == 2
    assert "PACKET: this host has no route to 192.0.2.1\n" in capsys.readouterr().err


def test_a_capture_is_explained_with_the_hosts_connections(
    router: Router, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    restore(
        router.box,
        Backend.LEGACY,
        Family.IPV4,
        "*filter\n:FORWARD DROP\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"
        "-A FORWARD -p udp -m udp --dport 53 -j ACCEPT\nCOMMIT\n",
    )
    left, right = "10.1.0.2", "10.2.0.2"
    question = IP(src=left, dst=right) / ScapyUdp(sport=40000, dport=53)
    answer = IP(src=right, dst=left) / ScapyUdp(sport=53, dport=40000)
    lost = IP(src="192.0.2.1", dst=left) / ScapyUdp()
    file = str(tmp_path / "capture")
    wrpcap(file, [answer, question, answer, lost], linktype=101)
    words = ["explain", "--host", "--netns", router.box.path, "--pcap", file]
    assert main(words) == 4
    assert [line.partition(" (")[0] for line in capsys.readouterr().out.splitlines()] == [
        "1 udp 10.2.0.2:53 -> 10.1.0.2:40000 in right: dropped by a rule, mark 0x0",
        "2 udp 10.1.0.2:40000 -> 10.2.0.2:53 in left: sent by right, mark 0x0",
        "3 udp 10.2.0.2:53 -> 10.1.0.2:40000 in right: sent by left, mark 0x0",
        "4 packet whose way is not known: this host has no route to 192.0.2.1",
        "4 frames: 1 dropped by a rule, 2 sent, 1 packet whose way is not known",
    ]


@pytest.mark.parametrize(
    ("named", "problem"),
    [("no-such-namespace", "there is no namespace"), ("/proc/self/ns/uts", "is no network")],
)
def test_what_is_no_namespace_is_refused(named: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        LiveNamespace(named)


def test_without_the_right_to_look_one_line_says_so(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("netfw.host.live_rules.dump", refuse)
    with pytest.raises(CapabilityError, match="its rules may not be read") as raised:
        scene_of(router.box, Family.IPV4)
    assert raised.value.faults[0].hint == "run as root"
