"""``netfw trace``: what it says of packets is what happened to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from netfw.errors import Where
from netfw.host.live_namespace import LiveNamespace
from netfw.host.run import run
from netfw.ir.names import Backend, Family, Hook
from netfw.ir.origin import Origin
from netfw.traverse.observed import ObservedEnd
from netfw.traverse.packet_filter import parse_filter
from netfw.traverse.traversal import Outcome
from netfw.verify.follow import Follower, Wish
from tests.kernel.following import (
    changes,
    follow,
    load,
    nft,
    routings,
    send,
    step_with,
    tables_of,
)
from tests.kernel.router import LEFT_OWN, RIGHT_HOST, RIGHT_OWN, Router, forwarded

pytestmark = pytest.mark.kernel

each = pytest.mark.parametrize("family", Family, ids=str)
on_each = pytest.mark.parametrize("backend", Backend, ids=str)
MARKS = """\
*raw
-A PREROUTING -p udp -j MARK --set-xmark 0x10000/0xf0000
COMMIT
*mangle
-A PREROUTING -p udp -m udp --dport 60 -j MARK --set-xmark 0x1/0xffffffff
-A PREROUTING -j CONNMARK --save-mark --nfmask 0xf0000 --ctmask 0xf0000
COMMIT
*filter
:FORWARD DROP [0:0]
-N own
-A FORWARD -j own
-A own -m mark --mark 0x10000/0x10000 -j ACCEPT
COMMIT
"""


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as made:
        yield made


def host(family: Family, port: int = 53):
    return replace(forwarded(family, port), destination=LEFT_OWN[family])


@pytest.mark.every_kernel
@each
@on_each
def test_forwarded_packet_is_followed_through_every_table(
    router: Router, backend: Backend, family: Family
) -> None:
    load(router, backend, family, MARKS)
    (packet,) = follow(router, [forwarded(family)], "udp dport 53")
    assert packet.end is ObservedEnd.SENT
    assert packet.detail == "right"
    assert changes(packet) == [(0, 0x10000, f"{backend} raw PREROUTING rule 1")]
    accepted = step_with(packet, "--mark 0x10000/0x10000")
    assert (accepted.chain, accepted.rule, accepted.outcome) == ("own", 1, Outcome.ACCEPT)
    jumped = step_with(packet, "-j own")
    assert (jumped.outcome, jumped.jump) == (Outcome.JUMP, "own")
    assert {step.backend for step in packet.steps} == {backend.value}
    assert not packet.unsure


@each
@on_each
def test_rule_that_wiped_the_mark_is_named_and_the_policy_that_dropped(
    router: Router, backend: Backend, family: Family
) -> None:
    load(router, backend, family, MARKS)
    (packet,) = follow(router, [forwarded(family, 60)])
    assert packet.end is ObservedEnd.DROPPED
    assert changes(packet)[1] == (0x10000, 1, f"{backend} mangle PREROUTING rule 1")
    last = packet.steps[-1]
    assert (last.table, last.chain, last.rule, last.outcome) == (
        "filter",
        "FORWARD",
        0,
        Outcome.DROP,
    )


@pytest.mark.every_kernel
@each
def test_legacy_and_nft_are_followed_at_once_in_the_order_that_happened(
    router: Router, family: Family
) -> None:
    """The legacy rule stands between two tables of nft, and at the same place as one of them."""
    load(router, Backend.NFT, family, MARKS)
    load(
        router,
        Backend.LEGACY,
        family,
        "*mangle\n-A PREROUTING -p udp -j MARK --set-xmark 0x0/0xffffffff\nCOMMIT\n",
    )
    (packet,) = follow(router, [forwarded(family)])
    assert packet.end is ObservedEnd.DROPPED
    assert changes(packet) == [
        (0, 0x10000, "nft raw PREROUTING rule 1"),
        (0x10000, 0, "legacy mangle PREROUTING rule 1"),
    ]


@pytest.mark.every_kernel
@each
def test_native_rules_of_nftables_are_followed(router: Router, family: Family) -> None:
    nft(
        router,
        """
        table inet mine {
          chain early { type filter hook prerouting priority -180; policy accept;
            meta l4proto udp meta mark set mark or 0x4 counter comment "ours"
            meta l4proto udp jump deep
          }
          chain deep {
            udp dport 61 reject
          }
        }
        """,
    )
    sent, refused = follow(router, [forwarded(family), forwarded(family, 61)])
    assert changes(sent) == [(0, 4, "nft inet mine early rule 1")]
    assert sent.end is ObservedEnd.SENT
    assert sent.steps[0].hook is Hook.PREROUTING
    assert refused.end is ObservedEnd.REJECTED
    assert refused.steps[-1].chain == "deep"
    assert refused.steps[-1].text.startswith("udp dport 61 reject")


@each
@on_each
def test_packet_to_this_host_and_packet_of_this_host(
    router: Router, backend: Backend, family: Family
) -> None:
    load(router, backend, family, MARKS + "*filter\n-A OUTPUT -p udp --dport 77 -j DROP\nCOMMIT\n")
    away = replace(forwarded(family), in_interface="", source=RIGHT_OWN[family], mark=0x33)
    blocked = replace(away, destination_port=77)
    came, left, dropped = follow(router, [host(family), away, blocked])
    assert came.end is ObservedEnd.DELIVERED
    assert changes(left) == [(0, 0x33, "")]
    assert left.end is ObservedEnd.SENT
    assert dropped.end is ObservedEnd.DROPPED
    assert "--dport 77" in dropped.steps[-1].text
    assert "SO_MARK" in dropped.entries[0].writers[0]  # type: ignore[union-attr]


@each
def test_routing_rule_that_read_the_mark_is_named(router: Router, family: Family) -> None:
    load(
        router,
        Backend.NFT,
        family,
        "*mangle\n-A PREROUTING -p udp --dport 60 -j MARK --set-xmark 0x7/0xff\nCOMMIT\n",
    )
    version = f"-{family.value}"
    rule = "pref 500 fwmark 0x7/0xff lookup 77"
    run(["ip", version, "rule", "add", *rule.split()], namespace=router.box)
    run(
        ["ip", version, "route", "add", "default", "dev", "left", "table", "77"],
        namespace=router.box,
    )
    steered, plain = follow(router, [forwarded(family, 60), forwarded(family, 61)])
    (routed,) = routings(steered)
    assert routed.rule == "ip rule 500 fwmark 0x7/0xff lookup 77"
    assert routed.reads_mark
    assert routed.decision == "out by left"
    assert routed.kernel == "out by left"
    (other,) = routings(plain)
    assert not other.reads_mark
    assert other.passed_over == ("ip rule 500 fwmark 0x7/0xff lookup 77",)
    assert other.decision == "out by right"


def test_rp_filter_is_named_with_its_counter(router: Router) -> None:
    run(["sysctl", "-qw", "net.ipv4.conf.left.rp_filter=1"], namespace=router.box)
    strange = replace(forwarded(Family.IPV4), source=RIGHT_HOST[Family.IPV4] + 5)
    (packet,) = follow(router, [strange])
    assert packet.end is ObservedEnd.VANISHED
    assert packet.detail.startswith("rp_filter: the way back to 10.2.0.7 is right")
    assert any("IPReversePathFilter went up by 1" in line for line in packet.evidence)


@each
def test_ttl_and_missing_route_are_named(router: Router, family: Family) -> None:
    old = replace(forwarded(family), ttl=1)
    far = 0xC6336407 if family is Family.IPV4 else 0x20010DB8 << 96 | 7
    lost = replace(forwarded(family), destination=far)
    first, second = follow(router, [old, lost])
    assert first.end is ObservedEnd.VANISHED
    assert "of 1 ran out here" in first.detail
    assert second.detail.startswith("no route to ")


@each
def test_filter_means_some_packets_and_no_others(router: Router, family: Family) -> None:
    packets = [forwarded(family, port) for port in (53, 60, 61)]
    (packet,) = follow(router, packets, "udp dport 60 in left", seconds=0.6)
    assert packet.packet is not None
    assert packet.packet.destination_port == 60
    assert follow(router, packets, "udp dport 60 in right", seconds=0.3) == []


@each
def test_only_dropped_ones_and_only_those_with_a_mark(router: Router, family: Family) -> None:
    load(router, Backend.NFT, family, MARKS)
    packets = [forwarded(family, 53), forwarded(family, 60)]
    (dropped,) = follow(router, packets, dropped=True, seconds=0.8)
    assert dropped.packet is not None
    assert dropped.packet.destination_port == 60
    from netfw.traverse.packet_filter import parse_mark

    (marked,) = follow(router, packets, mark=parse_mark("0x1/0xffff"), seconds=0.8)
    assert marked.packet is not None
    assert marked.packet.destination_port == 60


def test_origin_in_the_policy_is_told(router: Router) -> None:
    text = "*filter\n-A FORWARD -p udp -m comment --comment netfw:public/web -j DROP\nCOMMIT\n"
    load(router, Backend.NFT, Family.IPV4, text)
    origin = Origin(Where("policy.yaml", 12), "public/web")
    (packet,) = follow(
        router,
        [forwarded(Family.IPV4)],
        origin_of=lambda comment: origin if comment == "netfw:public/web" else None,
    )
    assert str(packet.steps[-1].origin) == "policy.yaml:12 public/web"


@each
def test_packet_over_lo_is_one_packet(router: Router, family: Family) -> None:
    load(
        router, Backend.NFT, family, "*mangle\n-A PREROUTING -j MARK --set-xmark 0x9/0xf\nCOMMIT\n"
    )
    own = replace(
        forwarded(family), in_interface="", source=LEFT_OWN[family], destination=LEFT_OWN[family]
    )
    (packet,) = follow(router, [own])
    assert packet.end is ObservedEnd.DELIVERED
    assert [step.hook for step in packet.steps][-1] is Hook.PREROUTING
    assert changes(packet) == [(0, 9, "nft mangle PREROUTING rule 1")]


@on_each
def test_nothing_is_left_behind(router: Router, backend: Backend) -> None:
    load(router, backend, Family.IPV4, MARKS)
    before = tables_of(router), loggers(router)
    follow(router, [forwarded(Family.IPV4)])
    assert (tables_of(router), loggers(router)) == before


def loggers(router: Router) -> str:
    names = [f"net.netfilter.nf_log.{number}" for number in (2, 10)]
    return run(["sysctl", "-n", *names], namespace=router.box).stdout


@each
@on_each
def test_model_agrees_with_what_is_seen(router: Router, backend: Backend, family: Family) -> None:
    load(router, backend, family, MARKS)
    packets = follow(router, [forwarded(family), forwarded(family, 60), host(family)])
    assert [packet.prediction for packet in packets] == ["as seen"] * 3
    assert not any(packet.surprises for packet in packets)


def test_rule_that_changed_behind_the_models_back_is_a_surprise(router: Router) -> None:
    """The rules are read before the trace begins; then one that nobody read drops the packet."""
    load(router, Backend.NFT, Family.IPV4, MARKS)
    wish = Wish(parse_filter("udp"), count=1, seconds=3)
    with LiveNamespace(router.box.path) as live, Follower(live, wish) as follower:
        load(router, Backend.NFT, Family.IPV4, "*filter\n-I FORWARD -j DROP\nCOMMIT\n")
        send(router, forwarded(Family.IPV4))
        (packet,) = follower.packets()
    assert packet.end is ObservedEnd.DROPPED
    assert (packet.steps[-1].rule, packet.steps[-1].text) == (-1, "drop")
    assert packet.steps[-1].place == "nft filter FORWARD new rule"
    assert packet.surprises == ("the model goes on to filter FORWARD rule 1, the host did not",)


@each
def test_mark_of_the_connection_is_told(router: Router, family: Family) -> None:
    load(router, Backend.NFT, family, MARKS)
    first, second = follow(router, [forwarded(family), forwarded(family)])
    assert first.connection.startswith("mark 0x10000 ")
    assert second.connection.startswith("mark 0x10000 ")
