"""Addresses are read and written as the standard library and the C library do."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from netfw.ir.address import format_address, parse_address
from netfw.ir.names import Family

FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
# zeros are what compression is about
group = st.sampled_from([0, 0, 0, 1, 0xFFFF]) | st.integers(0, 0xFFFF)


@given(st.integers(0, 0xFFFFFFFF))
def test_ipv4_is_written_and_read_as_by_the_c_library(number: int) -> None:
    text = socket.inet_ntop(socket.AF_INET, number.to_bytes(4, "big"))
    assert format_address(Family.IPV4, number) == text
    assert parse_address(text) == (Family.IPV4, number)


@given(st.lists(group, min_size=8, max_size=8))
@example([0] * 8)
@example([0] * 7 + [1])
@example([0] * 6 + [1, 2])
@example([0] * 5 + [0xFFFF, 1, 2])
@example([1, 0, 0, 2, 0, 0, 0, 3])
@example([1, 0, 0, 2, 0, 0, 3, 4])
def test_ipv6_is_written_and_read_as_by_the_c_library(groups: list[int]) -> None:
    data = b"".join(number.to_bytes(2, "big") for number in groups)
    number = int.from_bytes(data, "big")
    text = socket.inet_ntop(socket.AF_INET6, data)
    assert format_address(Family.IPV6, number) == text
    for spelling in (text, text.upper(), ":".join(f"{each:04x}" for each in groups)):
        assert parse_address(spelling) == (Family.IPV6, number)


@given(st.text("0123456789abcdefABCDEFg:.%/+_ -\u0663", max_size=20))
@example("01.2.3.4")
@example("1.2.3")
@example("1.2.3.256")
@example("1:2:3:4:5:6:7::8")
@example("1::2::3")
@example(":::")
@example("::1_0")
@example("::+1")
@example("::1.2.3.4")
@example("fe80::1%eth0")
def test_what_is_no_address_is_refused_as_by_the_standard_library(text: str) -> None:
    def by_standard_library(text: str) -> tuple[Family, int]:
        address = ipaddress.ip_address(text)
        return Family(address.version), int(address)

    assert outcome(parse_address, text) == outcome(by_standard_library, text)


def outcome(read: Callable[[str], tuple[Family, int]], text: str) -> tuple[Family, int] | str:
    try:
        return read(text)
    except ValueError as error:
        return str(error)
