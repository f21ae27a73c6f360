"""What a rule asks of a packet."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.policy.criterion import Criterion
from netfw.policy.traffic import ANY, Traffic


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a rule asks of a packet of one family.

    The packet must be of one of the kinds in ``traffic`` (never empty; ``Traffic()`` is any),
    have its source in one of ``sources`` and its destination in one of ``destinations``
    (empty: any address). It must be of none of the kinds in ``not_traffic``, and in none of
    ``not_sources`` and ``not_destinations``; and it must meet every one of ``extras``.
    """

    traffic: tuple[Traffic, ...]
    sources: tuple[Net, ...]
    destinations: tuple[Net, ...]
    not_traffic: tuple[Traffic, ...] = ()
    not_sources: tuple[Net, ...] = ()
    not_destinations: tuple[Net, ...] = ()
    extras: tuple[Criterion, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether only services and addresses are asked for, without exceptions."""
        return not (self.not_traffic or self.not_sources or self.not_destinations or self.extras)


def conditions_of(
    family: Family,
    traffic: tuple[Traffic, ...],
    sources: tuple[Net, ...] = (),
    destinations: tuple[Net, ...] = (),
    not_traffic: tuple[Traffic, ...] = (),
    not_sources: tuple[Net, ...] = (),
    not_destinations: tuple[Net, ...] = (),
    extras: tuple[Criterion, ...] = (),
) -> Conditions | None:
    """Keep what belongs to a family; None if nothing can match there."""
    kept_traffic = _kinds_of(family, traffic)
    kept_sources = _nets_of(family, sources)
    kept_destinations = _nets_of(family, destinations)
    if (
        not kept_traffic
        or (sources and not kept_sources)
        or (destinations and not kept_destinations)
    ):
        return None
    if not (not_traffic or not_sources or not_destinations):
        return Conditions(kept_traffic, kept_sources, kept_destinations, extras=extras)
    but_kinds = _kinds_of(family, not_traffic)
    but_from, but_to = _nets_of(family, not_sources), _nets_of(family, not_destinations)
    if ANY in but_kinds or any(net.mask == 0 for net in but_from + but_to):
        return None
    return Conditions(
        kept_traffic, kept_sources, kept_destinations, but_kinds, but_from, but_to, extras
    )


def _kinds_of(family: Family, traffic: tuple[Traffic, ...]) -> tuple[Traffic, ...]:
    kept = [kind for kind in traffic if family in kind.families]
    # the same for both families, nearly always: whoever looks it up again finds it faster
    return traffic if len(kept) == len(traffic) else tuple(kept)


def _nets_of(family: Family, nets: tuple[Net, ...]) -> tuple[Net, ...]:
    return tuple([net for net in nets if net.family is family]) if nets else ()
