"""What the author of a policy expects: statements that hold for every packet they describe."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.origin import Origin
from netfw.policy.endpoint import Endpoint
from netfw.policy.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Addresses:
    """One end of the packets that are meant: in one of these networks, or negated in none.

    Without networks any address is meant.
    """

    nets: tuple[Net, ...] = ()
    negate: bool = False

    def of_family(self, family: Family) -> Addresses | None:
        """The same for a family; None where no address of it is meant."""
        kept = tuple(net for net in self.nets if net.family is family)
        if self.nets and not kept and not self.negate:
            return None
        return Addresses(kept, self.negate and bool(kept))


@dataclass(frozen=True, slots=True)
class Assertion:
    """First packets of connections that must be allowed, or packets that must be denied.

    They come in by one of ``inputs`` and leave by one of ``outputs``. Without inputs any
    interface is meant, or this host itself where ``from_host`` is set; without outputs in the same
    way any interface and this host, or this host alone where ``to_host`` is set. Addresses and
    services are those with which a packet arrives, before any translation.
    """

    is_allowed: bool
    inputs: tuple[Endpoint, ...]
    outputs: tuple[Endpoint, ...]
    from_host: bool
    to_host: bool
    traffic: tuple[Traffic, ...]
    sources: Addresses
    destinations: Addresses
    origin: Origin

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of which it speaks."""
        return tuple(
            family
            for family in Family
            if self.sources.of_family(family) is not None
            and self.destinations.of_family(family) is not None
            and any(family in kind.families for kind in self.traffic)
        )
