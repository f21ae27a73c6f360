"""Rules that are read line by line mean what they mean when they are read in full."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netfw.errors import FactError
from netfw.facts.iptables_save import parse_ruleset
from netfw.facts.saved_rules import SavedRules, index_rules
from netfw.ir.names import Family, TableName
from netfw.render.restore import render_ruleset
from netfw.traverse.connection import Conntrack
from netfw.traverse.host_facts import HostFacts, InterfaceAddress, Route
from netfw.traverse.notation import parse_packet
from netfw.traverse.saved_walk import SavedWalker, saved_needs_conntrack
from netfw.traverse.walk import Walker, needs_conntrack
from tests.fuzz.arena import facts_of
from tests.fuzz.generate import packets, rulesets

MINE = InterfaceAddress(Family.IPV4, 0xCB007101, 24)
FACTS = HostFacts({"eth0": (MINE,)}, (Route(MINE.net.everything(Family.IPV4), "eth1"),))


def indexed(text: str, family: Family = Family.IPV4) -> SavedRules:
    found = index_rules(text, family, "saved.txt")
    assert found is not None
    return found


def in_table(*rules: str) -> str:
    return "\n".join(
        ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", *rules, "COMMIT", ""]
    )


CONDITIONS = (
    "-s 198.51.100.0/24",
    "-s 198.51.100.7/32",
    "! -s 198.51.100.7/32",
    "-d 203.0.113.1",
    "! -d 203.0.113.0/24",
    "-i eth0",
    "-i eth+",
    "-i +",
    "! -i eth0",
    "-i wg0",
    "-p tcp",
    "-p udp",
    "-p 6",
    "-p all",
    "! -p tcp",
    "-p tcp -m tcp --dport 443",
    "-p tcp -m tcp --sport 40000 --dport 400:500",
    "-p tcp -m tcp ! --dport 443",
    "-p tcp -m tcp --dport 80",
    "-p tcp -m multiport --dports 80,443",
    "-p tcp -m multiport --dports 80,81:90",
    "-p tcp -m multiport --sports 443",
    "-p udp -m udp --dport :1000",
    "-p tcp -m tcp --dport 1000:",
    '-m comment --comment "-p udp -m udp --dport 80 "',
    '-p tcp -m comment --comment "x -m tcp --dport 80 y"',
    "-m conntrack --ctstate NEW",
    "-m conntrack --ctstate ESTABLISHED",
    "-m mark --mark 0x1",
    "-m mark --mark 0x0/0xf0",
    "-m mark ! --mark 0x0",
    '-m comment --comment "a mark" -m mark --mark 0x1/0x1',
    '-m comment --comment "with \\" -m mark --mark 0x1 " -m mark --mark 0x0',
    "! -s 198.51.100.0/24 ! -d 203.0.113.1 ! -p udp",
    "! -i wg0 ! -p tcp -m comment --comment word",
    "-m unknown-to-netfw --dport 80",
)
PACKETS = tuple(
    parse_packet(line).packet
    for line in (
        "tcp 198.51.100.7:40000 -> 203.0.113.1:443 in eth0",
        "tcp 198.51.100.8:40000 -> 203.0.113.1:80 in eth0",
        "udp 192.0.2.1:40000 -> 203.0.113.1:80 in wg0",
        "udp 198.51.100.7:443 -> 192.0.2.99:443 in eth0",
        "icmp 198.51.100.7 -> 203.0.113.1 in eth0",
        "203.0.113.1 -> 198.51.100.7:80 out eth1",
    )
)


def test_every_plain_condition_is_decided_as_by_reading_it() -> None:
    for condition in CONDITIONS:
        words = condition.removeprefix("-p tcp ") if condition.startswith("-p tcp -m") else ""
        for rule in (condition, f"{condition} -m ttl --ttl-gt 3", f"-d 203.0.113.1/32 {words}"):
            text = in_table(f"-A INPUT {rule} -j DROP", f"-A FORWARD {rule} -j DROP")
            full, saved = parse_ruleset(text, Family.IPV4), indexed(text)
            for packet in PACKETS:
                expected = Walker(full, FACTS, Conntrack()).walk(packet)
                assert SavedWalker(saved, FACTS, Conntrack()).walk(packet) == expected, rule


@pytest.mark.parametrize("family", Family, ids=str)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_random_rules_take_random_packets_the_same_way(
    family: Family, data: st.DataObject
) -> None:
    text = render_ruleset(data.draw(rulesets(family, data.draw(st.booleans()))))
    facts = facts_of(family)
    full, saved = parse_ruleset(text, family), index_rules(text, family, "saved.txt")
    assert saved is not None
    assert saved_needs_conntrack(saved) == needs_conntrack(full)
    one, other = Walker(full, facts, Conntrack()), SavedWalker(saved, facts, Conntrack())
    assert one._writes_connmarks == other._writes_connmarks
    for packet in data.draw(st.lists(packets(family), min_size=1, max_size=8)):
        assert one.walk(packet) == other.walk(packet)
    for table in full.tables:
        for chain in table.chains:
            for number, rule in enumerate(chain.rules, start=1):
                found = saved.find_chain(table.name, chain.name)
                assert found is not None
                assert found.rule(number) == rule


def test_rules_keep_their_lines_and_counters() -> None:
    text = "*filter\n:INPUT ACCEPT [5:6]\n# a line\n[7:8] -A INPUT -p tcp -j DROP\nCOMMIT\n"
    chain = indexed(text).find_chain(TableName.FILTER, "INPUT")
    assert chain is not None
    rule = chain.rule(1)
    assert (str(rule.origin), rule.packets, rule.octets) == ("saved.txt:4", 7, 8)


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -s 192.0.2.1,192.0.2.2 -j DROP",
        "-A INPUT --source 192.0.2.1,192.0.2.2 -j DROP",
        "-A INPUT -d192.0.2.1,192.0.2.2 -j DROP",
        "-A INPUT -6 -j DROP",
        "-A INPUT -s 2001:db8::1 -j DROP",
        "-I INPUT -j DROP",
        "-A  INPUT -j DROP",
        " -A INPUT -j DROP",
    ],
)
def test_lines_that_are_not_one_rule_are_left_to_the_full_reader(rule: str) -> None:
    assert index_rules(in_table(rule), Family.IPV4, "saved.txt") is None


@pytest.mark.parametrize(
    "rule",
    [
        "-A NOWHERE -j DROP",
        '-A INPUT -m comment --comment "open -j DROP',
        "-A INPUT -g nowhere",
        "-A INPUT -p tcp -j nowhere",
        "-A INPUT -j FORWARD",
        ":user DROP [0:0]",
    ],
)
def test_where_a_line_shows_that_something_is_wrong_the_full_reader_says_what(rule: str) -> None:
    assert index_rules(in_table("-A INPUT -j ACCEPT", rule), Family.IPV4, "saved.txt") is None


def test_what_is_wrong_in_a_rule_is_told_when_a_packet_comes_to_it() -> None:
    text = in_table("-A INPUT -p udp --dport 99999 -j DROP", "-A INPUT -p -j DROP")
    walker = SavedWalker(indexed(text), FACTS, Conntrack())
    with pytest.raises(FactError, match="not understood: '-p' lacks its value") as raised:
        walker.walk(PACKETS[0])
    assert raised.value.faults[0].place == "saved.txt:5"
