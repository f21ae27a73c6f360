"""Traffic whose every packet is counted: flows that have to get through, and others that must not.

Packets carry numbers, and whoever receives one notes its number: what is lost or gets through is
known exactly, not by a rate.
"""

from __future__ import annotations

import errno
import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from netfw.host.backlog import Backlog
from netfw.host.namespace import Namespace
from netfw.ir.names import Family

_AF = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_ANY = {Family.IPV4: "0.0.0.0", Family.IPV6: "::"}
_IPV6_CHECKSUM = 7
"""In linux/in6.h: the kernel writes the checksum at this offset of a raw socket's packets."""
_NUMBER = struct.Struct("!Q")
_UDP = struct.Struct("!HHHH")
_FIRST_PORT, _LAST_PORT = 10_000, 60_000
_ROOM = 1 << 23
"""Bytes that a socket may hold: nothing is lost for want of somebody who reads."""
_TICK = 0.001
"""Seconds between two packets of a flow, as far as the machine has the time."""
_PATIENCE = 10.0
_QUIET = 1.0
"""Seconds without any packet after which none comes any more."""
_SO_RCVBUFFORCE = 33


@dataclass
class Tally:
    """What became of a flow: packets (or connections) that were sent, and that got through."""

    name: str
    is_allowed: bool
    sent: int = 0
    came: int = 0

    @property
    def wrong(self) -> int:
        """How many fared otherwise than they have to."""
        return self.sent - self.came if self.is_allowed else self.came

    def __str__(self) -> str:
        what = "lost" if self.is_allowed else "got through"
        return f"{self.name}: {self.wrong} of {self.sent} {what}"


class Flow:
    """One kind of packets on their way."""

    def __init__(self, name: str, *, is_allowed: bool) -> None:
        self.tally = Tally(name, is_allowed)

    def send(self) -> None:
        """Send one more."""
        raise NotImplementedError

    def receive(self) -> int:
        """Note what has come; how many that were."""
        raise NotImplementedError

    def close(self) -> None:
        """Let the sockets go."""


@dataclass
class Seen:
    """The numbers that came, each counted once."""

    numbers: set[int] = field(default_factory=set)

    def take(self, endpoint: socket.socket, echo: bool = False) -> int:
        """Read all that waits."""
        count = 0
        with suppress(BlockingIOError):
            while True:
                try:
                    data, sender = endpoint.recvfrom(64)
                except OSError as error:
                    if error.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EACCES):
                        continue
                    raise
                count += 1
                self.numbers.add(_NUMBER.unpack(data[-_NUMBER.size :])[0])
                if echo:
                    with suppress(PermissionError):
                        endpoint.sendto(data, sender)
        return count


class NewConnections(Flow):
    """UDP packets, each from another port: each of them begins a connection."""

    def __init__(
        self,
        name: str,
        family: Family,
        sender: Namespace,
        receiver: Namespace,
        address: str,
        port: int,
        *,
        is_allowed: bool = True,
        arrives_at: Sequence[int] = (),
    ) -> None:
        super().__init__(f"{name} {family} new udp/{port}", is_allowed=is_allowed)
        self._raw = sender.call(lambda: _raw_socket(family))
        self._to = (address, 0)
        self._port = port
        ports = arrives_at or (port,)
        self._endpoints = [
            receiver.call(lambda port=port: _udp_socket(family, port)) for port in ports
        ]
        self._seen = Seen()
        self._sources = itertools.cycle(range(_FIRST_PORT, _LAST_PORT))

    def send(self) -> None:
        number = _NUMBER.pack(self.tally.sent)
        head = _UDP.pack(next(self._sources), self._port, 8 + len(number), 0)
        with suppress(PermissionError):
            # EPERM: the sender's own firewall dropped it, which is a loss like another
            self._raw.sendto(head + number, self._to)
        self.tally.sent += 1

    def receive(self) -> int:
        count = sum(self._seen.take(endpoint) for endpoint in self._endpoints)
        self.tally.came = len(self._seen.numbers)
        return count

    def close(self) -> None:
        for each in (self._raw, *self._endpoints):
            each.close()


