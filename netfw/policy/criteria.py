"""What a rule, a translation or a steering entry asks of packets, in both families at once."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.policy.conditions import Conditions, conditions_of
from netfw.policy.criterion import Criterion
from netfw.policy.traffic import ANY, Traffic

_FAMILIES = tuple(Family)


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is asked of packets: all of it must hold.

    A packet is of one of the kinds in ``traffic`` (never empty), comes from one of ``sources`` and
    goes to one of ``destinations`` (empty: any address; both families mixed). It is of none of the
    kinds in ``not_traffic``, nor from ``not_sources`` or to ``not_destinations``: those are
    exceptions from the former. ``extras`` are further criteria, each of another type, in the
    order of their keys.
    """

    traffic: tuple[Traffic, ...] = (ANY,)
    sources: tuple[Net, ...] = ()
    destinations: tuple[Net, ...] = ()
    not_traffic: tuple[Traffic, ...] = ()
    not_sources: tuple[Net, ...] = ()
    not_destinations: tuple[Net, ...] = ()
    extras: tuple[Criterion, ...] = ()

    def of_family(self, family: Family) -> Conditions | None:
        """What is asked of packets of a family, or None if none of them can meet it."""
        if self.extras and any(family not in extra.families for extra in self.extras):
            return None
        return conditions_of(
            family,
            self.traffic,
            self.sources,
            self.destinations,
            self.not_traffic,
            self.not_sources,
            self.not_destinations,
            self.extras,
        )

    @property
    def families(self) -> tuple[Family, ...]:
        """The families whose packets can meet this."""
        if not (self.not_traffic or self.not_sources or self.not_destinations or self.extras):
            # what most rules are, without making conditions for nothing
            found = frozenset[Family]().union(*[kind.families for kind in self.traffic])
            for nets in (self.sources, self.destinations):
                if nets:
                    found &= {net.family for net in nets}
            return _FAMILIES if len(found) == len(_FAMILIES) else tuple(found)
        return tuple(family for family in Family if self.of_family(family) is not None)

    @property
    def asks_nothing(self) -> bool:
        """Whether every packet of both families meets this."""
        everywhere = all(
            not nets or {net.family for net in nets if net.mask == 0} == set(Family)
            for nets in (self.sources, self.destinations)
        )
        exceptions = (self.not_traffic, self.not_sources, self.not_destinations)
        return ANY in self.traffic and everywhere and not self.extras and not any(exceptions)
