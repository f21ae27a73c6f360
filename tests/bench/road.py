"""A road to forward packets along: a sender, a router and a receiver, each a network namespace.

The receiver's interface counts what arrives and throws it away: the router addresses it to a
hardware address that is nobody's, so that nothing behind the counter costs anything or answers.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from netfw.host.namespace import Namespace
from netfw.host.netlink import ask, open_netfilter, request
from netfw.host.network import Network
from netfw.ir.names import Family
from netfw.ir.net import Net

FLOWS = 256
"""Connections that are up at the same time when their later packets are sent."""
DESTINATION = IPv4Address("198.18.2.2")
_SENDER_MAC, _ROUTER_IN, _ROUTER_OUT = "020000000102", "020000000101", "020000000201"
_RECEIVER_MAC, _NOBODY = "020000000202", "02:00:00:00:02:99"
_ETH_P_IP = 0x0800
_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20
_CHUNK = 128
"""Packets a system call; in one such call the time is not looked at."""
_CT_DELETE = 1 << 8 | 2
"""NFNL_SUBSYS_CTNETLINK and IPCTNL_MSG_CT_DELETE: without attributes it deletes all."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What a burst came to: packets that reached the router's IP layer, packets that reached the
    receiver, seconds of the clock and of the CPU that sent and forwarded them."""

    judged: int
    arrived: int
    seconds: float
    cpu: float


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr of sendmmsg(2)."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.POINTER(_IoVec)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint),
    )


class Frames:
    """UDP packets in Ethernet frames, ready for sendmmsg(2)."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        self.count = len(frames)
        self._data = ctypes.create_string_buffer(b"".join(frames))
        length = len(frames[0])
        base = ctypes.addressof(self._data)
        self._vectors = (_IoVec * self.count)(
            *((base + n * length, length) for n in range(self.count))
        )
        self._messages = (_Message * self.count)()
        for number, message in enumerate(self._messages):
            message.vectors = ctypes.pointer(self._vectors[number])
            message.vector_count = 1

    def at(self, number: int) -> ctypes.c_void_p:
        """Where the message with this number lies."""
        offset = number * ctypes.sizeof(_Message)
        return ctypes.c_void_p(ctypes.addressof(self._messages) + offset)


def frames(network: IPv4Network, port: int, count: int, *, reply: bool = False) -> Frames:
    """Packets from different addresses and ports of a /24 to a port, or the replies to them.

    No two of them belong to one connection, up to 250 x 64,000 of them.
    """
    head = bytes.fromhex(_ROUTER_OUT + _RECEIVER_MAC if reply else _ROUTER_IN + _SENDER_MAC)
    heads = []
    for host in range(1, 251):
        near = network.network_address + host
        pair = (DESTINATION, near) if reply else (near, DESTINATION)
        heads.append(head + struct.pack(">H", _ETH_P_IP) + _ip_header(*pair))
    made = []
    for number in range(count):
        own = 1024 + number // 250
        ports = (port, own) if reply else (own, port)
        made.append(heads[number % 250] + struct.pack(">HHHH", *ports, 26, 0) + bytes(18))
    return Frames(made)


def _ip_header(source: IPv4Address, destination: IPv4Address) -> bytes:
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 46, 0, 0, 64, 17, 0, source.packed, destination.packed
    )
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:]


