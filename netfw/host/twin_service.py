"""A TCP service in a twin, where its host has one: what it answers is the kernel's alone."""

from __future__ import annotations

import socket

from netfw.host.twin import Twin
from netfw.ir.names import Family

_AF = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_ANY = {Family.IPV4: "0.0.0.0", Family.IPV6: "::"}


class TwinService:
    """Listens at a port of all addresses; raises OSError where that cannot be."""

    def __init__(self, twin: Twin, family: Family, port: int) -> None:
        def make() -> socket.socket:
            return socket.socket(_AF[family], socket.SOCK_STREAM)

        self._socket = twin.namespace.call(make)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((_ANY[family], port))
            self._socket.listen(8)
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