class Conversation(Flow):
    """One UDP connection, whose packets are answered: there and back counts as one."""

    def __init__(
        self,
        name: str,
        family: Family,
        sender: Namespace,
        receiver: Namespace,
        address: str,
        port: int,
    ) -> None:
        super().__init__(f"{name} {family} old udp/{port}", is_allowed=True)
        self._far = receiver.call(lambda: _udp_socket(family, port))
        self._near = sender.call(lambda: _udp_socket(family, 0))
        self._near.connect((address, port))
        self._answers, self._questions = Seen(), Seen()
        self.send()
        until = time.monotonic() + _PATIENCE
        while not self.tally.came:
            assert time.monotonic() < until, f"{self.tally.name} does not begin"
            self.receive()

    def send(self) -> None:
        with suppress(OSError):
            self._near.send(_NUMBER.pack(self.tally.sent))
        self.tally.sent += 1

    def receive(self) -> int:
        count = self._questions.take(self._far, echo=True) + self._answers.take(self._near)
        self.tally.came = len(self._answers.numbers)
        return count

    def close(self) -> None:
        self._near.close()
        self._far.close()


class TcpConversation(Flow):
    """One TCP connection, on which a number goes there and back before the next is sent.

    What is lost is what the kernel had to send again (``total_retrans`` of TCP_INFO), at either
    end; and where the connection breaks, all that comes after.
    """

    def __init__(
        self,
        name: str,
        family: Family,
        sender: Namespace,
        receiver: Namespace,
        address: str,
        port: int,
    ) -> None:
        super().__init__(f"{name} {family} old tcp/{port}", is_allowed=True)
        listening = receiver.call(lambda: _listening(family, port))
        self._near = sender.call(lambda: socket.create_connection((address, port), 10))
        self._far, _ = listening.accept()
        listening.close()
        for each in (self._near, self._far):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._is_under_way = False
        self._rounds = 0
        self._before = self._sent_again()

    def send(self) -> None:
        if self._is_under_way:
            return
        self.tally.sent += 1
        self._is_under_way = True
        self._near.send(_NUMBER.pack(self.tally.sent))

    def receive(self) -> int:
        count = 0
        with suppress(BlockingIOError):
            self._far.send(self._far.recv(64))
            count += 1
        with suppress(BlockingIOError):
            data = self._near.recv(64)
            assert data == _NUMBER.pack(self.tally.sent)
            self._rounds += 1
            self._is_under_way = False
            count += 1
        self.tally.came = self._rounds - (self._sent_again() - self._before)
        return count

    def _sent_again(self) -> int:
        return sum(map(_total_retrans, (self._near, self._far)))

    def close(self) -> None:
        self._near.close()
        self._far.close()


class TcpAttempts(Flow):
    """TCP connections one after the other: begun, and ended as soon as they stand.

    One that stands has got through; but where it may, a first packet that had to be sent again
    counts as lost.
    """

    def __init__(
        self,
        name: str,
        family: Family,
        sender: Namespace,
        receiver: Namespace,
        address: str,
        port: int,
        *,
        is_allowed: bool = True,
    ) -> None:
        super().__init__(f"{name} {family} new tcp/{port}", is_allowed=is_allowed)
        self._sender, self._family, self._to = sender, family, (address, port)
        self._listening = receiver.call(lambda: _listening(family, port))
        self._listening.setblocking(False)
        self._open: list[socket.socket] = []
        self._spare: list[socket.socket] = []
        self._turn = itertools.count()

    def send(self) -> None:
        # what is denied stays open until it is given up
        if next(self._turn) % 10 or len(self._open) > 200:
            return
        if not self._spare:
            self._spare = self._sender.call(lambda: [_tcp_socket(self._family) for _ in range(50)])
        near = self._spare.pop()
        near.connect_ex(self._to)
        self._open.append(near)
        self.tally.sent += 1

    def receive(self) -> int:
        count = 0
        with suppress(BlockingIOError):
            while True:
                far, _ = self._listening.accept()
                far.close()
                count += 1
                if not self.tally.is_allowed:
                    self.tally.came += 1
        for near in [*self._open]:
            state, again = _tcp_info(near)
            if state == _SYN_SENT and (self.tally.is_allowed or again < 2):
                continue
            if self.tally.is_allowed and state != _CLOSED and again == 0:
                self.tally.came += 1
            near.close()
            self._open.remove(near)
            count += state != _SYN_SENT
        return count

    def close(self) -> None:
        for each in (*self._open, *self._spare, self._listening):
            each.close()


