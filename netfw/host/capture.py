"""Packets out of a capture file, pcap or pcapng, from their IP header on."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netfw.errors import FactError

_ETHERNET, _RAW, _NULL, _LOOP, _SLL, _SLL2 = 1, 101, 0, 108, 113, 276
_RAW_KINDS = frozenset({_RAW, 12, 14, 228, 229})
"""LINKTYPE_* of tcpdump.org: RAW, what BSDs call it, IPV4 and IPV6."""
_SLL_LENGTH, _SLL2_LENGTH = 16, 20
_IP_TYPES = frozenset({0x0800, 0x86DD})
_VLAN_TYPES = frozenset({0x8100, 0x88A8, 0x9100})
_ETHERTYPES = {
    0x0806: "ARP",
    0x8035: "RARP",
    0x8847: "MPLS",
    0x8863: "PPPoE discovery",
    0x8864: "PPPoE",
    0x888E: "EAPOL",
    0x88CC: "LLDP",
    0x88F7: "PTP",
}
"""IEEE 802 numbers of what is met on links besides IP."""
_LOWEST_ETHERTYPE = 0x600
"""Smaller numbers are the length of an IEEE 802.3 frame."""
_PCAP_MAGICS = {
    b"\xd4\xc3\xb2\xa1": "<",
    b"\x4d\x3c\xb2\xa1": "<",
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xa1\xb2\x3c\x4d": ">",
}
_PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
_BYTE_ORDER_MAGIC = b"\x4d\x3c\x2b\x1a"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a capture: ``number`` counts from 1, as Wireshark does.

    ``packet`` holds the bytes from the IP header on, or is None where ``what`` says what it is
    instead.
    """

    number: int
    packet: bytes | None
    what: str = ""


def read_capture(name: str) -> Iterator[Frame]:
    """The frames of a file, in order; raises FactError with one clear line.

    What lies before a cut is read first: the error comes where the file ends.
    """
    from scapy.error import Scapy_Exception
    from scapy.utils import RawPcapReader

    try:
        data = Path(name).read_bytes()
    except FileNotFoundError:
        raise FactError.at(name, "there is no such file") from None
    except OSError as error:
        raise FactError.at(name, f"cannot be read: {error.strerror}") from None
    whole = _whole_frames(name, data)
    try:
        with RawPcapReader(name) as reader:
            # the numbers come first, so that no frame behind the last whole one is asked for
            for number, (frame, about) in zip(range(1, whole.count + 1), reader, strict=False):
                kind = getattr(about, "linktype", None)
                yield _frame(number, frame, reader.linktype if kind is None else kind)
    except (Scapy_Exception, EOFError, struct.error) as error:
        said = str(error).splitlines()[0] if str(error) else "it is cut off"
        raise FactError.at(name, f"is no capture that can be read: {said}") from None
    if whole.problem:
        raise FactError.at(name, whole.problem, "the file seems to be cut off: copy it again")


@dataclass(frozen=True, slots=True)
class _Whole:
    """How many frames a file holds completely, and what is wrong behind them."""

    count: int
    problem: str


def _whole_frames(name: str, data: bytes) -> _Whole:
    """scapy ends a file that is cut off as if it were whole: so the records are counted first."""
    if not data:
        raise FactError.at(name, "the file is empty")
    if data[:4] in _PCAP_MAGICS:
        return _whole_records(data, _PCAP_MAGICS[data[:4]])
    if data[:4] == _PCAPNG_MAGIC:
        return _whole_blocks(data)
    raise FactError.at(
        name, "is neither pcap nor pcapng", "captures are made by 'tcpdump -w FILE' or Wireshark"
    )


def _whole_records(data: bytes, order: str) -> _Whole:
    offset, count = 24, 0
    if len(data) < offset:
        return _Whole(0, "the file's header is cut off")
    while offset < len(data):
        if offset + 16 > len(data):
            return _Whole(count, f"frame {count + 1} is cut off")
        (length,) = struct.unpack_from(f"{order}I", data, offset + 8)
        offset += 16 + length
        if offset > len(data):
            return _Whole(count, f"frame {count + 1} is cut off")
        count += 1
    return _Whole(count, "")


def _whole_blocks(data: bytes) -> _Whole:
    offset = count = 0
    order = "<"
    while offset < len(data):
        if data[offset : offset + 4] == _PCAPNG_MAGIC:
            order = ">" if data[offset + 8 : offset + 12] == _BYTE_ORDER_MAGIC[::-1] else "<"
        if offset + 12 > len(data):
            return _Whole(count, f"the block behind frame {count} is cut off")
        kind, length = struct.unpack_from(f"{order}II", data, offset)
        if length < 12 or offset + length > len(data):
            return _Whole(count, f"the block behind frame {count} is cut off")
        # simple, enhanced, and the obsolete packet blocks
        count += kind in (2, 3, 6)
        offset += length
    return _Whole(count, "")


def _frame(number: int, data: bytes, kind: int) -> Frame:
    """Take off the header of the link."""
    if kind in _RAW_KINDS:
        return _ip(number, data)
    if kind in (_NULL, _LOOP):
        return _ip(number, data[4:])
    if kind == _SLL and len(data) >= _SLL_LENGTH:
        return _typed(number, data, 14)
    if kind == _SLL2 and len(data) >= _SLL2_LENGTH:
        (protocol,) = struct.unpack_from(">H", data)
        return _of_type(number, protocol, data[_SLL2_LENGTH:])
    if kind == _ETHERNET and len(data) >= 14:
        return _typed(number, data, 12)
    if kind in (_SLL, _SLL2, _ETHERNET):
        return Frame(number, None, "frame that is too short")
    return Frame(number, None, f"frame of link type {kind}")


def _typed(number: int, data: bytes, offset: int) -> Frame:
    """A frame whose ethertype stands at an offset, perhaps behind VLAN tags."""
    (protocol,) = struct.unpack_from(">H", data, offset)
    offset += 2
    while protocol in _VLAN_TYPES and len(data) >= offset + 4:
        (protocol,) = struct.unpack_from(">H", data, offset + 2)
        offset += 4
    return _of_type(number, protocol, data[offset:])


def _of_type(number: int, protocol: int, data: bytes) -> Frame:
    if protocol in _IP_TYPES:
        return _ip(number, data)
    if protocol < _LOWEST_ETHERTYPE:
        return Frame(number, None, "IEEE 802.3")
    return Frame(number, None, _ETHERTYPES.get(protocol, f"ethertype {protocol:#06x}"))


def _ip(number: int, data: bytes) -> Frame:
    version = data[0] >> 4 if data else 0
    if version not in (4, 6):
        return Frame(number, None, "frame without an IP header")
    return Frame(number, data)
