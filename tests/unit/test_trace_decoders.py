"""Datagrams of the two trace reports, put together by hand."""

from __future__ import annotations

import struct

from netfw.host.legacy_trace import LegacyDecoder
from netfw.host.netlink import attribute
from netfw.host.nft_trace import NftDecoder
from netfw.host.trace import EventKind
from netfw.ir.names import Family, Hook
from netfw.traverse.kernel_refinements import NFT_RETURN_EVENTS

AF_INET, AF_INET6, AF_BRIDGE = 2, 10, 7
NESTED = 0x8000


def message(kind: int, family: int, attributes: bytes) -> bytes:
    body = struct.pack(">BBH", family, 0, 0) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def legacy(prefix: bytes, sequence: int, family: int = AF_INET, payload: bytes = b"") -> bytes:
    attributes = attribute(1, b"\x08\0\x03\0") + attribute(10, prefix + b"\0")
    attributes += attribute(2, u32(0x30000)) + attribute(4, u32(5)) + attribute(12, u32(sequence))
    return message(4 << 8, family, attributes + attribute(9, payload or b"\x45" + bytes(39)))


def nft(
    family: int = AF_INET, verdict: int = -3, jump: bytes = b"there\0", kind: int = 3
) -> bytes:
    nested = attribute(1, struct.pack(">i", verdict))
    if jump:
        nested += attribute(2, jump)
    attributes = attribute(1, b"mangle\0") + attribute(3, struct.pack(">Q", 17))
    attributes += (
        attribute(4, u32(kind)) + attribute(2, b"FORWARD\0") + attribute(5 | NESTED, nested)
    )
    attributes += attribute(6, u32(99)) + attribute(14, u32(0xFFFFFFFF))
    return message(10 << 8 | 17, family, attributes)


def test_a_legacy_event_is_read_with_its_rule_and_mark():
    (event,) = LegacyDecoder().decode(legacy(b"TRACE: mangle:POSTROUTING:rule:12 ", 0))
    assert (event.family, event.table, event.chain) == (Family.IPV4, "mangle", "POSTROUTING")
    assert (event.kind, event.number, event.mark) == (EventKind.RULE, 12, 0x30000)
    assert (event.iif, event.oif, event.hook) == (5, 0, Hook.OUTPUT)
    assert (len(event.network), len(event.transport)) == (20, 20)


def test_header_options_belong_to_the_network_header():
    payload = b"\x46" + bytes(43)
    (event,) = LegacyDecoder().decode(legacy(b"TRACE: raw:OUTPUT:policy:1 ", 0, payload=payload))
    assert (len(event.network), len(event.transport)) == (24, 20)


def test_chain_names_may_hold_colons():
    (event,) = LegacyDecoder().decode(legacy(b"TRACE: nat:a:rule:b:return:3 ", 0))
    assert (event.chain, event.kind, event.number) == ("a:rule:b", EventKind.END, 3)


def test_other_log_messages_are_no_events_but_count():
    decoder = LegacyDecoder()
    for sequence, prefix in enumerate(
        (b"", b"dropped: ", b"TRACE: ", b"TRACE: x:y:rule:1 ", b"TRACE: raw:y:rule:one ")
    ):
        assert decoder.decode(legacy(prefix, sequence)) == []
    assert decoder.gaps == 0


def test_gaps_in_the_numbers_are_counted():
    decoder = LegacyDecoder()
    for sequence in (0xFFFFFFFE, 0xFFFFFFFF, 0, 1, 4):
        decoder.decode(legacy(b"TRACE: raw:OUTPUT:policy:1 ", sequence))
    assert decoder.gaps == 2


def test_an_nft_event_is_read_with_its_jump():
    (event,) = NftDecoder().decode(nft())
    assert (event.table, event.chain, event.number) == ("mangle", "FORWARD", 17)
    assert (event.verdict, event.jump) == ("jump", "there")
    assert (event.mark, event.packet_id) == (0xFFFFFFFF, 99)


def test_an_nft_verdict_without_a_chain_is_no_jump():
    (event,) = NftDecoder().decode(nft(verdict=1, jump=b""))
    assert (event.verdict, event.jump) == ("accept", "")


def test_a_datagram_may_hold_many_messages():
    assert len(NftDecoder().decode(nft() + nft(AF_INET6) + nft(AF_BRIDGE))) == 2
    first, second = (legacy(b"TRACE: raw:OUTPUT:policy:1 ", n) for n in (1, 2))
    padding = b"\0" * (-len(first) % 4)
    assert len(LegacyDecoder().decode(first + padding + second)) == 2


def test_older_kernels_say_return_where_newer_ones_say_rule_and_it_is_counted_by_name():
    decoder = NftDecoder()
    (older,) = decoder.decode(nft(verdict=-5, jump=b"", kind=2))
    assert decoder.refinements == {NFT_RETURN_EVENTS: 1}
    (newer,) = decoder.decode(nft(verdict=-5, jump=b""))
    assert older == newer
    assert decoder.refinements.total() == 1
