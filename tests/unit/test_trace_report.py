"""A followed packet in words, in JSON and in a capture; rules of nft by handle; event keys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.utils import rdpcap

from netfw.errors import HostError, Where
from netfw.facts.nft_rule_texts import parse_rule_texts
from netfw.host.packet_comments import PacketComments
from netfw.ir.names import Family, Hook
from netfw.ir.origin import Origin
from netfw.report.glyphs import ASCII
from netfw.report.trace import JSON_HEAD, json_tail, packet_json, packet_lines, total_lines
from netfw.traverse.notation import NotationError
from netfw.traverse.observed import (
    ObservedEnd,
    ObservedPacket,
    ObservedStep,
    OutsideChange,
    RoutingSeen,
    TraceTotals,
)
from netfw.traverse.packet_filter import parse_filter
from netfw.traverse.traversal import Outcome
from netfw.traverse.wire import read_packet
from netfw.verify.flights import key_of

DATA = bytes(IP(src="10.1.0.2", dst="10.2.0.2") / UDP(sport=40000, dport=53))
STEP = ObservedStep(
    Hook.PREROUTING,
    "legacy",
    "mangle",
    "PREROUTING",
    2,
    "-j MARK --set-xmark 0x1/0xffffffff",
    Origin(Where("policy.yaml", 7), "public/web"),
    Outcome.CONTINUE,
    0x10000,
    1,
)
PACKET = ObservedPacket(
    1,
    1_700_000_000.25,
    Family.IPV4,
    read_packet(DATA, "eth0"),
    "udp 10.1.0.2:40000 -> 10.2.0.2:53",
    (
        OutsideChange(0, 0x10000, "", ("tc",)),
        STEP,
        OutsideChange(1, 5, "between a and b", ("a queue", "eBPF")),
        RoutingSeen(5, "out by wa", "ip rule 9 lookup main", "default dev wa", False, ("x",)),
    ),
    ObservedEnd.VANISHED,
    "nobody knows",
    5,
    ("a counter went up",),
    unsure="events were lost",
    headers=DATA,
    length=len(DATA),
)
TOTALS = TraceTotals(1, 30, 20, 1.5, "the kernel lost 3 trace events", ("a note",))


def test_timeline_in_words() -> None:
    assert list(packet_lines(PACKET, ASCII)) == [
        "packet 1: udp 10.1.0.2:40000 -> 10.2.0.2:53 in eth0",
        "    ! it begins with mark 0x10000, which no rule wrote",
        "    !     likely: tc",
        "  PREROUTING",
        "    | legacy mangle PREROUTING rule 2: continue, mark 0x10000 -> 0x1",
        "    |     -j MARK --set-xmark 0x1/0xffffffff",
        "    |     policy.yaml:7 public/web",
        "    ! mark 0x1 -> 0x5 between a and b: no rule that was seen wrote it",
        "    !     likely: a queue",
        "    !     or: eBPF",
        "  routing with mark 0x5 -> out by wa",
        "    | x: reads the mark, does not match 0x5",
        "    | ip rule 9 lookup main: default dev wa",
        "  ` gone between hooks: nobody knows, mark 0x5",
        "      a counter went up",
        "    inconclusive: events were lost",
    ]
    assert list(total_lines(TOTALS)) == [
        "note: a note",
        "1 packets shown in 1.5 s; 30 matched, 20 followed",
        "10 packets were beyond the rate limit (--rate) and not followed",
        "inconclusive: the kernel lost 3 trace events",
    ]


def test_json_is_one_object_with_everything() -> None:
    second = replace(PACKET, number=2)
    text = JSON_HEAD + packet_json(PACKET) + packet_json(second) + json_tail(TOTALS)
    found = json.loads(text)
    assert found["schema"] == 1
    assert [packet["number"] for packet in found["packets"]] == [1, 2]
    timeline = found["packets"][0]["timeline"]
    assert [entry["what"] for entry in timeline] == ["change", "step", "change", "routing"]
    assert timeline[1]["origin"] == "policy.yaml:7 public/web"
    assert (found["matched"], found["followed"]) == (30, 20)
    assert json.loads(JSON_HEAD + json_tail(TOTALS))["packets"] == []


def test_capture_has_the_comment_with_each_packet(tmp_path: Path) -> None:
    file = tmp_path / "out.pcapng"
    with PacketComments(str(file)) as written:
        written.add(DATA, 1500, 1_700_000_000.25, "eins → zwei")
        written.add(DATA[:27], 1500, 1_700_000_001.0, "x" * 70_000)
    first, second = rdpcap(str(file))
    assert bytes(first) == DATA
    assert float(first.time) == pytest.approx(1_700_000_000.25)
    assert first.wirelen == 1500
    assert len(bytes(second)) == 27


def test_capture_that_cannot_be_written_is_one_line() -> None:
    with pytest.raises(HostError, match="cannot be written"):
        PacketComments("/nowhere/at/all")


LISTING = """\
table inet mine { # handle 3
\tset s { # handle 9
\t\ttype ipv4_addr
\t\telements = { 10.0.0.1 }
\t}

\tchain early { # handle 1
\t\ttype filter hook prerouting priority mangle - 30; policy drop;
\t\tmeta l4proto udp counter packets 5 bytes 100 meta mark set 0x1 comment "netfw:a/b" # handle 4
\t\tip saddr { 10.0.0.1, 10.0.0.2 } jump deep # handle 7
\t}

\tchain deep { # handle 2
\t\tudp dport vmap { 1 : accept, 2 : drop } # handle 8
\t}
}
"""


def test_rules_of_nft_are_found_by_handle() -> None:
    found = parse_rule_texts(LISTING)
    early = found.rules["inet", "mine", "early"]
    assert (early[4].number, early[4].text, early[4].comment) == (
        1,
        "meta l4proto udp meta mark set 0x1",
        "netfw:a/b",
    )
    assert early[7].number == 2
    assert found.hooks == {("inet", "mine", "early"): "prerouting"}
    assert list(found.rules["inet", "mine", "deep"]) == [8]


def _key(packet: object) -> bytes:
    data = bytes(packet)  # type: ignore[call-overload]
    head = 20 if data[0] >> 4 == 4 else 40
    return key_of(Family(data[0] >> 4), data[:head], data[head:])


@pytest.mark.parametrize("layer", [UDP, TCP])
def test_key_is_the_same_through_translation_and_routing(layer: type) -> None:
    before = IP(src="10.1.0.2", dst="10.2.0.2", id=77, ttl=64) / layer(sport=1, dport=2) / b"abc"
    after = IP(src="9.9.9.9", dst="8.8.8.8", id=77, ttl=63) / layer(sport=7, dport=8) / b"abc"
    assert _key(before) == _key(after)
    other = IP(src="10.1.0.2", dst="10.2.0.2", id=78) / layer(sport=1, dport=2) / b"abc"
    assert _key(before) != _key(other)


def test_key_tells_packets_of_one_flow_apart() -> None:
    six = [IPv6(fl=5) / TCP(sport=1, dport=2, seq=number) for number in (1, 2)]
    assert _key(six[0]) != _key(six[1])
    echo = [IP(id=0) / ICMP(id=4, seq=number) for number in (1, 2)]
    assert _key(echo[0]) != _key(echo[1])


@given(st.text(alphabet="tcpudi ->:./[]0123456789abfx*anymrkoutgsl,", max_size=40))
def test_any_text_is_a_filter_or_is_refused_with_its_place(line: str) -> None:
    refused: NotationError | None = None
    try:
        parse_filter(line)
    except NotationError as error:
        refused = error
    assert refused is None or (str(refused) and 1 <= refused.column <= len(line) + 1)
