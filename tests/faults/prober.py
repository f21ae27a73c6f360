"""Packets that arrive all the time at a host, and how many of them get through."""

from __future__ import annotations

import functools
import socket
import threading
from collections import Counter

from netfw.host.namespace import Namespace
from tests.faults.policies import ALLOWED, DENIED

_PAUSE = 0.004
"""Seconds between two rounds of eight packets: programs that write rules take longer to start."""
_SOURCE_PORTS = range(40000, 40016)
_MAC = "02:00:00:00:00:01"


class Prober:
    """Sends to this host and through it, of both families, what both policies allow and what both
    deny; a context manager. ``counts`` are what got through, by port."""

    def __init__(self, host: Namespace, world: Namespace) -> None:
        self.sent = 0
        self.counts: Counter[int] = Counter()
        self._frames = _frames()
        self._out = world.call(lambda: _packet_socket("eth0", 0))
        self._through = world.call(lambda: _packet_socket("eth1", 3))
        self._to_host = {
            port: host.call(functools.partial(_receiver, port)) for port in (ALLOWED, DENIED)
        }
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prober")

    def _run(self) -> None:
        number = 0
        while not self._end.wait(_PAUSE):
            for frame in self._frames[number % len(self._frames)]:
                self._out.send(frame)
                self.sent += 1
            number += 1
            self._drain()
        self._drain()

    def _drain(self) -> None:
        for port, receiver in self._to_host.items():
            while _read(receiver):
                self.counts[port] += 1
        while frame := _read(self._through):
            port = _udp_port(frame)
            if port in self._to_host:
                self.counts[port] += 1

    @property
    def leaked(self) -> int:
        """How many got through that both policies deny."""
        return self.counts[DENIED]

    @property
    def passed(self) -> int:
        """How many got through that both policies allow."""
        return self.counts[ALLOWED]

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        for each in (self._out, self._through, *self._to_host.values()):
            each.close()


def _frames() -> list[list[bytes]]:
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    return [
        [
            bytes(
                Ether(dst=_MAC, src="02:00:00:00:00:02")
                / ip
                / UDP(sport=source, dport=port)
                / b"probe"
            )
            for port in (ALLOWED, DENIED)
            for ip in (
                IP(src="192.0.2.77", dst="192.0.2.10"),
                IP(src="192.0.2.77", dst="10.0.0.7"),
                IPv6(src="2001:db8::77", dst="2001:db8::10"),
                IPv6(src="2001:db8::77", dst="fd00::7"),
            )
        ]
        for source in _SOURCE_PORTS
    ]


def _packet_socket(interface: str, protocol: int) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    made.bind((interface, protocol))
    made.setblocking(False)
    return made


def _receiver(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    made.bind(("::", port))
    made.setblocking(False)
    return made


def _read(receiver: socket.socket) -> bytes:
    """A packet, empty where none is there (every probe says something)."""
    try:
        return receiver.recv(256)
    except BlockingIOError:
        return b""


def _udp_port(frame: bytes) -> int:
    """The port that a UDP packet goes to, 0 for anything else."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == socket.IPPROTO_UDP:
        return int.from_bytes(frame[36:38])
    if kind == b"\x86\xdd" and frame[20] == socket.IPPROTO_UDP:
        return int.from_bytes(frame[56:58])
    return 0
