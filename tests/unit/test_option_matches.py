"""Matches that are lists of options: what the walk and the sets of packets say of them."""

import pytest

from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.names import Family, Hook, TableName
from netfw.ir.net import Net, parse_address
from netfw.ir.protocols import ICMP, SCTP, UDP
from netfw.prove.condition import Conditions, Spot
from netfw.prove.interfaces import Interfaces
from netfw.prove.members import Members
from netfw.prove.space import Space
from netfw.traverse.host_facts import HostFacts, InterfaceAddress, Route
from netfw.traverse.packet import Packet
from netfw.traverse.traversal import End
from netfw.traverse.walk import walk


def a(text: str) -> int:
    return parse_address(text)[1]


FACTS = HostFacts(
    addresses={
        "lan": (InterfaceAddress(Family.IPV4, a("10.1.0.1"), 24),),
        "wan": (InterfaceAddress(Family.IPV4, a("10.2.0.1"), 24),),
    },
    routes=(Route(Net.parse("0.0.0.0/0"), "wan", a("10.2.0.2")),),
)
PACKET = Packet(Family.IPV4, a("10.1.0.5"), a("203.0.113.9"), UDP, 40000, 53, in_interface="lan")
PING = Packet(
    Family.IPV4, a("10.1.0.5"), a("203.0.113.9"), ICMP, icmp_type=8, icmp_id=7, in_interface="lan"
)
CHUNK = Packet(Family.IPV4, a("10.1.0.5"), a("203.0.113.9"), SCTP, 40000, 53, in_interface="lan")


def end_of(rule: str, packet: Packet = PACKET, table: str = "filter") -> End:
    chain = "FORWARD" if table == "filter" else "PREROUTING"
    text = f"*{table}\n-A {chain} {rule} -j DROP\nCOMMIT\n"
    return walk(parse_ruleset(text, Family.IPV4), packet, FACTS).end


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("-m iprange --src-range 10.1.0.5-10.1.0.5", True),
        ("-m iprange --src-range 10.1.0.6-10.1.0.255", False),
        ("-m iprange ! --src-range 10.1.0.6-10.1.0.255", True),
        ("-m iprange --src-range 10.1.0.1-10.1.0.9 --dst-range 203.0.113.1-203.0.113.9", True),
        ("-m iprange --src-range 10.1.0.1-10.1.0.9 ! --dst-range 203.0.113.1-203.0.113.9", False),
        ("-m conntrack --ctorigsrc 10.1.0.0/24", True),
        ("-m conntrack --ctorigdst 10.1.0.0/24", False),
        ("-m conntrack ! --ctorigdst 10.1.0.0/24", True),
        ("-m conntrack --ctstate NEW --ctorigdst 203.0.113.8", False),
        ("-m conntrack ! --ctstate NEW --ctorigdst 203.0.113.9", False),
        ("-m conntrack --ctreplsrc 203.0.113.9 --ctrepldst 10.1.0.5", True),
        ("-m conntrack --ctproto 17", True),
        ("-m conntrack ! --ctproto udp", False),
        ("-m conntrack --ctorigdstport 53", True),
        ("-m conntrack --ctorigdstport 54:60", False),
        # the packet comes with 64, and routing takes one off before FORWARD
        ("-m ttl --ttl-eq 63", True),
        ("-m ttl ! --ttl-eq 63", False),
        ("-m ttl --ttl-lt 64", True),
        ("-m ttl --ttl-lt 63", False),
        ("-m ttl --ttl-gt 62", True),
        ("-m ttl --ttl-gt 63", False),
        ("-m conntrack --ctreplsrcport 53 --ctrepldstport 40000", True),
    ],
)
def test_the_walk_decides_what_it_knows(rule: str, holds: bool) -> None:
    assert end_of(rule) is (End.DROPPED if holds else End.SENT)


