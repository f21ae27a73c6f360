"""Sockets that wait for somebody: what /proc/net/tcp and the like say (proc_net_tcp in the
kernel's documentation)."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from netfw.errors import FactError

_LISTEN, _UNCONNECTED = 0x0A, 0x07
"""TCP_LISTEN and TCP_CLOSE (include/net/tcp_states.h); a UDP socket without a peer shows the
latter."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that takes packets for a port (1 to 65535) from anybody.

    ``protocol`` is ``tcp`` or ``udp``. ``is_local`` says that it takes them over the loopback
    alone; ``inode`` is the socket's number, by which its process is found.
    """

    protocol: str
    port: int
    is_local: bool
    inode: int


def parse_listening(text: str, protocol: str) -> tuple[Listener, ...]:
    """Read a file such as /proc/net/tcp6; raises FactError for anything else."""
    wanted = _LISTEN if protocol == "tcp" else _UNCONNECTED
    found = []
    for number, line in enumerate(text.splitlines()[1:], start=2):
        words = line.split()
        try:
            address, _, port = words[1].partition(":")
            peer_port = int(words[2].partition(":")[2], 16)
            state, inode = int(words[3], 16), int(words[9])
            if state == wanted and not peer_port and int(port, 16):
                raw = _bytes_of(address)
                found.append(Listener(protocol, int(port, 16), _is_loopback(raw), inode))
        except (IndexError, ValueError):
            raise FactError.at(f"/proc/net/{protocol}:{number}", "is not understood") from None
    return tuple(found)


def _bytes_of(address: str) -> bytes:
    """The kernel prints each word of 32 bits as a number of this machine."""
    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    return b"".join(word.to_bytes(4, sys.byteorder) for word in words)


def _is_loopback(address: bytes) -> bool:
    if len(address) == 4:
        return address[0] == 127
    if address[:12] == bytes(10) + b"\xff\xff":
        return address[12] == 127
    return address == bytes(15) + b"\x01"
