"""Look-ups in sets whose outcome is easy to get wrong; the kernel is asked about random ones."""

from dataclasses import replace

import pytest

from netfw.facts.ipset_save import parse_sets
from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.names import Family
from netfw.traverse.completion import complete_alone, facts_said
from netfw.traverse.notation import parse_packet
from netfw.traverse.set_lookup import known_sets
from netfw.traverse.traversal import End
from netfw.traverse.walk import Walker

SETS = """\
create ip hash:ip family inet netmask 24
add ip 192.0.2.0
create net hash:net family inet
add net 10.0.0.0/8
add net 10.1.0.0/16 nomatch
add net 10.1.2.0/24
create links hash:net,iface family inet
add links 10.0.0.0/8,eth0
add links 10.1.0.0/16,eth1
add links 10.9.0.0/16,eth wildcard
create services hash:ip,port family inet
add services 203.0.113.1,tcp:443
add services 203.0.113.1,icmp:echo-request
create ports bitmap:port range 1-1000
add ports 443
create macs hash:ip,mac family inet
add macs 10.0.0.1,00:11:22:33:44:55
create six hash:net family inet6
add six ::/1
create all list:set size 8
add all net
add all ports
"""
HERE = "-> 203.0.113.1:443 in eth0"


def ends(asked: str, packet: str = f"tcp 10.0.0.1:999 {HERE}", before: str = "") -> End:
    """What becomes of a packet that is dropped where the match holds."""
    text = f"*filter\n:INPUT ACCEPT [0:0]\n{before}-A INPUT {asked} -j DROP\nCOMMIT\n"
    sketch = complete_alone(parse_packet(packet))
    facts = replace(facts_said(sketch), sets=known_sets(parse_sets(SETS, "sets").values()))
    walker = Walker(parse_ruleset(text, Family.IPV4, "rules"), facts)
    return walker.walk(sketch.packet).end


@pytest.mark.parametrize(
    ("asked", "source", "is_in"),
    [
        ("ip src", "192.0.2.77", True),
        ("ip src", "192.0.3.77", False),
        ("net src", "10.9.9.9", True),
        ("net src", "10.1.9.9", False),
        ("net src", "10.1.2.9", True),
        ("net src --return-nomatch", "10.1.9.9", True),
        ("net src --return-nomatch", "10.1.2.9", False),
        ("all src", "10.9.9.9", True),
        ("all src", "10.1.9.9", False),
        ("all dst", "192.0.2.77", True),
        ("links src,src", "10.0.0.1", True),
        # the longer net is there, for another interface: the shorter one is not asked any more
        ("links src,src", "10.1.0.1", False),
        ("links src,src", "10.9.0.1", True),
        # this packet leaves by no interface
        ("links src,dst", "10.0.0.1", False),
        ("services dst,dst", "192.0.2.77", True),
        ("services dst,src", "192.0.2.77", False),
        # fewer sides than a member has parts
        ("services dst", "192.0.2.77", False),
        ("ports dst", "192.0.2.77", True),
        ("six src", "192.0.2.77", False),
        ("macs src,src", "10.0.0.2", False),
    ],
)
def test_a_packet_is_in_a_set_where_the_kernel_finds_it(
    asked: str, source: str, is_in: bool
) -> None:
    packet = f"tcp {source}:999 {HERE}"
    assert ends(f"-m set --match-set {asked}", packet) is (End.DROPPED if is_in else End.DELIVERED)
    assert ends(f"-m set ! --match-set {asked}", packet) is (
        End.DELIVERED if is_in else End.DROPPED
    )


def test_a_ping_is_looked_up_by_type_and_code() -> None:
    packet = "icmp 192.0.2.7 -> 203.0.113.1 in eth0"
    assert ends("-m set --match-set services dst,dst", packet) is End.DROPPED
    assert ends("-m set --match-set ports dst", packet) is End.DELIVERED


@pytest.mark.parametrize(
    "asked",
    [
        "-m set --match-set macs src,src",
        "-m set --match-set nowhere src",
        "-m set --match-set net src --packets-gt 3",
    ],
)
def test_what_nobody_knows_is_left_open(asked: str) -> None:
    assert ends(asked) is End.UNDECIDED


def test_a_set_that_the_packet_has_changed_is_not_trusted_any_more() -> None:
    before = "-A INPUT -j SET --add-set net dst\n"
    assert ends("-m set --match-set net src", before=before) is End.UNDECIDED
    assert ends("-m set --match-set all src", before=before) is End.UNDECIDED
    assert ends("-m set --match-set services dst,dst", before=before) is End.DROPPED


def test_counters_that_are_not_updated_change_nothing() -> None:
    assert ends("-m set --match-set net src ! --update-counters") is End.DROPPED
