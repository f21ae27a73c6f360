"""Rules as data and as text: what iptables-save prints, read back as it was."""

import pytest

from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.mark import MaskedWord
from netfw.ir.match import (
    AddressMatch,
    AddrtypeMatch,
    CommentMatch,
    ConnectionState,
    ConnmarkMatch,
    ConntrackMatch,
    FragmentMatch,
    IcmpMatch,
    InterfaceMatch,
    LimitMatch,
    MarkMatch,
    MultiportMatch,
    PortRange,
    Ports,
    PortSide,
    ProtocolMatch,
    SetMatch,
    Side,
    StateMatch,
    TcpFlags,
    TcpMatch,
    TtlMatch,
    UdpMatch,
    UnknownMatch,
    Way,
)
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.ruleset import Rule
from netfw.ir.target import (
    Accept,
    Ct,
    Dnat,
    Drop,
    Goto,
    Jump,
    Log,
    Masquerade,
    NatRange,
    Nflog,
    NoTarget,
    Redirect,
    Reject,
    RestoreMark,
    Return,
    SaveMark,
    SetConnmark,
    SetMark,
    Snat,
    Trace,
    Ttl,
    UnknownTarget,
)
from netfw.render.rule import render_rule

V4, V6 = Family.IPV4, Family.IPV6
TCP, UDP, ICMP, ICMPV6 = (ProtocolMatch(number) for number in (6, 17, 1, 58))
SSH = Ports(PortRange(22, 22))
NEW, ESTABLISHED, DNAT = ConnectionState.NEW, ConnectionState.ESTABLISHED, ConnectionState.DNAT
MARK = MaskedWord(0x10000, 0xF0000)


def source(text: str, *, negate: bool = False) -> AddressMatch:
    return AddressMatch(Side.SOURCE, Net.parse(text), negate)


def parse_one(text: str, family: Family = V4) -> Rule:
    """The rule of a filter table that has the user chains A and B."""
    saved = f"*filter\n:INPUT ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n-A INPUT {text}\nCOMMIT\n"
    table = parse_ruleset(saved, family).tables[0]
    return table.chain("INPUT").rules[0]


