"""Sockets of a namespace with their marks, and the programs that hold them."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from netfw.doctor.observed import Link, NotRead, Socket
from netfw.facts.socket_dump import DumpedSocket, parse_socket
from netfw.host.live_namespace import LiveNamespace
from netfw.host.netlink import DUMP, MESSAGE_DONE, MESSAGE_ERROR, link_message, split

_SOCK_DIAG, _BY_FAMILY = 4, 20
"""NETLINK_SOCK_DIAG and SOCK_DIAG_BY_FAMILY in linux/sock_diag.h."""
_PROTOCOLS = {
    "tcp": socket.IPPROTO_TCP,
    "udp": socket.IPPROTO_UDP,
    "raw": socket.IPPROTO_RAW,
}
_ALL_STATES = 0xFFFFFFFF
_MAY_MARK = 1 << 12 | 1 << 13
"""CAP_NET_ADMIN, and CAP_NET_RAW since Linux 5.17 (sk_setsockopt in net/core/sock.c)."""
_PATIENCE = 10.0


class Programs:
    """The processes that hold sockets of a namespace.

    Those in the namespace are looked at first. A program may hold sockets of other namespaces
    than its own: all others are looked at where it is worth it.
    """

    def __init__(self, namespace: LiveNamespace) -> None:
        wanted = os.fstat(namespace.descriptor).st_ino
        self._by_inode: dict[int, int] = {}
        self._others: list[int] = []
        self._names: dict[int, str] = {}
        self._may_mark: dict[int, bool | None] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                is_inside = os.stat(entry / "ns" / "net").st_ino == wanted
            except OSError:
                # it has ended, or is somebody else's
                continue
            if is_inside:
                self._look_at(int(entry.name))
            else:
                self._others.append(int(entry.name))

    def _look_at(self, process: int) -> None:
        folder = f"/proc/{process}/fd"
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(folder):
                with contextlib.suppress(OSError):
                    target = os.readlink(f"{folder}/{descriptor}")
                    if target.startswith("socket:["):
                        self._by_inode.setdefault(int(target[8:-1]), process)

    def owner_of(self, inode: int, *, everywhere: bool = False) -> tuple[str, bool | None]:
        """The program of a socket, and whether it may give sockets a mark; empty and None where
        that cannot be seen. ``everywhere``: also in other namespaces."""
        if everywhere and inode and inode not in self._by_inode:
            while self._others:
                self._look_at(self._others.pop())
        process = self._by_inode.get(inode)
        if process is None:
            return "", None
        if process not in self._may_mark:
            self._may_mark[process] = _may_mark(process)
        return self._name_of(process), self._may_mark[process]

    def _name_of(self, process: int) -> str:
        """A process in words, such as ``ping[4711]``."""
        if process not in self._names:
            name = ""
            with contextlib.suppress(OSError):
                comm = Path(f"/proc/{process}/comm").read_text(errors="replace").strip()
                name = f"{comm}[{process}]"
            self._names[process] = name
        return self._names[process]


def _may_mark(process: int) -> bool | None:
    try:
        text = Path(f"/proc/{process}/status").read_text(errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) & _MAY_MARK)
    return None


def read_sockets(
    namespace: LiveNamespace, programs: Programs | None, links: Iterable[Link]
) -> tuple[tuple[Socket, ...], tuple[NotRead, ...]]:
    """All sockets of TCP, UDP and raw, and what of these the kernel does not tell."""
    names = {link.index: link.name for link in links}
    found: list[Socket] = []
    without: list[NotRead] = []
    opened = namespace.call(_open)
    with opened as link:
        for protocol, number in _PROTOCOLS.items():
            try:
                bodies = [body for family in (2, 10) for body in _dump(link, family, number)]
            except FileNotFoundError:
                without.append(NotRead(f"{protocol} sockets", "this kernel does not list them"))
                continue
            for body in bodies:
                one = parse_socket(body)
                if one is not None:
                    found.append(_socket(one, protocol, programs, names))
    return tuple(found), tuple(without)


def _open() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG)
    made.bind((0, 0))
    made.settimeout(_PATIENCE)
    return made


def _dump(link: socket.socket, family: int, protocol: int) -> Iterator[bytes]:
    """All sockets of a protocol. The error of a dump that the kernel cannot give stands in its
    last message: FileNotFoundError where inet_diag lacks the protocol."""
    link.send(_wish(family, protocol))
    while True:
        for kind, body in split(link.recv(1 << 18)):
            if kind in (MESSAGE_DONE, MESSAGE_ERROR):
                (code,) = struct.unpack_from("=i", body) if len(body) >= 4 else (0,)
                if code < 0:
                    raise OSError(-code, os.strerror(-code))
                return
            yield body


def _wish(family: int, protocol: int) -> bytes:
    """inet_diag_req_v2: family, protocol, no extensions, all states, any address."""
    body = bytes([family, protocol, 0, 0]) + _ALL_STATES.to_bytes(4, "little") + bytes(48)
    return link_message(_BY_FAMILY, DUMP, body)


def _socket(
    one: DumpedSocket, protocol: str, programs: Programs | None, names: dict[int, str]
) -> Socket:
    owner, may_mark = (
        ("", None) if programs is None else programs.owner_of(one.inode, everywhere=bool(one.mark))
    )
    interface = names.get(one.interface, "")
    return Socket(
        protocol,
        one.family,
        one.local,
        one.remote,
        one.state,
        one.mark,
        interface,
        owner,
        may_mark,
    )
