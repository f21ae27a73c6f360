"""The parsers of what doctor reads: small pieces of what kernels and programs say."""

from __future__ import annotations

import struct

import pytest

from netfw.errors import FactError
from netfw.facts.connection_dump import ConnectionTally
from netfw.facts.extension_marks import decode_extension
from netfw.facts.marked_sets import parse_marked_sets
from netfw.facts.nft_tables import parse_nft_table
from netfw.facts.queue_readers import parse_netlink_sockets, parse_queue_readers
from netfw.facts.socket_dump import parse_socket
from netfw.ir.mark import MaskedWord
from netfw.ir.match import ConnmarkMatch, MarkMatch
from netfw.ir.names import Family
from netfw.ir.target import RestoreMark, SaveMark, SetConnmark, SetMark


def _attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


def _message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def _connection(family: int, mark: int | None) -> bytes:
    client, server = b"\x0a\0\0\x01", b"\x0a\0\0\x02"
    ports = _attribute(1, b"\x11") + _attribute(2, b"\0\x35") + _attribute(3, b"\x10\0")
    original = _attribute(1, _attribute(1, client) + _attribute(2, server)) + _attribute(2, ports)
    body = bytes([family, 0, 0, 0]) + _attribute(1, original)
    if mark is not None:
        body += _attribute(8, mark.to_bytes(4, "big"))
    return _message(0x100, body)


def test_connections_are_counted_by_mark_until_the_dump_is_done() -> None:
    tally = ConnectionTally()
    assert tally.add(_connection(2, 7) + _connection(2, None)) is None
    assert tally.add(_connection(2, 7) + _message(3, bytes(4))) == 0
    assert tally.counts == {(Family.IPV4, 7): 2, (Family.IPV4, 0): 1}
    assert tally.examples[Family.IPV4, 7] == "udp 10.0.0.1:53 -> 10.0.0.2:4096"


def test_an_error_of_the_dump_is_handed_on() -> None:
    assert ConnectionTally().add(_message(2, struct.pack("=i", -1))) == 1


def test_a_dump_that_is_cut_off_ends() -> None:
    tally = ConnectionTally()
    assert tally.add(_connection(2, 7)[:-3]) is None
    assert tally.add(bytes(16)) is None


def test_a_socket_with_a_mark() -> None:
    head = bytes([2, 10, 0, 0]) + struct.pack(">HH", 443, 0)
    addresses = b"\xc0\0\x02\x01" + bytes(12) + bytes(16)
    rest = struct.pack("=I", 3) + bytes(8) + struct.pack("=IIIII", 0, 0, 0, 1000, 4711)
    found = parse_socket(head + addresses + rest + _attribute(15, struct.pack("=I", 0x80000)))
    assert found is not None
    assert (found.state, found.local, found.remote) == ("LISTEN", "192.0.2.1:443", "*:*")
    assert (found.interface, found.uid, found.inode, found.mark) == (3, 1000, 4711, 0x80000)


def test_a_socket_of_another_family_is_left_out() -> None:
    assert parse_socket(bytes([1]) + bytes(71)) is None


def test_sets_with_marks_are_told_from_those_without() -> None:
    text = (
        "create plain hash:ip family inet\nadd plain 10.0.0.1\n"
        "create by hash:net family inet skbinfo\n"
        "add by 10.0.0.0/8 skbmark 0x10/0xf0\nadd by 11.0.0.0/8 skbmark 0x5\n"
        "add by 12.0.0.0/8 skbmark 0x10/0xf0\ncreate none hash:ip skbinfo\n"
    )
    by, none = parse_marked_sets(text)
    assert (by.name, by.kind) == ("by", "hash:net")
    assert by.marks == (MaskedWord(0x10, 0xF0), MaskedWord(0x5, 0xFFFFFFFF))
    assert none.marks == ()


def test_queues_and_the_sockets_that_read_them() -> None:
    assert parse_queue_readers("    7   4711     0 2 65531     0     0        0  1\n") == (
        (7, 4711),
    )
    listing = "sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode\nffff 12 4711 0 0 0 0 2 0 99\n"
    assert parse_netlink_sockets(listing, 12) == {4711: 99}
    with pytest.raises(FactError, match="not understood"):
        parse_queue_readers("what is this")


def test_what_is_no_json_of_nft_is_one_line() -> None:
    with pytest.raises(FactError, match="not understood"):
        parse_nft_table("[]", "")


@pytest.mark.parametrize(
    ("name", "revision", "info", "expected"),
    [
        ("MARK", 2, struct.pack("=II", 1, 0xFF), SetMark(MaskedWord(1, 0xFF))),
        ("CONNMARK", 1, struct.pack("=IIIB", 5, 7, 0, 0), SetConnmark(MaskedWord(5, 7))),
        ("CONNMARK", 2, struct.pack("=IIIBBB", 0, 0xF, 0xF0, 0, 0, 1), SaveMark(0xF0, 0xF)),
        ("CONNMARK", 1, struct.pack("=IIIB", 0, 0xF, 0xF0, 2), RestoreMark(0xF0, 0xF)),
        ("CONNMARK", 2, struct.pack("=IIIBBB", 0, 0xF, 0xF0, 0, 4, 1), None),
        ("mark", 0, struct.pack("@Li", 5, -0x30 | 0xF), SetMark(MaskedWord(0, 0xFFFFFFFA))),
        ("MARK", 2, b"short", None),
        ("TEE", 1, bytes(64), None),
    ],
    ids=str,
)
def test_targets_as_the_kernel_keeps_them(
    name: str, revision: int, info: bytes, expected: object
) -> None:
    assert decode_extension(True, name, revision, info) == expected


@pytest.mark.parametrize(
    ("name", "revision", "info", "expected"),
    [
        ("mark", 1, struct.pack("=IIB", 1, 3, 1), MarkMatch(MaskedWord(1, 3), True)),
        ("connmark", 1, struct.pack("=IIB", 1, 3, 0), ConnmarkMatch(MaskedWord(1, 3))),
        ("mark_m", 0, struct.pack("@LLBB", 4, 0xFF, 0, 1), MarkMatch(MaskedWord(4, 0xFF))),
        ("mark_m", 0, struct.pack("@LLBB", 0, 3, 0, 2), MarkMatch(MaskedWord(0, 3), True)),
    ],
    ids=str,
)
def test_matches_as_the_kernel_keeps_them(
    name: str, revision: int, info: bytes, expected: object
) -> None:
    assert decode_extension(False, name, revision, info) == expected
