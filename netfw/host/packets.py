"""Packets as bytes: scapy builds one of each shape, and the numbers are patched in.

scapy builds about a thousand packets a second; a template with addresses, ports, number and
checksums written into it comes out at many times that. Tests show that both give the same bytes.

Every packet carries a number twice: in the IPv4 identification or the IPv6 flow label, and in
its transport part. NAT changes neither, and both are visible in the trace events of both
backends, which show 40 bytes of the network header and 20 of the transport part (nft).
"""

from __future__ import annotations

import struct
from typing import Any

from netfw.ir.names import Family
from netfw.ir.protocols import DCCP, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE
from netfw.traverse.connection import ICMP_ERRORS
from netfw.traverse.packet import PORT_PROTOCOLS, Packet

MAGIC = b"netfwtrc"
"""Begins the payload of our packets; the number follows in two bytes."""
_TCP_MAGIC = 0x6E66
"""The upper half of the sequence number of our TCP packets."""
_FLOW_MAGIC = 0xB
"""The upper four bits of the flow label of our IPv6 packets."""
_ERROR_MAGIC = 0x6E
"""The first byte behind the checksum of our ICMP errors. The kernel has 0 there (a pointer or an
address in some kinds) in its own errors, which quote packets of ours and have any identification:
one of 65,536 has the number of the packet that it quotes."""
_REPLY_SEQUENCE = 1
"""The sequence number of our echo replies. The kernel's own repeat that of our requests, 0, and
their payload with it."""
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U32_LITTLE = struct.Struct("<I")
_SCTP_CHECKSUM_AT = 8
_SCTP_TAG_AT = 16
_HEADER_LENGTH = {Family.IPV4: 20, Family.IPV6: 40}
_ADDRESSES = {Family.IPV4: (12, 4), Family.IPV6: (8, 16)}
_DCCP_SEQUENCE_AT = 10
_CHECKSUM_AT = {TCP: 16, UDP: 6, UDPLITE: 6, DCCP: 6, ICMP: 2, ICMPV6: 2}
_ECHO_REQUEST_V6 = 128
_ECHO_V4 = (0, 8)
_ECHO_REPLIES = {ICMP: 0, ICMPV6: 129}
_ERRORS = {
    protocol: frozenset(kind.to_bytes(1, "big") for kind in kinds)
    for protocol, kinds in ICMP_ERRORS.items()
}
"""First bytes of ICMP messages that quote a packet."""

_ERROR = bytes([_ERROR_MAGIC])

Shape = tuple[Family, int, int, int, int, "Shape | None"]


class PacketBuilder:
    """Builds packets; keeps a template for each shape."""

    def __init__(self) -> None:
        self._templates: dict[Shape, bytes] = {}

    def build(self, packet: Packet, number: int) -> bytes:
        """The packet from its IP header on, carrying ``number`` (1 to 65535)."""
        shape = _shape(packet)
        template = self._templates.get(shape)
        if template is None:
            template = self._templates[shape] = build_with_scapy(packet, number)
        return self._patch(bytearray(template), packet, number)

    def _patch(self, data: bytearray, packet: Packet, number: int) -> bytes:
        family, protocol = packet.family, packet.protocol
        at, size = _ADDRESSES[family]
        data[at : at + size] = packet.source.to_bytes(size, "big")
        data[at + size : at + 2 * size] = packet.destination.to_bytes(size, "big")
        start = _HEADER_LENGTH[family]
        if family is Family.IPV4:
            data[8] = packet.ttl
            _U16.pack_into(data, 4, number)
            _U16.pack_into(data, 10, 0)
            _U16.pack_into(data, 10, checksum(data[:start]))
        else:
            data[7] = packet.ttl
            data[1] = (data[1] & 0xF0) | _FLOW_MAGIC
            _U16.pack_into(data, 2, number)
        self._patch_transport(data, packet, number, start)
        place = _CHECKSUM_AT.get(protocol)
        if place is not None:
            _U16.pack_into(data, start + place, 0)
            transport = bytes(data[start:])
            pseudo = b""
            if protocol != ICMP:
                addresses = bytes(data[at : at + 2 * size])
                pseudo = addresses + struct.pack(">II", len(transport), protocol)
            total = checksum(pseudo + transport)
            if total == 0 and protocol in (UDP, UDPLITE):
                total = 0xFFFF
            _U16.pack_into(data, start + place, total)
        elif protocol == SCTP:
            _U32_LITTLE.pack_into(data, start + _SCTP_CHECKSUM_AT, 0)
            _U32_LITTLE.pack_into(data, start + _SCTP_CHECKSUM_AT, crc32c(bytes(data[start:])))
        return bytes(data)

    def _patch_transport(self, data: bytearray, packet: Packet, number: int, start: int) -> None:
        protocol = packet.protocol
        if protocol in PORT_PROTOCOLS:
            _U16.pack_into(data, start, packet.source_port)
            _U16.pack_into(data, start + 2, packet.destination_port)
        if protocol == TCP:
            struct.pack_into(
                ">II", data, start + 4, sequence_of(number), packet.tcp_acknowledgement
            )
        elif protocol == SCTP:
            _U32.pack_into(data, start + _SCTP_TAG_AT, sequence_of(number))
        elif protocol == DCCP:
            _U16.pack_into(data, start + _DCCP_SEQUENCE_AT + 4, number)
        elif packet.quoted is not None:
            data[start + 8 :] = self.build(packet.quoted, number)
        elif packet.is_icmp:
            _U16.pack_into(data, start + 4, packet.icmp_id)
            _U16.pack_into(data, start + 16, number)
        elif protocol in (UDP, UDPLITE):
            _U16.pack_into(data, start + 16, number)
        else:
            _U16.pack_into(data, start + 8, number)


