"""The marks of connections, counted while the kernel dumps them.

Source: linux/netfilter/nfnetlink_conntrack.h (CTA_*), as the other numbers. A host may have a
million connections, so that nothing is kept of each but its mark.
"""

from __future__ import annotations

import struct
from collections import Counter

from netfw.ir.names import Family
from netfw.ir.net import format_address

_FAMILIES = {2: Family.IPV4, 10: Family.IPV6}
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ORIGINAL, _STATUS, _MARK = 1, 3, 8
_OFFLOADED = 1 << 14
"""IPS_OFFLOAD in linux/netfilter/nf_conntrack_common.h."""
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
_TYPE = 0x3FFF
_FIRST_ATTRIBUTE = 20


class ConnectionTally:
    """Counts connections by family and mark, and keeps one example of each."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[Family, int]] = Counter()
        self.examples: dict[tuple[Family, int], str] = {}
        self.offloaded = 0

    def add(self, datagram: bytes) -> int | None:
        """Take in what one read of the socket gave. Returns None while more comes, else 0 or the
        number of the error with which the dump ended."""
        unpack, attribute = _HEADER.unpack_from, _ATTRIBUTE.unpack_from
        at, end = 0, len(datagram)
        while at + 16 <= end:
            length, kind, _, _, _ = unpack(datagram, at)
            if length < 16:
                break
            if kind == 3:
                return 0
            if kind == 2:
                (code,) = struct.unpack_from("=i", datagram, at + 16)
                return -int(code)
            stop = at + length
            offset = at + _FIRST_ATTRIBUTE
            mark = 0
            original = (0, 0)
            while offset + 4 <= stop:
                size, name = attribute(datagram, offset)
                name &= _TYPE
                if name == _MARK:
                    mark = int.from_bytes(datagram[offset + 4 : offset + 8], "big")
                elif name == _ORIGINAL:
                    original = offset + 4, offset + size
                elif name == _STATUS:
                    status = int.from_bytes(datagram[offset + 4 : offset + 8], "big")
                    if status & _OFFLOADED:
                        self.offloaded += 1
                if size < 4:
                    break
                offset += (size + 3) & ~3
            family = _FAMILIES.get(datagram[at + 16])
            if family is not None:
                key = family, mark
                if key not in self.counts:
                    self.examples[key] = _in_words(family, datagram[original[0] : original[1]])
                self.counts[key] += 1
            at += (length + 3) & ~3
        return None


def _in_words(family: Family, tuple_: bytes) -> str:
    """CTA_TUPLE_ORIG: addresses (CTA_TUPLE_IP) and ports (CTA_TUPLE_PROTO)."""
    parts = _attributes(tuple_)
    addresses, protocol = _attributes(parts.get(1, b"")), _attributes(parts.get(2, b""))
    first, second = (1, 2) if family is Family.IPV4 else (3, 4)
    source, destination = (
        format_address(family, int.from_bytes(addresses.get(kind, b""), "big"))
        for kind in (first, second)
    )
    number = protocol.get(1, b"\0")[0]
    name = _PROTOCOLS.get(number, f"proto {number}")
    if 3 in protocol:
        ports = [int.from_bytes(protocol.get(kind, b""), "big") for kind in (2, 3)]
        if family is Family.IPV6:
            source, destination = f"[{source}]", f"[{destination}]"
        return f"{name} {source}:{ports[0]} -> {destination}:{ports[1]}"
    return f"{name} {source} -> {destination}"


def _attributes(nested: bytes) -> dict[int, bytes]:
    found, offset = {}, 0
    while offset + 4 <= len(nested):
        size, kind = _ATTRIBUTE.unpack_from(nested, offset)
        if size < 4:
            break
        found[kind & _TYPE] = nested[offset + 4 : offset + size]
        offset += (size + 3) & ~3
    return found