class Road:
    """Three namespaces with cables between them; a context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        try:
            self._set_up()
        except BaseException:
            self._stack.close()
            raise

    def _set_up(self) -> None:
        enter = self._stack.enter_context
        self._sender, self.router = enter(Namespace("sender")), enter(Namespace("router"))
        self._receiver = enter(Namespace("receiver"))
        with (
            Network(self._sender) as sender,
            Network(self.router) as router,
            Network(self._receiver) as receiver,
        ):
            for network in (sender, router, receiver):
                network.set_sysctl("net.ipv6.conf.all.disable_ipv6", 1)
                network.set_sysctl("net.ipv6.conf.default.disable_ipv6", 1)
                network.set_sysctl("net.ipv4.conf.all.rp_filter", 0)
                network.set_sysctl("net.ipv4.conf.default.rp_filter", 0)
            router.set_sysctl("net.ipv4.ip_forward", 1)
            router.add_cable("eth0", _colons(_ROUTER_IN), sender, "far", _colons(_SENDER_MAC))
            router.add_cable("eth1", _colons(_ROUTER_OUT), receiver, "far", _colons(_RECEIVER_MAC))
            for network, interface in (
                (sender, "far"),
                (receiver, "far"),
                (router, "eth0"),
                (router, "eth1"),
            ):
                network.bring_up(interface)
            back, on = IPv4Address("198.18.1.2"), DESTINATION
            for interface, hop in (("eth0", back), ("eth1", on)):
                router.add_address(interface, Family.IPV4, int(hop) - 1, 24)
                router.add_neighbour(interface, Family.IPV4, int(hop), _NOBODY)
            router.add_route(Net.parse("10.0.0.0/8"), "eth0", int(back))
        self._ends = tuple(map(self._open, (self._sender, self._receiver)))

    def _open(self, namespace: Namespace) -> socket.socket:
        def make() -> socket.socket:
            # protocol 0: it sends and is never handed a packet
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            made.bind(("far", 0))
            made.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
            return made

        made = namespace.call(make)
        self._stack.callback(made.close)
        return made

    def forget_connections(self) -> None:
        """Empty the router's table of connections."""
        with open_netfilter(self.router) as link:
            ask(link, request(_CT_DELETE, 4, 0, 0, b""), "connections")

    def send(self, packets: Frames, *, back: bool = False) -> None:
        """Send each packet once, ``back`` from the receiver's side."""
        self._burst(self._ends[back], packets, float("inf"), once=True)

    def drive(self, packets: Frames, seconds: float, *, once: bool) -> Passage:
        """Send for some time, or ``once`` until there is no packet left, and count meanwhile.

        What still waits in the router's queue at the end (1,000 packets at most,
        net.core.netdev_max_backlog) has been neither counted nor paid for.
        """
        judged, arrived = self.judged(), self.arrived()
        cpu, began = _own_cpu(), time.perf_counter()
        self._burst(self._ends[0], packets, began + seconds, once=once)
        took, spent = time.perf_counter() - began, _own_cpu() - cpu
        return Passage(self.judged() - judged, self.arrived() - arrived, took, spent)

    def settle(self) -> None:
        """Wait until the router's queue is empty."""
        before = -1
        while before != (now := self.judged()):
            before = now
            time.sleep(0.005)

    @staticmethod
    def _burst(end: socket.socket, packets: Frames, until: float, *, once: bool) -> None:
        libc, number, descriptor = ctypes.CDLL(None, use_errno=True), 0, end.fileno()
        while time.perf_counter() < until:
            if number >= packets.count:
                if once:
                    return
                number = 0
            count = min(_CHUNK, packets.count - number)
            sent = libc.sendmmsg(descriptor, packets.at(number), count, 0)
            if sent < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "sendmmsg")
            number += sent

    def judged(self) -> int:
        """How many packets have come to the router's IP layer, where the first hook is."""

        def read() -> str:
            return Path("/proc/thread-self/net/snmp").read_text()

        names, values = (
            line.split() for line in self.router.call(read).splitlines() if line[:3] == "Ip:"
        )
        return int(values[names.index("InReceives")])

    def arrived(self) -> int:
        """How many packets the receiver's interface has counted."""

        def read() -> str:
            return Path("/proc/thread-self/net/dev").read_text()

        lines = self._receiver.call(read).splitlines()
        (counts,) = (line.split(":")[1] for line in lines if line.strip().startswith("far:"))
        return int(counts.split()[1])

    def __enter__(self) -> Road:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def keep_to_one_cpu() -> int:
    """Let this process run on one processor only, the last that it may use, and name it.

    A veth hands packets to the queue of the processor that sends. So all work on a packet is done
    on this one, partly by the sender itself, partly by its kernel thread ``ksoftirqd``.
    """
    cpu = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    return cpu


def _own_cpu() -> float:
    """Seconds of CPU of this thread and of its processor's ksoftirqd.

    A kernel that accounts for interrupts by themselves (CONFIG_IRQ_TIME_ACCOUNTING) takes them
    off the thread's time: then those of the processor are added.
    """
    (cpu,) = os.sched_getaffinity(0)
    nanoseconds = int(Path(f"/proc/{_ksoftirqd(cpu)}/schedstat").read_text().split()[0])
    ticks = _interrupt_ticks(cpu) if _INTERRUPTS_APART else 0
    own = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)
    return own + nanoseconds / 1e9 + ticks / os.sysconf("SC_CLK_TCK")


def _ksoftirqd(cpu: int, known: dict[int, int] = {}) -> int:  # noqa: B006 - found once
    if cpu not in known:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (process / "comm").read_text().strip() == f"ksoftirqd/{cpu}":
                    known[cpu] = int(process.name)
    return known[cpu]


def _interrupt_ticks(cpu: int) -> int:
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{cpu} "):
            return sum(map(int, line.split()[6:8]))
    return 0


def _interrupts_are_apart() -> bool:
    import gzip

    try:
        text = gzip.decompress(Path("/proc/config.gz").read_bytes()).decode()
    except OSError:
        release = Path(f"/boot/config-{os.uname().release}")
        text = release.read_text() if release.exists() else ""
    return "CONFIG_IRQ_TIME_ACCOUNTING=y" in text


_INTERRUPTS_APART = _interrupts_are_apart()


def _colons(mac: str) -> str:
    return ":".join(mac[n : n + 2] for n in range(0, 12, 2))