_SYN_SENT, _CLOSED = 2, 7
"""TCP_* in include/net/tcp_states.h."""


def _tcp_info(endpoint: socket.socket) -> tuple[int, int]:
    """The state, and how many packets were sent again (struct tcp_info in linux/tcp.h)."""
    info = endpoint.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return info[0], int.from_bytes(info[100:104], "little")


def _total_retrans(endpoint: socket.socket) -> int:
    return _tcp_info(endpoint)[1]


class Traffic:
    """Sends all flows in a thread of its own while the context is open, and waits at its end until
    nothing is on its way any more."""

    def __init__(self, flows: Iterable[Flow]) -> None:
        self.flows = [*flows]
        self._ends = threading.Event()
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._guarded, name="traffic")
        self._backlog = Backlog()

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the context ends
            self._errors.append(error)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ends.is_set():
            for flow in self.flows:
                flow.send()
                flow.receive()
            due = max(due + _TICK, time.monotonic() - 10 * _TICK)
            time.sleep(max(0.0, due - time.monotonic()))
        quiet = time.monotonic()
        while time.monotonic() - quiet < _QUIET or self._backlog.waiting:
            if any([flow.receive() for flow in self.flows]):
                quiet = time.monotonic()
            time.sleep(_TICK)

    def wait_for(self, packets: int = 20, seconds: float = 30.0) -> None:
        """Wait until each flow has sent so many packets more."""
        before = [flow.tally.sent for flow in self.flows]
        until = time.monotonic() + seconds
        while any(
            flow.tally.sent < sent + min(packets, 2 if "new tcp" in flow.tally.name else packets)
            for flow, sent in zip(self.flows, before, strict=True)
        ):
            assert not self._errors, self._errors
            assert time.monotonic() < until, "the traffic has come to a stop"
            time.sleep(_TICK)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()
        if self._errors:
            raise self._errors[0]

    @property
    def wrong(self) -> list[str]:
        """What fared otherwise than it has to; to be asked at the end."""
        if self._backlog.lost:
            return [self._backlog.lost]
        return [str(flow.tally) for flow in self.flows if flow.tally.wrong]

    @property
    def lost(self) -> tuple[int, int]:
        """Of what has to get through: how many were lost, and how many there were."""
        return _sum(flow.tally for flow in self.flows if flow.tally.is_allowed)

    @property
    def leaked(self) -> tuple[int, int]:
        """Of what must not get through: how many did, and how many there were."""
        return _sum(flow.tally for flow in self.flows if not flow.tally.is_allowed)


def _sum(tallies: Iterable[Tally]) -> tuple[int, int]:
    those = [*tallies]
    return sum(one.wrong for one in those), sum(one.sent for one in those)


def _raw_socket(family: Family) -> socket.socket:
    made = socket.socket(_AF[family], socket.SOCK_RAW, socket.IPPROTO_UDP)
    if family is Family.IPV6:
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, 6)
    # it would get a copy of every UDP packet that comes
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 0)
    return made


def _udp_socket(family: Family, port: int) -> socket.socket:
    made = _bound(family, socket.SOCK_DGRAM, port)
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
    made.setblocking(False)
    return made


def _tcp_socket(family: Family) -> socket.socket:
    made = socket.socket(_AF[family], socket.SOCK_STREAM)
    made.setblocking(False)
    return made


def _listening(family: Family, port: int) -> socket.socket:
    made = _bound(family, socket.SOCK_STREAM, port)
    made.listen(512)
    return made


def _bound(family: Family, kind: socket.SocketKind, port: int) -> socket.socket:
    made = socket.socket(_AF[family], kind)
    if family is Family.IPV6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((_ANY[family], port))
    return made
