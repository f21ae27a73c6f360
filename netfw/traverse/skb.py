"""A packet under way: what the kernel's socket buffer holds while hooks work on it."""

from __future__ import annotations

from netfw.ir.match import ConnectionState
from netfw.traverse.connection import Connection
from netfw.traverse.packet import Packet


class Skb:
    """Mutable for speed: a walk makes one, changes it, and throws it away."""

    __slots__ = (
        "connection",
        "destination",
        "destination_port",
        "hops",
        "in_interface",
        "is_reply",
        "mark",
        "out_interface",
        "packet",
        "protocol",
        "source",
        "source_port",
        "state",
        "tracked",
    )

    def __init__(self, packet: Packet) -> None:
        self.packet = packet
        self.protocol = packet.protocol
        self.source = packet.source
        self.destination = packet.destination
        self.source_port = packet.source_port
        self.destination_port = packet.destination_port
        self.mark = packet.mark
        self.hops = packet.ttl
        """Time to live or hop limit, as it is by now."""
        self.in_interface = packet.in_interface
        self.out_interface = ""
        self.connection: Connection | None = None
        self.state: ConnectionState | None = None
        self.is_reply = False
        self.tracked = False
        """Whether conntrack (or NOTRACK) has looked at it: then it is not looked at again."""
