"""A packet of ours that was seen behind the last chain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netfw.host.local_receiver import Delivered
from netfw.host.packets import cookie_of
from netfw.ir.names import Family
from netfw.traverse.packet import PORT_PROTOCOLS
from netfw.traverse.traversal import Addressing


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where a probe was seen behind the last chain: at a far end, or delivered (empty name)."""

    interface: str
    addressing: Addressing
    mark: int | None


def sightings_of(
    frames: Iterable[tuple[str, Family, bytes]], delivered: Iterable[Delivered], family: Family
) -> dict[int, Sighting]:
    """The probes among what arrived at far ends (by interface, from the IP header on) and what
    was delivered here, by number."""
    seen = {}
    for interface, of, data in frames:
        number, addressing = identify(of, data)
        if number is not None:
            seen[number] = Sighting(interface, addressing, None)
    for packet, mark in delivered:
        number, addressing = identify(family, packet)
        if number is not None:
            seen[number] = Sighting("", addressing, mark)
    return seen


def identify(family: Family, data: bytes) -> tuple[int | None, Addressing]:
    """The number that a packet carries, from its IP header on (None: it is none of ours), and its
    addresses and ports."""
    if family is Family.IPV4:
        length, protocol, at, size = (data[0] & 15) * 4, data[9], 12, 4
    else:
        length, protocol, at, size = 40, data[6], 8, 16
    network, transport = data[:length], data[length:]
    number = cookie_of(family, network, transport)
    ports = (0, 0)
    if protocol in PORT_PROTOCOLS:
        ports = (
            int.from_bytes(transport[0:2], "big"),
            int.from_bytes(transport[2:4], "big"),
        )
    source = int.from_bytes(data[at : at + size], "big")
    destination = int.from_bytes(data[at + size : at + 2 * size], "big")
    return number, Addressing(source, ports[0], destination, ports[1])
