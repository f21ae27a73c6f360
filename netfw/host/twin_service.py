"""A service in a twin, where its host has one: what is answered is the kernel's way alone."""

from __future__ import annotations

import contextlib
import socket

from netfw.host.twin import Twin
from netfw.ir.names import Family
from netfw.ir.protocols import TCP

_AF = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_ANY = {Family.IPV4: "0.0.0.0", Family.IPV6: "::"}


class TwinService:
    """Listens at a port of TCP or UDP, on all addresses; raises OSError where that cannot be."""

    def __init__(self, twin: Twin, family: Family, protocol: int, port: int) -> None:
        kind = socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM

        def make() -> socket.socket:
            return socket.socket(_AF[family], kind)

        self._socket = twin.namespace.call(make)
        self._is_tcp = protocol == TCP
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((_ANY[family], port))
            if self._is_tcp:
                self._socket.listen(8)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)

    def answer(self) -> None:
        """Answer what has come; to a connection of TCP the kernel answers by itself."""
        while not self._is_tcp:
            try:
                _, sender = self._socket.recvfrom(65536)
            except BlockingIOError:
                return
            with contextlib.suppress(OSError):
                # no route, or a rule of OUTPUT: then nothing is answered
                self._socket.sendto(b"!", sender)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