@pytest.mark.parametrize(
    "rule",
    [
        "-m conntrack --ctstate NEW --ctstatus ASSURED",
        "-m conntrack --ctorigsrc 10.1.0.5 --ctexpire 1:9",
        "-m length --length 0:65535",
        "-m tos --tos 0x10",
        "-m string --string x --algo bm",
        "-m hashlimit --hashlimit-upto 1/sec --hashlimit-name one",
        "-m time --timestart 01:00:00",
        "-m nfacct --nfacct-name counted",
        "-m u32 --u32 0x0=0x0",
        "-m mac --mac-source 02:00:00:00:00:01",
        "-m rpfilter --invert",
        "-m pkttype --pkt-type broadcast",
    ],
)
def test_what_the_walk_cannot_know_it_does_not_decide(rule: str) -> None:
    assert end_of(rule) is End.UNDECIDED


def test_a_condition_that_does_not_hold_decides_beside_one_that_is_not_known() -> None:
    assert end_of("-m conntrack --ctorigsrc 10.9.0.0/16 --ctexpire 1:9") is End.SENT
    assert end_of("-m length --length 5 -m iprange --src-range 1.1.1.1-1.1.1.2") is End.SENT


def test_the_ports_of_a_ping_are_not_guessed() -> None:
    assert end_of("-m conntrack --ctorigdstport 8", PING) is End.UNDECIDED
    assert end_of("-m conntrack --ctproto 1 --ctorigsrc 10.1.0.5", PING) is End.DROPPED


def test_without_a_connection_the_kernel_looks_no_further_than_the_states() -> None:
    rule = "-m conntrack --ctstate INVALID --ctorigsrc 9.9.9.9"
    assert end_of(rule, table="raw") is End.DROPPED
    assert end_of("-m conntrack --ctorigsrc 10.1.0.5", table="raw") is End.SENT


@pytest.mark.parametrize(
    ("rule", "end"),
    [
        ("-p sctp -m sctp --dport 53", End.DROPPED),
        ("-p sctp -m sctp ! --dport 50:60", End.SENT),
        ("-p sctp -m sctp --sport 1 --chunk-types any INIT", End.SENT),
        ("-p sctp -m sctp --dport 53 --chunk-types any INIT", End.UNDECIDED),
        ("-p 33 -m dccp --dport 53", End.SENT),
    ],
)
def test_ports_of_sctp_and_dccp_are_those_of_the_packet(rule: str, end: End) -> None:
    assert end_of(rule, CHUNK) is end


def met_by(*rules: str) -> tuple[bool, bool]:
    """Whether some packet, and whether every packet, meets one of the rules in INPUT."""
    text = "*filter\n" + "".join(f"-A INPUT {rule} -j DROP\n" for rule in rules) + "COMMIT\n"
    space = Space(Family.IPV4, Interfaces(set()))
    ruleset = parse_ruleset(text, Family.IPV4)
    conditions = Conditions(space, Members(space, ruleset))
    spot = Spot.of(Hook.INPUT, TableName.FILTER)
    found = space.any_of(conditions.of_rule(rule, spot) for rule in ruleset.rules())
    return found != space.false, found == space.true


EVERYTHING = (True, True)
SOMETHING = (True, False)


@pytest.mark.parametrize(
    ("rules", "met"),
    [
        (
            (
                "-m iprange --src-range 0.0.0.0-99.0.0.0",
                "-m iprange --src-range 99.0.0.1-255.255.255.255",
            ),
            EVERYTHING,
        ),
        (
            (
                "-m iprange --src-range 0.0.0.0-98.0.0.0",
                "-m iprange --src-range 99.0.0.1-255.255.255.255",
            ),
            SOMETHING,
        ),
        (("-m length --length 1:9", "-m length ! --length 1:9"), EVERYTHING),
        # a packet may have no hardware address, and then neither holds
        (
            (
                "-m mac --mac-source 02:00:00:00:00:01",
                "-m mac ! --mac-source 02:00:00:00:00:01",
            ),
            SOMETHING,
        ),
        # the ! belongs to the states alone
        (
            (
                "-m conntrack --ctstate NEW --ctorigdst 10.0.0.1",
                "-m conntrack ! --ctstate NEW --ctorigdst 10.0.0.1",
            ),
            SOMETHING,
        ),
        (
            (
                "-m statistic --mode random --probability 0.5",
                "-m statistic --mode random ! --probability 0.5",
            ),
            SOMETHING,
        ),
    ],
)
def test_sets_of_packets_join_only_what_belongs_together(
    rules: tuple[str, ...], met: tuple[bool, bool]
) -> None:
    assert met_by(*rules) == met
