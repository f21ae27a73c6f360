"""Targets that are lists of options: what becomes of a packet, and what the sets keep of it."""

import pytest

from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.names import Family, Hook, TableName
from netfw.ir.target import Tcpmss
from netfw.prove.chains import Chains
from netfw.prove.condition import Spot
from netfw.prove.interfaces import Interfaces
from netfw.prove.space import Space
from netfw.prove.summary import ChangedBy, Leave
from netfw.traverse.packet import Packet
from netfw.traverse.traversal import End, Outcome, Traversal
from netfw.traverse.walk import walk
from tests.unit.test_option_matches import FACTS, PACKET


def way(text: str, packet: Packet = PACKET) -> Traversal:
    return walk(parse_ruleset(text, Family.IPV4), packet, FACTS)


@pytest.mark.parametrize(
    "target",
    [
        "TOS --set-tos 0x10",
        "DSCP --set-dscp-class EF",
        "CLASSIFY --set-class 1:10",
        "CHECKSUM --checksum-fill",
        "AUDIT --type drop",
        "LED --led-trigger-id x",
        "IDLETIMER --timeout 5 --label x",
        "SET --add-set seen src --exist",
        "SECMARK --selctx system_u:object_r:x_t:s0",
        "CONNSECMARK --save",
        "TEE --gateway 10.9.9.9",
        "TTL --ttl-inc 1",
    ],
)
def test_behind_what_changes_nothing_that_is_followed_the_packet_goes_on(target: str) -> None:
    found = way(f"*mangle\n-A FORWARD -j {target}\n-A FORWARD -j MARK --set-mark 7\nCOMMIT\n")
    assert found.end is End.SENT
    assert [step.outcome for step in found.steps if step.rule] == [Outcome.CONTINUE] * 2
    assert found.mark == 7


@pytest.mark.parametrize(
    ("table", "chain", "target"),
    [
        ("filter", "FORWARD", "NFQUEUE --queue-num 3 --queue-bypass"),
        ("mangle", "PREROUTING", "TPROXY --on-port 3129 --tproxy-mark 1/1"),
        ("mangle", "FORWARD", "HMARK --hmark-mod 4 --hmark-rnd 5"),
        ("filter", "FORWARD", "SYNPROXY --sack-perm --mss 1460"),
        ("mangle", "FORWARD", "SET --map-set classes src --map-mark"),
        ("filter", "FORWARD", "NOBODY --knows this"),
    ],
)
def test_what_another_decides_is_not_decided_here(table: str, chain: str, target: str) -> None:
    found = way(f"*{table}\n-A {chain} -j {target}\nCOMMIT\n")
    assert found.end is End.UNDECIDED, found


@pytest.mark.parametrize(
    ("target", "end"),
    [
        ("--ttl-set 1", End.STOPPED),
        ("--ttl-set 2", End.SENT),
        ("--ttl-dec 63", End.STOPPED),
        ("--ttl-dec 62", End.SENT),
        ("--ttl-dec 255", End.STOPPED),
    ],
)
def test_a_time_to_live_that_runs_out_stops_the_packet_at_routing(target: str, end: End) -> None:
    assert way(f"*mangle\n-A PREROUTING -j TTL {target}\nCOMMIT\n").end is end
    assert way(f"*mangle\n-A FORWARD -j TTL {target}\nCOMMIT\n").end is End.SENT


def test_a_time_to_live_is_seen_as_it_was_set() -> None:
    text = (
        "*mangle\n-A PREROUTING -j TTL --ttl-set 200\n"
        "-A FORWARD -m ttl --ttl-eq 199 -j TTL --ttl-inc 100\n"
        "-A POSTROUTING -m ttl --ttl-eq 255 -j MARK --set-mark 9\nCOMMIT\n"
    )
    assert way(text).mark == 9


def test_sets_of_packets_keep_what_a_rule_changes_and_let_the_packet_go_on() -> None:
    text = "*filter\n-A FORWARD -p tcp -j TCPMSS --clamp-mss-to-pmtu\n-A FORWARD -j DROP\nCOMMIT\n"
    ruleset = parse_ruleset(text, Family.IPV4)
    space = Space(Family.IPV4, Interfaces(set()))
    table = ruleset.tables[0]
    spot = Spot.of(Hook.FORWARD, TableName.FILTER)
    summary = Chains(space, ruleset).summary(table, "FORWARD", spot)
    (dropped,) = summary.exits.values()
    assert dropped == space.true
    changed = summary.effects[ChangedBy(Tcpmss(clamps=True))]
    assert changed not in (space.true, space.false)


def test_sets_of_packets_leave_by_what_another_decides() -> None:
    text = "*filter\n-A FORWARD -j NFQUEUE --queue-num 3\n-A FORWARD -j DROP\nCOMMIT\n"
    ruleset = parse_ruleset(text, Family.IPV4)
    space = Space(Family.IPV4, Interfaces(set()))
    spot = Spot.of(Hook.FORWARD, TableName.FILTER)
    summary = Chains(space, ruleset).summary(ruleset.tables[0], "FORWARD", spot)
    assert summary.exits[Leave(ruleset.tables[0].chains[0].rules[0].target)] == space.true
