"""A TCP connection through a twin: a real client outside of it, a real server inside."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass

from netfw.errors import HostError
from netfw.host.live_facts import read_facts
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.host.twin import Twin
from netfw.host.twin_settings import write_settings
from netfw.ir.names import Family
from netfw.ir.net import parse_address
from netfw.traverse.host_facts import LOOPBACK
from netfw.traverse.routing_tables import Asked, RouteKind
from netfw.traverse.traversal import Stop

_AF = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_PATIENCE = 3.0
"""Seconds: the kernel sends again what is lost after a fifth of one, and a SYN after one."""
_IPV6_V6ONLY = 26
_LINK_LOCAL = "fe80:"


@dataclass(frozen=True, slots=True)
class TcpEnds:
    """A connection to this host, as SSH_CONNECTION tells it: addresses as text, a link-local one
    without its interface, which is ``link`` then."""

    family: Family
    client: str
    client_port: int
    server: str
    server_port: int
    link: str = ""

    def __str__(self) -> str:
        return f"{self.client} port {self.client_port} to {self.server} port {self.server_port}"


class TwinConnection:
    """The connection's way through a twin; a context manager.

    Each method says what is wrong, in words, and nothing where all is well.
    """

    def __init__(self, twin: Twin, ends: TcpEnds) -> None:
        self._twin, self._ends = twin, ends
        self._stack = ExitStack()
        self._client: socket.socket | None = None
        self._server: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._where: Namespace = twin.outside
        self.interface = ""
        """The interface by which this host reaches the client, once ``open`` has found it."""

    def __enter__(self) -> TwinConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def open(self) -> str:
        """Begin the connection, from the client's port to the server's."""
        problem = self._find_way() or self._set_up_client() or self._listen()
        if problem:
            return problem
        client, problem = self._connect(self._ends.client_port)
        if client is None:
            return problem
        assert self._listener is not None
        try:
            self._server = self._keep(self._listener.accept()[0])
        except TimeoutError:
            return "the server does not hear of it"
        self._server.settimeout(_PATIENCE)
        self._client = client
        return ""

    def ask(self) -> str:
        """Send something each way over the connection that is open."""
        if self._client is None or self._server is None:
            return "it was never open"
        for sender, receiver, what in (
            (self._client, self._server, "what the client sends does not arrive"),
            (self._server, self._client, "what the server answers does not arrive"),
        ):
            try:
                sender.sendall(b"?")
                if receiver.recv(1) != b"?":
                    return "it was closed"
            except TimeoutError:
                return what
            except OSError as error:
                return f"it was closed: {error.strerror}"
        return ""

    def begin_another(self) -> str:
        """Begin a connection to the same port from another port of the client."""
        if self._listener is None:
            return "nothing listens there"
        client, problem = self._connect(0)
        if client is not None:
            client.close()
        return problem

    def _find_way(self) -> str:
        ends = self._ends
        if ends.link:
            self.interface = ends.link
            return "" if ends.link in self._twin.cables else f"there is no cable at {ends.link}"
        facts = read_facts(self._twin.view, ends.family)
        source, destination = (parse_address(text)[1] for text in (ends.server, ends.client))
        try:
            route = facts.tables.find(Asked(ends.family, source, destination, "", 0))
        except Stop as stop:
            return f"the way to {ends.client} is not known: {stop.detail}"
        if route is not None and route.kind is RouteKind.LOCAL:
            # somebody on this host itself
            self.interface, self._where = LOOPBACK, self._twin.namespace
            return ""
        if route is None or route.kind is not RouteKind.UNICAST:
            return f"this host has no route to {ends.client}"
        self.interface = route.interface
        if route.interface not in self._twin.cables:
            return f"there is no cable at {route.interface}"
        return ""

    def _set_up_client(self) -> str:
        """Give the far end the client's address, and the way to the server."""
        ends = self._ends
        if self._where is not self._twin.outside:
            return ""
        far = self._twin.cables[self.interface].far_interface
        if ends.family is Family.IPV6:
            names = ("addr_gen_mode", "disable_ipv6")
            wanted = dict(zip(names, ("1", "0"), strict=True))
            paths = {f"net/ipv6/conf/{far}/{name}": value for name, value in wanted.items()}
            write_settings(self._where, paths)
        bits = ends.family.bits
        nodad = ["nodad"] if ends.family is Family.IPV6 else []
        ip = ["ip", f"-{ends.family.value}"]
        try:
            run(
                [*ip, "address", "add", f"{ends.client}/{bits}", "dev", far, *nodad],
                namespace=self._where,
            )
            run(
                [*ip, "route", "replace", f"{ends.server}/{bits}", "dev", far],
                namespace=self._where,
            )
        except HostError as error:
            return "; ".join(fault.problem for fault in error.faults)
        return ""

    def _listen(self) -> str:
        ends = self._ends
        made = self._socket(self._twin.namespace)
        self._listener = made
        try:
            made.bind(self._address(ends.server, ends.server_port, self._twin.namespace))
        except OSError as error:
            self._listener = None
            return f"{ends.server} is no address of this host ({error.strerror})"
        made.listen(8)
        made.settimeout(_PATIENCE)
        return ""

    def _connect(self, port: int) -> tuple[socket.socket | None, str]:
        ends = self._ends
        client = self._socket(self._where)
        client.settimeout(_PATIENCE)
        try:
            client.bind(self._address(ends.client, port, self._where))
            client.connect(self._address(ends.server, ends.server_port, self._where))
        except TimeoutError:
            return None, "nobody answers"
        except OSError as error:
            return None, (error.strerror or str(error)).lower()
        return client, ""

    def _address(
        self, text: str, port: int, where: Namespace
    ) -> tuple[str, int] | tuple[str, int, int, int]:
        if not text.startswith(_LINK_LOCAL):
            return text, port
        cable = self._twin.cables[self.interface]
        if where is self._twin.outside:
            index = where.call(lambda: socket.if_nametoindex(cable.far_interface))
        else:
            index = cable.index
        return text, port, 0, index

    def _socket(self, namespace: Namespace) -> socket.socket:
        def make() -> socket.socket:
            return socket.socket(_AF[self._ends.family], socket.SOCK_STREAM)

        made = self._keep(namespace.call(make))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._ends.family is Family.IPV6:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_V6ONLY, 1)
        return made

    def _keep(self, made: socket.socket) -> socket.socket:
        self._stack.callback(made.close)
        return made


def parse_ssh_connection(text: str) -> TcpEnds | None:
    """What sshd puts into SSH_CONNECTION (ssh(1)): client, its port, server, its port; None for
    anything else."""
    words = text.split()
    if len(words) != 4 or not (words[1].isdigit() and words[3].isdigit()):
        return None
    client, _, link = words[0].partition("%")
    server = words[2].partition("%")[0]
    mapped = "::ffff:"
    if client.startswith(mapped) and "." in client:
        client, server = client.removeprefix(mapped), server.removeprefix(mapped)
    try:
        (family, _), (other, _) = parse_address(client), parse_address(server)
    except ValueError:
        return None
    if family is not other:
        return None
    return TcpEnds(family, client, int(words[1]), server, int(words[3]), link)
