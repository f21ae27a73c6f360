"""The bytes of an IP packet as what rules see of it.

Source: RFC 791, 8200, 4443, 792, 9293; which headers IPv6 rules look behind is that of
ipv6_find_hdr in net/ipv6/exthdrs_core.c.
"""

from __future__ import annotations

import struct

from netfw.ir.names import Family
from netfw.ir.protocols import ICMP, ICMPV6, TCP
from netfw.traverse.connection import ICMP_ERRORS, ICMP_NEW
from netfw.traverse.packet import PORT_PROTOCOLS, Packet

_IPV4 = struct.Struct(">BBHHHBBHII")
_IPV6_LENGTH = 40
_FRAGMENT_OFFSET, _MORE_FRAGMENTS = 0x1FFF, 0x2000
_ICMP_HEADER = 8
"""Bytes of an ICMP header; in errors the quoted packet follows."""
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS = 0, 43, 44, 51, 60
_ECHO_REPLIES = {ICMP: frozenset({0, 14, 16, 18}), ICMPV6: frozenset({129})}
_TCP_FLAGS = 0x3F


def read_packet(data: bytes, in_interface: str = "", mark: int = 0) -> Packet:
    """Read a packet from its IP header on; raises ValueError with a sentence.

    A second or further fragment has no ports, and says so.
    """
    return _read(data, in_interface, mark, is_quoted=False)


def is_fragment(data: bytes) -> bool:
    """Whether these bytes are a part of a packet, the first one or a later one."""
    if data[0] >> 4 == 4:
        (word,) = struct.unpack_from(">H", data, 6)
        return bool(word & (_FRAGMENT_OFFSET | _MORE_FRAGMENTS))
    return data[6] == _FRAGMENT


def _read(data: bytes, in_interface: str, mark: int, *, is_quoted: bool) -> Packet:
    version = data[0] >> 4 if data else 0
    if version == 4:
        family = Family.IPV4
        if len(data) < _IPV4.size:
            raise ValueError("the IPv4 header is cut off")
        first, _, _, _, word, ttl, protocol, _, source, destination = _IPV4.unpack_from(data)
        start, later = (first & 0xF) * 4, bool(word & _FRAGMENT_OFFSET)
        if start < _IPV4.size:
            raise ValueError(f"the IPv4 header says it is {start} bytes long")
    elif version == 6:
        family = Family.IPV6
        if len(data) < _IPV6_LENGTH:
            raise ValueError("the IPv6 header is cut off")
        ttl = data[7]
        source = int.from_bytes(data[8:24], "big")
        destination = int.from_bytes(data[24:40], "big")
        protocol, start, later = _behind_extensions(data)
    else:
        raise ValueError(f"IP version {version}")
    ports = 0, 0
    body = data[start:]
    if protocol in PORT_PROTOCOLS and not later:
        ports = struct.unpack_from(">HH", _at_least(body, 4, "ports are"))
    flags = acknowledgement = 0
    if protocol == TCP and not later and not is_quoted:
        (acknowledgement,) = struct.unpack_from(">I", _at_least(body, 14, "TCP header is"), 8)
        flags = body[13] & _TCP_FLAGS
    kind = code = identifier = 0
    quoted = None
    if protocol == (ICMP if family is Family.IPV4 else ICMPV6) and not later:
        kind, code = _at_least(body, 4, "ICMP header is")[:2]
        if kind in ICMP_NEW[protocol] | _ECHO_REPLIES[protocol]:
            (identifier,) = struct.unpack_from(">H", _at_least(body, 6, "ICMP header is"), 4)
        elif kind in ICMP_ERRORS[protocol] and not is_quoted:
            quoted = _quoted(body[_ICMP_HEADER:])
    return Packet(
        family,
        source,
        destination,
        protocol,
        source_port=ports[0],
        destination_port=ports[1],
        tcp_flags=flags,
        tcp_acknowledgement=acknowledgement,
        icmp_type=kind,
        icmp_code=code,
        icmp_id=identifier,
        quoted=quoted,
        in_interface=in_interface,
        mark=mark,
        ttl=ttl,
        fragment=later,
    )


def _quoted(data: bytes) -> Packet | None:
    """The packet in an ICMP error; None where too little of it is there."""
    try:
        return _read(data, "", 0, is_quoted=True)
    except ValueError:
        return None


def _at_least(body: bytes, length: int, what: str) -> bytes:
    if len(body) < length:
        raise ValueError(f"its {what} cut off")
    return body


def _behind_extensions(data: bytes) -> tuple[int, int, bool]:
    """Protocol, where its header begins, and whether this is a later fragment."""
    protocol, start = data[6], _IPV6_LENGTH
    while protocol in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS):
        if len(data) < start + 8:
            raise ValueError("its IPv6 extension headers are cut off")
        following, length = data[start], data[start + 1]
        if protocol == _FRAGMENT:
            (word,) = struct.unpack_from(">H", data, start + 2)
            if word >> 3:
                return following, start + 8, True
            start += 8
        elif protocol == _AUTHENTICATION:
            start += (length + 2) * 4
        else:
            start += (length + 1) * 8
        protocol = following
    return protocol, start, False
