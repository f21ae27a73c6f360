"""Routing that goes with marks: rules that read them, routes of tables, settings of Linux."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.mark import Mark
from netfw.ir.net import Net

MAIN_TABLE = 254
"""RT_TABLE_MAIN in linux/rtnetlink.h."""
LAST_METRIC = 0xFFFFFFFF
"""The metric that loses against every other one."""


@dataclass(frozen=True, slots=True)
class SteerRule:
    """An ``ip rule``: packets whose mark matches look into ``table``.

    ``preference`` is 1 to 32765: behind the local table (0) and before the main one (32766).
    With ``without_default`` a default route that is found there does not count
    (``suppress_prefixlength 0``), so that the next rule is asked.
    """

    preference: int
    mark: Mark
    table: int
    without_default: bool = False


@dataclass(frozen=True, slots=True)
class SteerRoute:
    """A route in a table of its own: by an interface and a next hop there (None: on the link).

    Without ``interface`` packets are refused (``unreachable``). Smaller metrics win; 0 is the
    default of the family.
    """

    table: int
    destination: Net
    interface: str = ""
    next_hop: int | None = None
    metric: int = 0


@dataclass(frozen=True, slots=True)
class Routing:
    """What one family needs; rules are in order of preference."""

    rules: tuple[SteerRule, ...] = ()
    routes: tuple[SteerRoute, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is needed."""
        return not (self.rules or self.routes)


@dataclass(frozen=True, slots=True)
class Setting:
    """A sysctl that has to have one of some values, the first of which netfw would write.

    ``name`` is a path below /proc/sys, with slashes (names of interfaces have dots).
    """

    name: str
    values: tuple[int, ...]
    why: str
