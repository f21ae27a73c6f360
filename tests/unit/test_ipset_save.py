"""What ``ipset save`` prints is read whole, or refused with the line that is at fault."""

import random

import pytest

from netfw.errors import FactError
from netfw.facts.ipset_save import parse_sets
from netfw.ir.ipset import SetInterface, SetMember, SetPort
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, TCP
from netfw.render.ipset import render_sets

SAVED = """\
create office hash:net family inet6 hashsize 64 maxelem 100 timeout 300 counters comment skbinfo
add office 2001:db8::/32 timeout 20 nomatch packets 3 bytes 4 comment "hi there" skbmark 0x1/0xf
add office fd00::1 timeout 0 packets 0 bytes 0
create services hash:ip,port family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0xb8
add services 10.0.0.1,udp:53
add services 10.0.0.1,vrrp:0
add services 10.0.0.1,icmp:echo-request
add services 10.0.0.1,icmp:TOS-host-unreachable
add services 10.0.0.1,200:0
create ports bitmap:port range 1-1000 timeout 9
add ports 80 timeout 8
create slash24 bitmap:ip range 10.0.0.0-10.0.255.255 netmask 24
add slash24 10.0.3.0
create hosts bitmap:ip,mac range 10.0.0.0-10.0.0.255
add hosts 10.0.0.5
add hosts 10.0.0.6,00:11:22:33:44:55
create links hash:net,iface family inet
add links 10.0.0.0/8,eth0
add links 11.1.0.0/16,eth timeout 49 nomatch wildcard
add links 0.0.0.0/0,physdev:eth1
create marks hash:ip,mark family inet markmask 0x000000ff
add marks 10.0.0.1,0x1
create both hash:net,port,net family inet
add both 10.0.0.0/8,sctp:5,10.0.0.0/9
create name with space hash:ip family inet bitmask 255.255.0.255
add name with space 10.1.0.3
create all list:set size 8
add all office
add all name with space
add all ports comment "x"
"""


def faults(text: str) -> list[str]:
    with pytest.raises(FactError) as raised:
        parse_sets(text, "sets.txt")
    return [f"{fault.place}: {fault.problem}" for fault in raised.value.faults]


def test_everything_that_was_saved_is_given_back() -> None:
    sets = parse_sets(SAVED, "sets.txt").values()
    assert render_sets(sets) == SAVED
    # as often as it is asked for
    assert render_sets(sets) == SAVED


def test_members_are_typed() -> None:
    sets = parse_sets(SAVED, "sets.txt")
    exception = sets["office"].members[0]
    assert exception.parts == (Net.parse("2001:db8::/32"),)
    assert exception.nomatch
    assert sets["office"].family is Family.IPV6
    assert [member.parts[1] for member in sets["services"].members] == [
        SetPort(17, 53),
        SetPort(112, 0),
        SetPort(ICMP, 8 << 8),
        SetPort(ICMP, 3 << 8 | 12),
        SetPort(200, 0),
    ]
    assert sets["ports"].members == (SetMember((SetPort(None, 80),), False, ("timeout", "8")),)
    assert sets["ports"].span == (1, 1000)
    assert sets["slash24"].mask == 0xFFFFFF00
    assert sets["links"].members[1].parts[1] == SetInterface("eth", wildcard=True)
    assert sets["links"].members[2].parts[1] == SetInterface("eth1", physdev=True)
    assert sets["marks"].mark_mask == 0xFF
    assert sets["both"].members[0].parts[1] == SetPort(132, 5)


