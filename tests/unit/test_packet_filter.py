"""Filters of packets: any part of a packet's description may be left out."""

from __future__ import annotations

import pytest

from netfw.host.trace_table import table_lines
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Family
from netfw.ir.protocols import ICMP, ICMPV6, TCP, UDP
from netfw.traverse.notation import NotationError
from netfw.traverse.packet_filter import parse_filter

GOOD = [
    ("tcp dport 22", "meta l4proto 6 th dport 22"),
    ("tcp -> :22", "meta l4proto 6 th dport 22"),
    ("tcp -> any:22", "meta l4proto 6 th dport 22"),
    ("udp 10.0.0.0/8:53 ->", "meta l4proto 17 ip saddr 10.0.0.0/8 th sport 53"),
    ("203.0.113.1", "ip daddr 203.0.113.1/32"),
    ("203.0.113.1 ->", "ip saddr 203.0.113.1/32"),
    ("-> [2001:db8::/32]:80-90", "ip6 daddr 2001:db8::/32 th dport 80-90"),
    ("udp in eth0", 'iifname "eth0" meta l4proto 17'),
    ("any mark 0x10000/0xf0000", "meta mark & 0xf0000 == 0x10000"),
    ("tcp flags syn,ack", "tcp flags & 0x3f == 0x12"),
    ("icmp type 8/0", "icmp type 8 icmp code 0"),
    ("icmp ttl 1", "ip6 hoplimit 1"),
    ("47", "meta l4proto 47"),
]


@pytest.mark.parametrize(("line", "words"), GOOD)
def test_filter_becomes_a_rule_that_chooses(line: str, words: str) -> None:
    text = "\n".join(table_lines(parse_filter(line), "", rate=1, seconds=1))
    assert words in text


@pytest.mark.parametrize(
    ("line", "column", "problem"),
    [
        ("nonsense", 1, "no protocol and no address"),
        ("tcp 22", 5, "is no address; a port is written ':22'"),
        ("icmp dport 22", 1, "has no ports"),
        ("tcp dport 70000", 11, "is no port"),
        ("tcp dport 90-80", 11, "is no port"),
        ("tcp dport", 5, "stands alone"),
        ("tcp dport 1 dport 2", 13, "stands twice"),
        ("tcp 10.0.0.1 -> 2001:db8::1", 1, "different IP families"),
        ("tcp 10.0.0.1 10.0.0.2", 14, "is not understood here"),
        ("any mark 0x30/0x10", 10, "can never match"),
        ("udp flags syn", 1, "only tcp has flags"),
        ("tcp type 8", 1, "only icmp has types"),
        ('udp in eth"0', 8, "quotes"),
        ("udp state new", 11, "connection tracking comes only after"),
        ("icmpv6 -> 10.0.0.1", 19, "IPv4 has no such protocol"),
        ("udp near", 5, "'near' is no IP address"),
        ("udp near eth0", 5, "'near' is not understood here"),
        ("udp in eth0 nearby 3", 13, "'nearby' is none of in, out"),
    ],
)
def test_nonsense_is_refused_with_its_place(line: str, column: int, problem: str) -> None:
    with pytest.raises(NotationError, match=problem.replace("(", r"\(")) as refused:
        parse_filter(line)
    assert refused.value.column == column


def test_families_and_protocols_follow_from_each_other() -> None:
    assert parse_filter("icmp").families == tuple(Family)
    assert parse_filter("icmp -> 10.0.0.1").protocols == {ICMP}
    assert parse_filter("icmp -> 2001:db8::1").protocols == {ICMPV6}
    assert parse_filter("10.0.0.1").families == (Family.IPV4,)
    assert {TCP, UDP} <= parse_filter("dport 53").protocols
    assert parse_filter("any mark 4").mark == MaskedWord(4, 0xFFFFFFFF)


def test_only_a_filter_that_leaves_all_open_is_everything() -> None:
    assert parse_filter("any").is_everything
    assert parse_filter("any in eth0").is_everything
    assert not parse_filter("udp").is_everything
    assert not parse_filter("-> 0.0.0.0/0").is_everything


def test_out_alone_means_packets_of_this_host() -> None:
    text = "\n".join(table_lines(parse_filter("udp out eth0"), "", rate=0, seconds=1))
    assert text.count("goto choose") == len(Family)
