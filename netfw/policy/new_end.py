"""What a translation makes of one end of a connection: a new address, a new port, or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netfw.ir.match import PortRange
from netfw.ir.names import Family
from netfw.ir.net import Net

ChooseAddress = Callable[[tuple[int, int]], int]
"""Which address of a range (first, last) a connection gets: the kernel decides."""


@dataclass(frozen=True, slots=True)
class Ports:
    """New ports. ``span`` is where they lie.

    A span of one port is the port. In a longer one a port stays as it is, and one outside is
    replaced by one that the kernel picks; with ``base``, the port that becomes the first of the
    span, a port moves by as much as that one.
    """

    span: PortRange
    base: int | None = None

    def of(self, port: int) -> int | None:
        """The new port in the place of one, None where the kernel picks it."""
        if self.span.first == self.span.last:
            return self.span.first
        if self.base is not None:
            return port - self.base + self.span.first
        return port if port in self.span else None


@dataclass(frozen=True, slots=True)
class Given:
    """An address of ``first`` to ``last``, numbers of one family; which one the kernel decides.

    ``is_lasting``: a client gets the same one for whatever it talks to.
    """

    first: int
    last: int
    ports: Ports | None = None
    is_random: bool = False
    is_lasting: bool = False

    @property
    def is_single(self) -> bool:
        """Whether it is always the same address."""
        return self.first == self.last


@dataclass(frozen=True, slots=True)
class Own:
    """This host's own address: as a source that of the interface by which the packet leaves, as a
    destination that of the one by which it comes in, or 127.0.0.1 and ::1 for what it sends."""

    ports: Ports | None = None
    is_random: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """The address at the same place in another network of the same size."""

    net: Net
    ports: None = None

    def of(self, address: int) -> int:
        """The new address in the place of one."""
        return self.net.address | (address & ~self.net.mask)


NewEnd = Given | Own | Moved


def nets_between(family: Family, first: int, last: int) -> tuple[Net, ...]:
    """The fewest networks that hold just the addresses from the first to the last."""
    found = []
    full = (1 << family.bits) - 1
    while first <= last:
        size = first & -first or full + 1
        while first + size - 1 > last:
            size >>= 1
        found.append(Net(family, first, full & ~(size - 1)))
        first += size
    return tuple(found)
