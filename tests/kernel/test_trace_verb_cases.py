"""Broken hosts of others' making: the trace shows the step at which a packet went wrong."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from netfw.host.injection import Injection
from netfw.host.live_namespace import LiveNamespace
from netfw.report.trace import JSON_HEAD, json_tail, packet_json
from netfw.traverse.notation import parse_packet
from netfw.traverse.observed import ObservedEnd, ObservedPacket
from netfw.traverse.packet_filter import parse_filter
from netfw.verify.follow import Follower, Wish
from tests.data_schema import fitting
from tests.kernel.following import changes, routings, step_with
from tests.kernel.private_mounts import needs_private_mounts

pytestmark = [pytest.mark.kernel, needs_private_mounts]

CASES = Path(__file__).parents[3] / "shared" / "mark-cases"
FAR, PORT = "203.0.113.1", "5000"


@dataclass(frozen=True)
class Host:
    """A broken host that stands: the namespaces' names begin with ``prefix``."""

    prefix: str

    def trace(
        self, namespace: str, wanted: str, sender: str, *words: str, count: int = 1
    ) -> list[ObservedPacket]:
        """Packets of a namespace while a probe is sent from another one."""
        wish = Wish(parse_filter(wanted), count=count, seconds=4)
        with (
            LiveNamespace(f"{self.prefix}{namespace}") as live,
            Follower(live, wish) as follower,
        ):
            self.probe(sender, *words)
            packets = list(follower.packets())
            tail = json_tail(follower.totals())
        printed = "".join((JSON_HEAD, *map(packet_json, packets), tail))
        fitting("trace", json.loads(printed))
        return packets

    def probe(self, sender: str, *words: str) -> None:
        """Send something from a namespace."""
        argv = ["ip", "netns", "exec", f"{self.prefix}{sender}", "python3"]
        subprocess.run([*argv, str(CASES / "probe.py"), *words], check=True, capture_output=True)

    def udp(self, sender: str = "c", mark: str = "0", wanted: str = "udp -> :5000") -> Packet:
        """The one datagram to the far server, as the router sees it."""
        (packet,) = self.trace("r", wanted, sender, "udp", FAR, PORT, mark)
        return packet


Packet = ObservedPacket


@contextmanager
def standing(number: str) -> Iterator[Host]:
    found = sorted(CASES.glob(f"{number}-*.sh"))
    if not found:
        pytest.skip(f"case {number} is not here")
    prefix = f"tv{os.getpid() % 100000}{number}-"
    clean = {**os.environ, "CLEAN": "1"}
    try:
        subprocess.run(
            ["bash", str(found[0]), prefix],
            env={**os.environ, "KEEP": "1"},
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=30,
        )
        yield Host(prefix)
    finally:
        subprocess.run(["bash", str(found[0]), prefix], env=clean, check=False, timeout=30)


def policy_dropped(packet: Packet, mark: int) -> None:
    last = packet.steps[-1]
    assert packet.end is ObservedEnd.DROPPED
    assert (last.table, last.chain, last.rule) == ("filter", "FORWARD", 0)
    assert packet.mark == mark


def case_01_unmasked_writer(host: Host) -> None:
    packet = host.udp()
    assert changes(packet)[1] == (0x10000, 1, "nft mangle PREROUTING rule 2")
    policy_dropped(packet, 1)


def case_02_value_outside_mask(host: Host) -> None:
    """The mark is there, and no rule of FORWARD matched."""
    packet = host.udp()
    policy_dropped(packet, 0x30000)
    assert [step.chain for step in packet.steps][-1:] == ["FORWARD"]


def case_03_test_before_set(host: Host) -> None:
    packet = host.udp()
    assert packet.end is ObservedEnd.DROPPED
    assert (packet.steps[-1].table, packet.steps[-1].mark_before) == ("inet gate", 0)
    assert changes(packet) == []


def case_05_nat_table(host: Host) -> None:
    first, second = host.trace("r", "udp -> :5000", "c", "udp2", FAR, PORT, "0", count=2)
    assert changes(first) == [(0, 1, "nft nat PREROUTING rule 1")]
    assert first.detail == "wb"
    assert not [step for step in second.steps if step.table == "nat"]
    assert (second.mark, second.detail) == (0, "wa")


def case_06_output_of_type_filter(host: Host) -> None:
    packet = host.udp("r")
    again = routings(packet)[-1]
    assert (again.mark, again.decision) == (1, "out by wa")
    assert "nothing routed it again" in again.note


def case_07_wrong_source(host: Host) -> None:
    packet = host.udp("r")
    assert [seen.decision for seen in routings(packet)] == ["out by wa", "out by wb"]
    assert any("its source 10.2.0.1 is of wa" in line for line in packet.surprises)


def case_09_unmasked_restore(host: Host) -> None:
    packet = host.udp()
    restored = step_with(packet, "--restore-mark")
    assert (restored.mark_before, restored.mark_after) == (0x10000, 0)
    policy_dropped(packet, 0)


