"""Packets: what is patched is what scapy builds, and the number is found again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netfw.host.packets import (
    PacketBuilder,
    build_with_scapy,
    checksum,
    cookie_of,
    crc32c,
)
from netfw.ir.names import Family
from netfw.ir.protocols import DCCP, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE
from netfw.traverse.packet import ACK, SYN, Packet

SOURCE = {Family.IPV4: 0x0A010002, Family.IPV6: 0xFD01 << 112 | 2}
DESTINATION = {Family.IPV4: 0xC0000207, Family.IPV6: 0x20010DB8 << 96 | 7}
HEADER = {Family.IPV4: 20, Family.IPV6: 40}
GRE = 47


def shapes(family: Family) -> dict[str, Packet]:
    packet = Packet(family, SOURCE[family], DESTINATION[family], UDP, 40000, 53)
    icmp, request, reply, error = (
        (ICMP, 8, 0, 3) if family is Family.IPV4 else (ICMPV6, 128, 129, 1)
    )
    no_ports = {"source_port": 0, "destination_port": 0}
    back = replace(packet, source=packet.destination, destination=packet.source)
    return {
        "udp": packet,
        "syn": replace(packet, protocol=TCP, tcp_flags=SYN),
        "syn and ack": replace(packet, protocol=TCP, tcp_flags=SYN | ACK, ttl=1),
        "request": replace(packet, protocol=icmp, icmp_type=request, icmp_id=7, **no_ports),
        "reply": replace(packet, protocol=icmp, icmp_type=reply, icmp_id=9, **no_ports),
        "error": replace(
            back, protocol=icmp, icmp_type=error, icmp_code=1, quoted=packet, **no_ports
        ),
        "sctp": replace(packet, protocol=SCTP),
        "dccp": replace(packet, protocol=DCCP),
        "udplite": replace(packet, protocol=UDPLITE),
        "gre": replace(packet, protocol=GRE, **no_ports),
    }


CASES = [
    pytest.param(packet, id=f"{family}-{name}")
    for family in Family
    for name, packet in shapes(family).items()
]


@pytest.mark.parametrize("packet", CASES)
def test_patched_packets_are_those_that_scapy_builds(packet):
    builder = PacketBuilder()
    for number in (1, 255, 4096, 65535):
        changed = replace(
            packet,
            source=packet.source + number,
            destination=packet.destination + number,
            ttl=number % 255 + 1,
        )
        assert builder.build(changed, number).hex() == build_with_scapy(changed, number).hex()


@pytest.mark.parametrize("packet", CASES)
def test_the_number_is_found_in_what_a_trace_event_shows(packet):
    """nf_tables shows 40 bytes of the network header and 20 of the transport part."""
    builder = PacketBuilder()
    at = HEADER[packet.family]
    for number in (1, 256, 65535):
        data = builder.build(packet, number)
        assert cookie_of(packet.family, data[:at], data[at : at + 20]) == number
        assert cookie_of(packet.family, data[:at], data[at:]) == number


@pytest.mark.parametrize("packet", CASES)
def test_a_packet_of_others_has_no_number(packet):
    at = HEADER[packet.family]
    ours = PacketBuilder().build(packet, 77)
    other_number = bytearray(ours)
    other_number[5 if packet.family is Family.IPV4 else 3] = 78
    assert cookie_of(packet.family, bytes(other_number[:at]), ours[at:]) is None
    assert cookie_of(packet.family, ours[:at], bytes(20)) is None
    assert cookie_of(packet.family, ours[:at], b"") is None
    assert cookie_of(packet.family, b"", b"") is None


@pytest.mark.parametrize("packet", CASES)
def test_address_translation_does_not_hide_the_number(packet):
    at = HEADER[packet.family]
    data = bytearray(PacketBuilder().build(packet, 300))
    data[at - 8 : at] = b"\xff" * 8
    if packet.protocol in (TCP, UDP):
        data[at : at + 4] = b"\xff" * 4
    assert cookie_of(packet.family, bytes(data[:at]), bytes(data[at:])) == 300


def test_the_checksum_is_that_of_rfc_1071():
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D
    assert checksum(b"\x01") == 0xFEFF


def test_the_checksum_of_sctp_is_crc32c():
    assert crc32c(b"123456789") == 0xE3069283
