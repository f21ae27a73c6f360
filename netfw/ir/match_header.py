"""Matches on what every rule can ask without a module: addresses, interfaces, the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.ir.net import Net


class Side(Enum):
    """Which end of a packet: its source or its destination."""

    SOURCE = "source"
    DESTINATION = "destination"


class Way(Enum):
    """Which interface of a packet: the one it came in by, or the one it leaves by."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class AddressMatch:
    """``-s`` or ``-d``: the address lies in a network."""

    side: Side
    net: Net
    negate: bool = False


@dataclass(frozen=True, slots=True)
class InterfaceMatch:
    """``-i`` or ``-o``: the interface has this name; a trailing ``+`` is a wildcard."""

    way: Way
    name: str
    negate: bool = False

    def covers(self, interface: str) -> bool:
        """Whether a name is meant, before negation.

        A missing interface is the empty name: ``-i eth0`` never matches it, ``-i +`` does
        (ifname_compare_aligned in ip_tables.c compares with an all-zero name).
        """
        if self.name.endswith("+"):
            return interface.startswith(self.name[:-1])
        return interface == self.name


@dataclass(frozen=True, slots=True)
class ProtocolMatch:
    """``-p``: the protocol number (0 to 255); 0 matches all of them."""

    number: int
    negate: bool = False


@dataclass(frozen=True, slots=True)
class FragmentMatch:
    """``-f`` (IPv4): second and further fragments; negated: heads and whole packets."""

    negate: bool = False