CASES = [
    (V4, (source("10.0.0.1"),), Accept(), "-s 10.0.0.1/32 -j ACCEPT"),
    (V4, (source("10.0.0.0/255.0.255.0"),), Drop(), "-s 10.0.0.0/255.0.255.0 -j DROP"),
    (V6, (source("2001:db8::/32", negate=True),), Drop(), "! -s 2001:db8::/32 -j DROP"),
    (V6, (AddressMatch(Side.DESTINATION, Net.parse("::1")),), Drop(), "-d ::1/128 -j DROP"),
    (V4, (InterfaceMatch(Way.IN, "veth+"),), Return(), "-i veth+ -j RETURN"),
    (V4, (InterfaceMatch(Way.OUT, "eth0", negate=True),), Trace(), "! -o eth0 -j TRACE"),
    (V4, (ProtocolMatch(47),), Accept(), "-p 47 -j ACCEPT"),
    (V4, (ProtocolMatch(6, negate=True),), Jump("A"), "! -p tcp -j A"),
    (V4, (FragmentMatch(),), Goto("B"), "-f -g B"),
    (V4, (FragmentMatch(negate=True),), NoTarget(), "! -f"),
    (V4, (TCP, TcpMatch(destination=SSH)), Accept(), "-p tcp -m tcp --dport 22 -j ACCEPT"),
    (
        V4,
        (TCP, TcpMatch(Ports(PortRange(1024, 65535), negate=True), SSH)),
        Accept(),
        "-p tcp -m tcp ! --sport 1024:65535 --dport 22 -j ACCEPT",
    ),
    (
        V4,
        (TCP, TcpMatch(flags=TcpFlags(0x17, 0x02))),
        Accept(),
        "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT",
    ),
    (
        V4,
        (TCP, TcpMatch(flags=TcpFlags(0x3F, 0, negate=True), option=5)),
        Accept(),
        "-p tcp -m tcp --tcp-option 5 ! --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE -j ACCEPT",
    ),
    (V4, (UDP, UdpMatch(destination=SSH)), Accept(), "-p udp -m udp --dport 22 -j ACCEPT"),
    (V4, (ICMP, IcmpMatch("icmp", 8)), Accept(), "-p icmp -m icmp --icmp-type 8 -j ACCEPT"),
    (
        V4,
        (ICMP, IcmpMatch("icmp", 3, (4, 4))),
        Accept(),
        "-p icmp -m icmp --icmp-type 3/4 -j ACCEPT",
    ),
    (
        V6,
        (ICMPV6, IcmpMatch("icmp6", 135, negate=True)),
        Drop(),
        "-p ipv6-icmp -m icmp6 ! --icmpv6-type 135 -j DROP",
    ),
    (
        V4,
        (TCP, MultiportMatch(PortSide.DESTINATION, (PortRange(80, 80), PortRange(1000, 2000)))),
        Accept(),
        "-p tcp -m multiport --dports 80,1000:2000 -j ACCEPT",
    ),
    (
        V4,
        (ConntrackMatch(frozenset({NEW, ESTABLISHED})),),
        Accept(),
        "-m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT",
    ),
    (
        V4,
        (ConntrackMatch(frozenset({DNAT}), negate=True, direction="REPLY"),),
        Accept(),
        "-m conntrack ! --ctstate DNAT --ctdir REPLY -j ACCEPT",
    ),
    (V4, (StateMatch(frozenset({NEW})),), Accept(), "-m state --state NEW -j ACCEPT"),
    (V4, (MarkMatch(MARK),), Accept(), "-m mark --mark 0x10000/0xf0000 -j ACCEPT"),
    (V4, (MarkMatch(MaskedWord(5, 2**32 - 1)),), Accept(), "-m mark --mark 0x5 -j ACCEPT"),
    (
        V4,
        (ConnmarkMatch(MARK, negate=True),),
        Accept(),
        "-m connmark ! --mark 0x10000/0xf0000 -j ACCEPT",
    ),
    (
        V4,
        (SetMatch("office", ("src", "dst"), negate=True),),
        Accept(),
        "-m set ! --match-set office src,dst -j ACCEPT",
    ),
    (
        V4,
        (AddrtypeMatch(destination=frozenset({"LOCAL"}), limit_interface="in"),),
        Accept(),
        "-m addrtype --dst-type LOCAL --limit-iface-in -j ACCEPT",
    ),
    (V4, (LimitMatch(5, "min"),), Log("x: "), '-m limit --limit 5/min -j LOG --log-prefix "x: "'),
    (V4, (LimitMatch(1, "sec", 9),), Drop(), "-m limit --limit 1/sec --limit-burst 9 -j DROP"),
    (V4, (CommentMatch("plain"),), Drop(), "-m comment --comment plain -j DROP"),
    (V4, (CommentMatch('a "b" \\c'),), Drop(), '-m comment --comment "a \\"b\\" \\\\c" -j DROP'),
    (V4, (CommentMatch("-j ACCEPT"),), Drop(), '-m comment --comment "-j ACCEPT" -j DROP'),
    (
        V4,
        (TtlMatch(equal=1),),
        Ttl(to=64),
        "-m ttl --ttl-eq 1 -j TTL --ttl-set 64",
    ),
    (V4, (TCP,), Reject("tcp-reset"), "-p tcp -j REJECT --reject-with tcp-reset"),
    (V4, (), SetMark(MARK), "-j MARK --set-xmark 0x10000/0xf0000"),
    (V4, (), SetConnmark(MARK), "-j CONNMARK --set-xmark 0x10000/0xf0000"),
    (V4, (), SaveMark(0xF0, 0xF00), "-j CONNMARK --save-mark --nfmask 0xf0 --ctmask 0xf00"),
    (V4, (), RestoreMark(0xF0, 0xF00), "-j CONNMARK --restore-mark --nfmask 0xf0 --ctmask 0xf00"),
    (V4, (), Ct(notrack=True), "-j CT --notrack"),
    (V4, (), Ct(notrack=True, alias=True), "-j NOTRACK"),
    (V4, (), Ct(words=("--zone", "1")), "-j CT --zone 1"),
    (V4, (), Log(level=6, flags=("--log-uid",)), "-j LOG --log-level 6 --log-uid"),
    (V4, (), Nflog(3, "hi there"), '-j NFLOG --nflog-prefix "hi there" --nflog-group 3'),
    (
        V4,
        (TCP,),
        Snat(NatRange((0x0A000001, 0x0A000009), (1, 9), ("--random",))),
        "-p tcp -j SNAT --to-source 10.0.0.1-10.0.0.9:1-9 --random",
    ),
    (V4, (), Dnat(NatRange((0x0A000001,) * 2)), "-j DNAT --to-destination 10.0.0.1"),
    (V6, (TCP,), Dnat(NatRange((1, 1), (443, 443))), "-p tcp -j DNAT --to-destination [::1]:443"),
    (V4, (), Masquerade(), "-j MASQUERADE"),
    (
        V4,
        (TCP,),
        Dnat(NatRange((0x0A000001,) * 2, (1000, 2000), base=3000)),
        "-p tcp -j DNAT --to-destination 10.0.0.1:1000-2000/3000",
    ),
    (V4, (TCP,), Masquerade(NatRange(ports=(1, 9))), "-p tcp -j MASQUERADE --to-ports 1-9"),
    (V4, (TCP,), Redirect(NatRange(ports=(80, 80))), "-p tcp -j REDIRECT --to-ports 80"),
]


@pytest.mark.parametrize(("family", "matches", "target", "text"), CASES, ids=lambda v: str(v)[:40])
def test_a_rule_prints_so_and_is_read_back_as_it_was(family, matches, target, text) -> None:
    assert render_rule(Rule(matches, target), family) == text
    assert parse_one(text, family) == Rule(matches, target)


