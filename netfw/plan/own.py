"""What of netfw's a host holds, or shall hold: the one thing that is planned, kept and restored.

Rules are text as iptables-save prints them without ``-A CHAIN``: what was saved goes back as it
was, whichever version printed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netfw.ir.ipset import IpSet
from netfw.ir.names import Family, TableName


@dataclass(frozen=True, slots=True)
class OwnTable:
    """What is ours in one table.

    ``chains`` are our chains (``NETFW-…``) with their rules. ``calls`` are the rules of ours in
    built-in chains, by chain: what leads to ours.
    """

    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of ours is in the table."""
        return not (self.chains or self.calls)


@dataclass(frozen=True, slots=True)
class Own:
    """Everything of ours on a host.

    ``tables`` hold no empty table. ``sets`` are by the names that they have on the host.
    ``routing`` are lines for ``ip -batch`` that add (``rule add …``, ``route replace …``), as
    ``render_routing`` prints them. ``settings`` are sysctls (paths below /proc/sys) with their
    values.
    """

    tables: Mapping[tuple[Family, TableName], OwnTable] = field(default_factory=dict)
    sets: Mapping[str, IpSet] = field(default_factory=dict)
    routing: Mapping[Family, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether a host holds nothing of ours."""
        return not (self.tables or self.sets or any(self.routing.values()) or self.settings)

    def of_family(self, family: Family) -> Own:
        """The tables and sets of a family alone."""
        return Own(
            {place: table for place, table in self.tables.items() if place[0] is family},
            {name: ipset for name, ipset in self.sets.items() if ipset.family is family},
        )