def test_a_port_without_a_protocol_is_of_tcp() -> None:
    sets = parse_sets("create a hash:ip,port family inet\nadd a 10.0.0.1,80\n", "sets.txt")
    assert sets["a"].members[0].parts[1] == SetPort(TCP, 80)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("add b 10.0.0.1", "set 'b' has not been created"),
        ("add a", "'add' without a member"),
        ("add a 10.0.0.256", "'10.0.0.256' is no address"),
        ("add a 2001:db8::1", "'2001:db8::1' is not IPv4"),
        ("add a 10.0.0.1/33", "prefix length '33' is no number from 0 to 32"),
        ("add a 10.0.0.1/24", "'10.0.0.1/24' has bits outside its prefix"),
        ("add a 10.0.0.0/8,tcp:80", "prefix length '8,tcp:80' is no number from 0 to 32"),
        ("add p 10.0.0.1", "'10.0.0.1' is no member of a set of kind hash:ip,port"),
        ("add a 10.0.0.1 timeout soon", "timeout 'soon' is no number from 0 to "),
        ("add a 10.0.0.1 colour red", "'colour' is nothing that a member of kind hash:net has"),
        ("add a 10.0.0.1 comment", "comment has no value"),
        ("add a 192.0.2.1", "set 'a' has this member already"),
        ("create a hash:ip family inet", "set 'a' has been created already"),
        ("create b hash:ip,ip family inet", "'hash:ip,ip' is no kind of set"),
        ("create b", "'create' without a name and a kind such as hash:net"),
        ("create b hash:ip family inet5", "family 'inet5' is neither inet nor inet6"),
        ("create b hash:ip netmask 33", "netmask '33' is no number from 0 to 32"),
        ("create b hash:ip size", "size '' is no number"),
        ("create b hash:ip strength 3", "'strength' is no option of a set that netfw knows"),
        ("create b bitmap:port", "a set of kind bitmap:port has a range"),
        ("create b bitmap:port range 9-1", "range '9-1' ends before it begins"),
        (f"create {'x' * 32} hash:ip", "a set's name has 1 to 31 bytes"),
        ("add l l", "'l' is a list, which no list can hold"),
        ("add l c", "set 'c' has not been created"),
        ("add p 10.0.0.1,tcp:70000", "port '70000' is no number from 0 to 65535"),
        ("add p 10.0.0.1,quic:1", "'quic' is no protocol that netfw knows"),
        ("add p 10.0.0.1,icmp:hello", "'hello' is no ICMP type"),
        ("flush a", "'flush' is not what ipset save prints: create or add"),
        ("-A INPUT -j DROP", "'-A' is not what ipset save prints: create or add"),
    ],
)
def test_a_faulty_line_is_named(line: str, problem: str) -> None:
    start = (
        "create a hash:net family inet\nadd a 192.0.2.1\n"
        "create l list:set size 8\ncreate p hash:ip,port family inet\n"
    )
    (found,) = faults(f"{start}{line}\n")
    assert found.startswith(f"sets.txt:5: {problem}")


def test_every_faulty_line_is_named_at_once_but_no_more_than_twenty() -> None:
    assert len(faults("add a 1\nadd b 2\n")) == 2
    many = faults("add a 1\n" * 50)
    assert len(many) == 21
    assert many[-1] == "sets.txt: 30 more faults like these"


def test_a_file_that_was_cut_short_is_refused_or_ends_with_a_whole_line() -> None:
    for length in range(1, len(SAVED)):
        text = SAVED[:length]
        if text.endswith("\n"):
            assert render_sets(parse_sets(text, "sets.txt").values()) == text
        else:
            (found,) = faults(text)
            assert found.startswith(f"sets.txt:{text.count(chr(10)) + 1}: ")


def test_rubbish_is_refused_and_never_an_exception() -> None:
    draw = random.Random(5)
    for _ in range(300):
        text = list(SAVED)
        for _ in range(draw.randrange(1, 6)):
            text[draw.randrange(len(text))] = chr(draw.choice([0, 9, 34, 44, 47, 58, 0x130, 0xB2]))
        places = ["sets.txt:"]
        try:
            parse_sets("".join(text), "sets.txt")
        except FactError as error:
            places += [fault.place for fault in error.faults]
        assert all(place.startswith("sets.txt:") for place in places)