def test_the_head_of_a_rule_has_iptables_order_whatever_order_it_was_given_in() -> None:
    rule = Rule((SSHD, InterfaceMatch(Way.OUT, "b"), TCP, source("10.0.0.1")), Accept())
    assert render_rule(rule, V4) == "-s 10.0.0.1/32 -o b -p tcp -m tcp --dport 22 -j ACCEPT"


SSHD = TcpMatch(destination=SSH)


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("-j MARK --set-mark 0x10/0xf0", "-j MARK --set-xmark 0x10/0xf0"),
        ("-j MARK --set-mark 0x100/0xf0", "-j MARK --set-xmark 0x100/0x1f0"),
        ("-j MARK --set-mark 010", "-j MARK --set-xmark 0x8/0xffffffff"),
        ("-j MARK --or-mark 0x1", "-j MARK --set-xmark 0x1/0x1"),
        ("-j MARK --and-mark 0x1", "-j MARK --set-xmark 0x0/0xfffffffe"),
        ("-j MARK --xor-mark 0x1", "-j MARK --set-xmark 0x1/0x0"),
        (
            "-j CONNMARK --save-mark",
            "-j CONNMARK --save-mark --nfmask 4294967295 --ctmask 0xffffffff",
        ),
        ("-p tcp --syn -j DROP", "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP"),
        ("-p tcp --dport 22 -j DROP", "-p tcp -m tcp --dport 22 -j DROP"),
        ("-p tcp -m tcp --dport ! 22 -j DROP", "-p tcp -m tcp ! --dport 22 -j DROP"),
        ("-p tcp -m tcp --dport :1023", "-p tcp -m tcp --dport 0:1023"),
        ("-s ! 10.0.0.1 -j DROP", "! -s 10.0.0.1/32 -j DROP"),
        ("-s 10.1.2.3/8 -j DROP", "-s 10.0.0.0/8 -j DROP"),
        (
            "--source 10.0.0.1 --in-interface a --protocol icmp --jump DROP",
            "-s 10.0.0.1/32 -i a -p icmp -j DROP",
        ),
        ("-ptcp -s10.0.0.1 -jDROP", "-s 10.0.0.1/32 -p tcp -j DROP"),
        ("--protocol=tcp --jump=DROP", "-p tcp -j DROP"),
        ("-p gre -j DROP", "-p 47 -j DROP"),
        ("-j REJECT", "-j REJECT --reject-with icmp-port-unreachable"),
        ("-j REJECT --reject-with tcp-rst", "-j REJECT --reject-with tcp-reset"),
        ("-j LOG --log-level info", "-j LOG --log-level 6"),
        ("-m limit --limit 5/minute", "-m limit --limit 5/min"),
        ("-m conntrack --ctstate established,new", "-m conntrack --ctstate NEW,ESTABLISHED"),
    ],
)
def test_spellings_that_mean_the_same_are_the_same_rule(given: str, same: str) -> None:
    assert parse_one(given) == parse_one(same)


@pytest.mark.parametrize(
    "text",
    [
        "-m conntrack --ctorigsrc 10.0.0.1 --ctorigsrc 10.0.0.2 -j DROP",
        "-m conntrack --ctexpire 4294967296 -j DROP",
        "-m hl --hl-eq 1 -j DROP",
        "-m dscp --dscp 64 -j DROP",
        "-m owner --suppl-groups -j DROP",
        "-m iprange --src-range 10.0.0.9-10.0.0.1 -j DROP",
        "-m ipvs --vaddr 10.0.0.1/8 -j DROP",
        "-m cluster --cluster-total-nodes 2 --cluster-local-node 33 -j DROP",
        "-m policy --dir in --pol ipsec --reqid 1 --next --reqid 2 -j DROP",
        "-m mark --mark 4294967296 -j DROP",
        "-p tcp -m tcp --dport ssh -j DROP",
        "-p tcp -m tcp --dport 22 --dport 23 -j DROP",
        "-m string --string '-j ACCEPT' -j DROP",
    ],
)
def test_what_the_types_cannot_hold_is_kept_verbatim_and_never_guessed(text: str) -> None:
    rule = parse_one(text)
    assert any(isinstance(match, UnknownMatch) for match in rule.matches)
    assert rule.target == Drop()


@pytest.mark.parametrize(
    "text",
    ["-j SNAT --to-source 10.0.0.1:1000-2000/3000", "-j NFLOG --nflog-range 1", "-j ULOG"],
)
def test_a_target_that_is_not_known_is_kept_verbatim(text: str) -> None:
    rule = parse_one(text)
    assert isinstance(rule.target, UnknownTarget)
    assert render_rule(rule, V4) == text


def test_words_in_a_comment_or_prefix_are_no_options() -> None:
    rule = parse_one('-m comment --comment "-j ACCEPT -m mark" -j LOG --log-prefix "-j DROP ! "')
    assert rule.matches == (CommentMatch("-j ACCEPT -m mark"),)
    assert rule.target == Log("-j DROP ! ")