def sequence_of(number: int) -> int:
    """The TCP sequence number (SCTP: initiate tag) of the packet that carries a number."""
    return _TCP_MAGIC << 16 | number


def _shape(packet: Packet) -> Shape:
    return (
        packet.family,
        packet.protocol,
        packet.tcp_flags,
        packet.icmp_type,
        packet.icmp_code,
        None if packet.quoted is None else _shape(packet.quoted),
    )


def build_with_scapy(packet: Packet, number: int) -> bytes:
    """The same bytes as ``PacketBuilder``, by scapy alone and slowly."""
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    from scapy.packet import Raw

    from netfw.ir.net import format_address

    source = format_address(packet.family, packet.source)
    destination = format_address(packet.family, packet.destination)
    if packet.family is Family.IPV4:
        network = IP(src=source, dst=destination, ttl=packet.ttl, id=number, proto=packet.protocol)
    else:
        network = IPv6(
            src=source,
            dst=destination,
            hlim=packet.ttl,
            fl=_FLOW_MAGIC << 16 | number,
            nh=packet.protocol,
        )
    cookie = Raw(MAGIC + _U16.pack(number) + b"\0\0")
    return bytes(network / _scapy_transport(packet, network, number, cookie))


def _scapy_transport(packet: Packet, network: Any, number: int, cookie: Any) -> Any:  # noqa: ANN401
    from scapy.layers import inet, inet6
    from scapy.layers.inet6 import in6_chksum
    from scapy.packet import Raw

    ports = {"sport": packet.source_port, "dport": packet.destination_port}
    if packet.protocol == TCP:
        return inet.TCP(
            **ports,
            seq=sequence_of(number),
            ack=packet.tcp_acknowledgement,
            flags=packet.tcp_flags,
        )
    if packet.protocol == UDP:
        return inet.UDP(**ports) / cookie
    if packet.protocol == SCTP:
        from scapy.layers import sctp

        # an INIT chunk: connection tracking takes nothing else for a first packet
        return sctp.SCTP(**ports, tag=0) / sctp.SCTPChunkInit(init_tag=sequence_of(number))
    if packet.protocol in (UDPLITE, DCCP):
        return Raw(_unknown_to_scapy(packet, network, number, bytes(cookie)))
    if not packet.is_icmp:
        return cookie
    kind, code = packet.icmp_type, packet.icmp_code
    if packet.quoted is not None:
        quoted = build_with_scapy(packet.quoted, number)
        header = struct.pack(">BBHB3x", kind, code, 0, _ERROR_MAGIC)
        if packet.family is Family.IPV4:
            total = checksum(header + quoted)
        else:
            total = in6_chksum(packet.protocol, network, header + quoted)
        return Raw(header[:2] + _U16.pack(total) + header[4:] + quoted)
    if packet.family is Family.IPV4:
        if kind not in _ECHO_V4:
            # scapy has fields of its own for other types, and the number needs their place
            header = struct.pack(">BBHHH", kind, code, 0, packet.icmp_id, 0)
            total = checksum(header + bytes(cookie))
            return Raw(header[:2] + _U16.pack(total) + header[4:]) / cookie
        seq = _REPLY_SEQUENCE if kind == _ECHO_REPLIES[ICMP] else 0
        return inet.ICMP(type=kind, code=code, id=packet.icmp_id, seq=seq) / cookie
    if kind == _ECHO_REQUEST_V6:
        return inet6.ICMPv6EchoRequest(code=code, id=packet.icmp_id, seq=0, data=bytes(cookie))
    seq = _REPLY_SEQUENCE if kind == _ECHO_REPLIES[ICMPV6] else 0
    return inet6.ICMPv6EchoReply(
        type=kind, code=code, id=packet.icmp_id, seq=seq, data=bytes(cookie)
    )


