"""A pcapng file whose packets carry comments, for Wireshark.

Source: draft-ietf-opsawg-pcapng, sections 4.1 (section header), 4.2 (interface description) and
4.3 (enhanced packet), option opt_comment of section 3.5. Packets begin with their IP header.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from netfw.errors import HostError

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_LINKTYPE_RAW = 101
_COMMENT, _NAME, _END = 1, 2, 0
_MOST_COMMENT = 65_000
"""Bytes; the length of an option has 16 bits."""


class PacketComments:
    """Writes such a file; a context manager. Raises HostError where it cannot be written."""

    def __init__(self, name: str) -> None:
        self._name = name
        try:
            self._file: BinaryIO = Path(name).open("wb")  # noqa: SIM115 - closed by close
        except OSError as error:
            raise HostError.at(name, f"cannot be written: {error.strerror}") from None
        # the length of the section is not known
        self._write(_SECTION, struct.pack("=IHHq", _BYTE_ORDER, 1, 0, -1))
        description = struct.pack("=HHI", _LINKTYPE_RAW, 0, 0)
        self._write(_INTERFACE, description + _option(_NAME, b"netfw trace") + _option(_END, b""))

    def add(self, data: bytes, length: int, time: float, comment: str) -> None:
        """Add a packet: its first bytes, its whole length, and when it was seen (seconds since
        1970)."""
        microseconds = int(time * 1_000_000)
        head = struct.pack(
            "=IIIII",
            0,
            microseconds >> 32,
            microseconds & 0xFFFFFFFF,
            len(data),
            max(length, len(data)),
        )
        text = comment.encode()[:_MOST_COMMENT]
        options = _option(_COMMENT, text) + _option(_END, b"")
        self._write(_PACKET, head + _padded(data) + options)

    def _write(self, kind: int, body: bytes) -> None:
        length = struct.pack("=I", len(body) + 12)
        try:
            self._file.write(struct.pack("=I", kind) + length + body + length)
        except OSError as error:
            raise HostError.at(self._name, f"cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Bring what was written into the file."""
        try:
            self._file.close()
        except OSError as error:
            raise HostError.at(self._name, f"cannot be written: {error.strerror}") from None

    def __enter__(self) -> PacketComments:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _option(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", kind, len(value)) + _padded(value)
