"""Packets through a twin: sent in by any of its cables or by itself, and seen where they come out.

A frame of a kind that no chain looks at is sent behind them: when that has come, whatever was
sent before it has gone its way, since one processor hands packets on in their order
(process_backlog in net/core/dev.c).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from netfw.host.inject import (
    ETH_P_ALL,
    ETHER_TYPE,
    FAMILY_OF_TYPE,
    PACKET_IGNORE_OUTGOING,
    SOL_PACKET,
    LocalSender,
)
from netfw.host.local_receiver import LocalReceiver
from netfw.host.netlink import dropped, set_receive_buffer
from netfw.host.packets import PacketBuilder
from netfw.host.sighting import Sighting, sightings_of
from netfw.host.twin import Twin
from netfw.host.twin_links import Cable
from netfw.ir.names import Family
from netfw.traverse.packet import Packet

_NEIGHBOUR_MAC = bytes.fromhex("0200000000fe")
"""Who packets come from in a twin (locally administered)."""
_SOMEBODY_MAC = bytes.fromhex("0200000000fd")
"""Whom a bridge does not know: it passes the frame on to all other ports."""
NEIGHBOUR = int.from_bytes(_NEIGHBOUR_MAC, "big")
_END_TYPE = 0x88B5
"""For experiments (IEEE 802, local experimental Ethertype 1)."""
_HOPS = 2
"""What is forwarded is handed on twice: into the twin, and out of it."""
_PATIENCE = 10.0
_BUFFER = 16 * 1024 * 1024
_MAC_LENGTH = 6


class TwinStage:
    """Sends packets of one family through a twin; a context manager."""

    def __init__(self, twin: Twin, family: Family, protocols: set[int]) -> None:
        self._twin, self._family = twin, family
        self._builder = PacketBuilder()
        self._cables: Mapping[str, Cable] = twin.cables
        self._names = {cable.far_interface: name for name, cable in twin.cables.items()}
        self._outside = twin.outside.call(lambda: _listen(ETH_P_ALL))
        self._outside.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._ends = twin.namespace.call(lambda: _listen(_END_TYPE))
        self._receiver = LocalReceiver(twin.namespace, family, protocols)
        self._senders: dict[str, LocalSender] = {}

    def __enter__(self) -> TwinStage:
        return self

    def __exit__(self, *_: object) -> None:
        self._outside.close()
        self._ends.close()
        self._receiver.close()
        for sender in self._senders.values():
            sender.close()

    def send(self, packets: Mapping[int, Packet]) -> tuple[dict[int, Sighting], dict[int, str]]:
        """Send packets by number (1 to 65535), and wait until all have gone their way.

        Where each was seen, if it was, and why one could not be sent. Raises TimeoutError where
        the twin does not come to rest.
        """
        refused: dict[int, str] = {}
        with _on_one_processor():
            for number, packet in packets.items():
                data = self._builder.build(packet, number)
                try:
                    self._send(packet, data)
                except OSError as error:
                    refused[number] = error.strerror or str(error)
            by = {packet.in_interface for packet in packets.values()} & self._cables.keys()
            self._come_to_rest(by or set(list(self._cables)[:1]))
        return self._sightings(), refused

    @property
    def lost(self) -> int:
        """How many packets came out and found no room."""
        return self._receiver.lost + dropped(self._outside)

    def _send(self, packet: Packet, data: bytes) -> None:
        if not packet.in_interface:
            sender = self._senders.get("")
            if sender is None:
                sender = self._senders[""] = LocalSender(self._twin.namespace, self._family)
            sender.send(data, packet.destination, packet.mark)
            return
        is_passed_on = packet.in_interface in self._twin.bridged
        frame = ETHER_TYPE[self._family] + data
        self._emit(packet.in_interface, frame, _SOMEBODY_MAC if is_passed_on else b"")

    def _emit(self, interface: str, frame: bytes, to: bytes = b"") -> None:
        cable = self._cables[interface]
        near = to or bytes.fromhex(cable.mac.replace(":", ""))
        self._outside.sendto(near + _NEIGHBOUR_MAC + frame, (cable.far_interface, 0))

    def _come_to_rest(self, interfaces: Iterable[str]) -> None:
        for _ in range(_HOPS):
            awaited = 0
            for interface in interfaces:
                try:
                    self._emit(interface, _END_TYPE.to_bytes(2, "big") + bytes(46))
                except OSError:
                    # down: nothing that was sent by it is under way
                    continue
                awaited += 1
            self._ends.settimeout(_PATIENCE)
            while awaited:
                self._ends.recv(2048)
                awaited -= 1

    def _sightings(self) -> dict[int, Sighting]:
        frames = (frame for frame in self._arrived() if frame[1] is self._family)
        return sightings_of(frames, self._receiver.arrived(), self._family)

    def _arrived(self) -> Iterator[tuple[str, Family, bytes]]:
        while True:
            try:
                frame, sender = self._outside.recvfrom(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            head = 2 * _MAC_LENGTH
            family = FAMILY_OF_TYPE.get(frame[head : head + 2])
            interface = self._names.get(sender[0])
            if family is not None and interface is not None:
                yield interface, family, frame[head + 2 :]


def _listen(kind: int) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
    set_receive_buffer(made, _BUFFER)
    return made


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Keep this thread on the processor where it is."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