def _unknown_to_scapy(packet: Packet, network: Any, number: int, cookie: bytes) -> bytes:  # noqa: ANN401
    """The transport part of UDP-Lite (RFC 3828; its checksum covers all) and of a DCCP request
    (RFC 4340, section 5.1, 48-bit sequence numbers)."""
    from scapy.layers.inet import in4_chksum
    from scapy.layers.inet6 import in6_chksum

    ports = struct.pack(">HH", packet.source_port, packet.destination_port)
    if packet.protocol == UDPLITE:
        before, after = ports + b"\0\0", cookie
    else:
        words, extended_request, service = 5, 1, 0
        before = ports + bytes((words, 0))
        sequence = (_TCP_MAGIC << 32 | number).to_bytes(6, "big")
        after = bytes((extended_request, 0)) + sequence + _U32.pack(service)
    of_scapy = in4_chksum if packet.family is Family.IPV4 else in6_chksum
    total = of_scapy(packet.protocol, network, before + b"\0\0" + after)
    return before + _U16.pack(total) + after


def checksum(data: bytes | bytearray) -> int:
    """The Internet checksum (RFC 1071), 16 bits."""
    if len(data) % 2:
        data = bytes(data) + b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def crc32c(data: bytes) -> int:
    """The checksum of SCTP (RFC 9260, appendix A), 32 bits."""
    if not _CRC32C:
        for value in range(256):
            for _ in range(8):
                value = value >> 1 ^ _CRC32C_POLYNOMIAL if value & 1 else value >> 1
            _CRC32C.append(value)
    total = 0xFFFFFFFF
    for byte in data:
        total = total >> 8 ^ _CRC32C[(total ^ byte) & 0xFF]
    return total ^ 0xFFFFFFFF


_CRC32C: list[int] = []
_CRC32C_POLYNOMIAL = 0x82F63B78


def cookie_of(family: Family, network: bytes, transport: bytes) -> int | None:
    """The number that a packet of ours carries, from the beginnings of its headers.

    None for every other packet: both places must agree.
    """
    if family is Family.IPV4:
        if len(network) < 20:
            return None
        number = network[4] << 8 | network[5]
        protocol = network[9]
    else:
        if len(network) < 40 or network[1] & 0x0F != _FLOW_MAGIC:
            return None
        number = network[2] << 8 | network[3]
        protocol = network[6]
    if protocol == TCP:
        found = transport[4:8] == _TCP_MAGIC.to_bytes(2, "big") + number.to_bytes(2, "big")
    elif protocol == SCTP:
        found = transport[_SCTP_TAG_AT:20] == _U32.pack(sequence_of(number))
    elif protocol == DCCP:
        sequence = _TCP_MAGIC << 32 | number
        found = transport[_DCCP_SEQUENCE_AT:16] == sequence.to_bytes(6, "big")
    elif protocol == ICMP and transport[:1] in _ERRORS[ICMP]:
        # the quoted packet begins behind eight bytes
        found = transport[4:5] == _ERROR and transport[12:14] == number.to_bytes(2, "big")
    elif protocol == ICMPV6 and transport[:1] in _ERRORS[ICMPV6]:
        quoted = bytes([_FLOW_MAGIC]) + number.to_bytes(2, "big")
        found = transport[4:5] == _ERROR and transport[9:12] == quoted
    elif protocol in (UDP, UDPLITE, ICMP, ICMPV6):
        found = transport[8:18] == MAGIC + number.to_bytes(2, "big")
        if found and transport[0] == _ECHO_REPLIES.get(protocol):
            found = transport[6:8] == _U16.pack(_REPLY_SEQUENCE)
    else:
        found = transport[:10] == MAGIC + number.to_bytes(2, "big")
    return number if found and number else None
