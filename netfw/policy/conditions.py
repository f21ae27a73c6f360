"""What a rule asks of a packet."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.policy.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a rule asks of a packet of one family.

    The packet must be of one of the kinds in ``traffic`` (never empty; ``Traffic()`` is any),
    have its source in one of ``sources`` and its destination in one of ``destinations``
    (empty: any address).
    """

    traffic: tuple[Traffic, ...]
    sources: tuple[Net, ...]
    destinations: tuple[Net, ...]


def conditions_of(
    family: Family,
    traffic: tuple[Traffic, ...],
    sources: tuple[Net, ...] = (),
    destinations: tuple[Net, ...] = (),
) -> Conditions | None:
    """Keep what belongs to a family; None if nothing can match there."""
    kept_traffic = tuple(kind for kind in traffic if family in kind.families)
    kept_sources = tuple(net for net in sources if net.family is family)
    kept_destinations = tuple(net for net in destinations if net.family is family)
    if (
        not kept_traffic
        or (sources and not kept_sources)
        or (destinations and not kept_destinations)
    ):
        return None
    return Conditions(kept_traffic, kept_sources, kept_destinations)
