"""Translations of addresses that a policy asks for."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.match import PortRange
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.ruleset import Origin
from netfw.policy.conditions import Conditions, conditions_of
from netfw.policy.endpoint import Endpoint
from netfw.policy.traffic import Traffic


@dataclass(frozen=True, slots=True)
class MasqueradePolicy:
    """What leaves by ``out`` gets that interface's address as its source.

    Only what came in by ``sources``, where there are any.
    """

    sources: tuple[Endpoint, ...]
    out: tuple[Endpoint, ...]
    families: tuple[Family, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class DnatPolicy:
    """What comes in by ``inputs`` for a service gets another destination, and is allowed there.

    ``address`` is a number of ``family``; ``ports`` is None where ports stay as they are.
    """

    inputs: tuple[Endpoint, ...]
    family: Family
    traffic: tuple[Traffic, ...]
    sources: tuple[Net, ...]
    address: int
    ports: PortRange | None
    origin: Origin

    def conditions(self, family: Family) -> Conditions | None:
        """Which packets are translated, as they arrive."""
        if family is not self.family:
            return None
        return conditions_of(family, self.traffic, self.sources)

    def translated(self, family: Family) -> Conditions | None:
        """The same packets as the filter table sees them, with their new destination."""
        if family is not self.family:
            return None
        traffic = self.traffic
        if self.ports is not None:
            traffic = tuple(Traffic(kind.protocol, self.ports) for kind in traffic)
        full = (1 << family.bits) - 1
        return conditions_of(family, traffic, self.sources, (Net(family, self.address, full),))
