"""Addresses as text and as numbers.

The usual spellings are read and written here, ten times faster than by ``ipaddress``; that module
has the last word on whatever is not plain, and words the refusal. Tests compare the two.
"""

from __future__ import annotations

import ipaddress

from netfw.ir.names import Family

_OCTETS = {str(number): number for number in range(256)}
_HEX_AND_COLON = frozenset("0123456789abcdefABCDEF:")
_SHIFTS = (112, 96, 80, 64, 48, 32, 16, 0)
_HIGH_SHIFTS = _SHIFTS[:4]
_LOW_HALF = (1 << 64) - 1
_ZERO_RUNS = tuple(":" + "0:" * length for length in range(8, 1, -1))


def parse_address(text: str) -> tuple[Family, int]:
    """Read a single address; raises ValueError with a sentence that a user can read."""
    if ":" in text:
        number = _parse_ipv6(text)
        if number is not None:
            return Family.IPV6, number
    else:
        number = _parse_ipv4(text)
        if number is not None:
            return Family.IPV4, number
    address = ipaddress.ip_address(text)
    return Family(address.version), int(address)


def format_address(family: Family, address: int) -> str:
    """An address as text, IPv6 compressed as inet_ntop does."""
    if family is Family.IPV4:
        return _format_ipv4(address)
    tail = address & 0xFFFFFFFF
    # inet_ntop(3) writes IPv4-mapped and IPv4-compatible addresses with a dotted tail; of the
    # latter only those where no more than six groups of zeros come first
    if address >> 32 == 0xFFFF:
        return f"::ffff:{_format_ipv4(tail)}"
    if address >> 32 == 0 and tail >> 16:
        return f"::{_format_ipv4(tail)}"
    return _format_ipv6(address)


def _parse_ipv4(text: str) -> int | None:
    try:
        first, second, third, fourth = text.split(".")
        return _OCTETS[first] << 24 | _OCTETS[second] << 16 | _OCTETS[third] << 8 | _OCTETS[fourth]
    except (ValueError, KeyError):
        return None


def _parse_ipv6(text: str) -> int | None:
    # int() takes signs, blanks and underscores, too
    if not _HEX_AND_COLON.issuperset(text):
        return None
    head, gap, tail = text.partition("::")
    before = head.split(":") if head else []
    behind = tail.split(":") if tail else []
    missing = 8 - len(before) - len(behind)
    if missing < 1 if gap else missing:
        return None
    number = 0
    for group in before:
        if not 1 <= len(group) <= 4:
            return None
        number = number << 16 | int(group, 16)
    number <<= 16 * missing
    for group in behind:
        if not 1 <= len(group) <= 4:
            return None
        number = number << 16 | int(group, 16)
    return number


def _format_ipv4(address: int) -> str:
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def _format_ipv6(address: int) -> str:
    """The longest run of two or more groups of zeros, the first of equals, becomes ``::``
    (RFC 5952, section 4.2)."""
    if not address & _LOW_HALF and address:
        # most networks: the last four groups and zeros before them are the longest run
        groups = ":".join([f"{address >> shift & 0xFFFF:x}" for shift in _HIGH_SHIFTS])
        while groups.endswith(":0"):
            groups = groups[:-2]
        return f"{groups}::"
    groups = ":".join([f"{address >> shift & 0xFFFF:x}" for shift in _SHIFTS])
    framed = f":{groups}:"
    if ":0:0:" not in framed:
        return groups
    for run in _ZERO_RUNS:
        start = framed.find(run)
        if start >= 0:
            return f"{framed[1:start]}::{framed[start + len(run) : -1]}"
    return groups