def case_10_rp_filter(host: Host) -> None:
    packet = host.udp("r", "0xca6c", "udp 203.0.113.1:5000 -> in wa")
    assert packet.end is ObservedEnd.VANISHED
    assert "rp_filter: the way back to 203.0.113.1 is wb" in packet.detail
    assert "src_valid_mark is 0" in packet.detail
    assert any("IPReversePathFilter" in line for line in packet.evidence)


def case_12_accepted_by_another(host: Host) -> None:
    (packet,) = host.trace("h", "tcp -> :22 flags syn", "c", "tcp", "10.5.0.1", "22", "0")
    accepted = packet.steps[-1]
    assert (accepted.chain, accepted.mark_before) == ("KUBE-NWPLCY-TAIL", 0x20000)
    assert changes(packet) == [(0, 0x20000, "nft filter netfw-in rule 1")]
    assert packet.end is ObservedEnd.DELIVERED


def case_14_lost_between_namespaces(host: Host) -> None:
    (sent,) = host.trace("c", "udp -> :5000", "c", "udp", FAR, PORT, "0")
    assert (sent.mark, sent.end) == (1, ObservedEnd.SENT)
    came = host.udp()
    assert came.mark == 0
    assert routings(came)[0].passed_over == ("ip rule 500 fwmark 0x1/0xffffffff lookup 100",)


def case_15_tunnel(host: Host) -> None:
    (packet,) = host.trace("r", "udp -> :5000", "c", "udp", "192.0.2.50", PORT, "0")
    assert (packet.detail, packet.mark) == ("vx0", 1)
    assert any("vx0 is a tunnel (vxlan)" in line for line in packet.evidence)


def case_17_rule_behind_main(host: Host) -> None:
    (routed,) = routings(host.udp())
    assert routed.rule == "ip rule 32766 lookup main"
    assert routed.behind == ("ip rule 40000 fwmark 0x1/0xffffffff lookup 100",)


def case_18_legacy_and_nft(host: Host) -> None:
    packet = host.udp()
    assert changes(packet)[1] == (0x10000, 0, "legacy mangle PREROUTING rule 1")
    policy_dropped(packet, 0)


def case_19_numbers(host: Host) -> None:
    """Whatever the number was meant to be: the mark that is set is shown, and who asks for it."""
    packet = host.udp()
    assert changes(packet)
    assert routings(packet)[0].passed_over


def case_23_accepted_socket(host: Host) -> None:
    words = ("tcp", "10.3.0.1", "8022", "0", "198.51.100.7")
    (answer,) = host.trace("r", "tcp -> 198.51.100.7 flags syn,ack", "b", *words)
    assert (answer.mark, answer.detail) == (0, "wa")
    assert routings(answer)[0].passed_over == ("ip rule 500 iif lo fwmark 0x1/0xff lookup 100",)


def case_25_bridged(host: Host) -> None:
    """Nothing is seen of what a bridge passes on, and that is said."""
    wish = Wish(parse_filter("udp"), seconds=1)
    with LiveNamespace(f"{host.prefix}s") as live, Follower(live, wish) as follower:
        host.probe("c", "udp", "10.6.0.2", PORT, "0")
        assert list(follower.packets()) == []
        (note,) = follower.totals().notes
    assert "passes through br0 meets no IP hook" in note


def case_27_early_accept(host: Host) -> None:
    packet = host.udp()
    accepted = packet.steps[-1]
    assert (accepted.chain, accepted.rule, accepted.outcome.value) == ("fw", 1, "accept")
    assert changes(packet) == []
    assert (packet.end, packet.detail) == (ObservedEnd.SENT, "wa")


def case_30_mark_refused(host: Host) -> None:
    """A process that may not mark its socket sends without a mark, from the first event on."""
    unmarked, marked = host.udp("r"), host.udp("r", "1")
    assert (unmarked.mark, unmarked.detail) == (0, "wa")
    assert routings(unmarked)[0].passed_over == ("ip rule 500 fwmark 0x1/0xffffffff lookup 100",)
    assert (marked.mark, marked.detail) == (1, "wb")
    assert routings(marked)[0].reads_mark


def case_32_every_mark_is_shown(host: Host) -> None:
    """Other tools show the last mark alone."""
    wish = Wish(parse_filter("icmp type 8"), count=1, seconds=4)
    with (
        LiveNamespace(f"{host.prefix}h") as live,
        Injection(live, parse_packet("icmp 127.0.0.1")) as ping,
        Follower(live, wish) as follower,
    ):
        assert not ping.send()
        (packet,) = follower.packets()
    assert [change[:2] for change in changes(packet)] == [(0, 0x10000), (0x10000, 5)]
    assert packet.end is ObservedEnd.DELIVERED


ALL: dict[str, Callable[[Host], None]] = {
    name: function for name, function in sorted(globals().items()) if name.startswith("case_")
}


@pytest.mark.parametrize("name", ALL)
def test_trace_shows_the_step_at_which_it_went_wrong(name: str) -> None:
    with standing(name.split("_")[1]) as host:
        ALL[name](host)
