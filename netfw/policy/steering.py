"""Steering: which packets take another routing table, and which class of tc they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from types import MappingProxyType

from netfw.ir.names import Family
from netfw.ir.origin import Origin
from netfw.ir.steer_field import SteerField
from netfw.policy.conditions import Conditions
from netfw.policy.criteria import Criteria
from netfw.policy.endpoint import Endpoint

NOT_THERE = ""
"""The interface of an optional endpoint that this host lacks."""


@dataclass(frozen=True, slots=True)
class Via:
    """The default route of a table that netfw makes.

    ``gateways`` has at most one address for a family; without any, both families go straight out
    of the interface. Without an interface (NOT_THERE) there is no such route. With ``refuses``
    nothing goes another way where that route is gone.
    """

    interface: str
    gateways: Mapping[Family, int]
    refuses: bool
    origin: Origin

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that have a way."""
        if self.interface == NOT_THERE:
            return ()
        return tuple(family for family in Family if not self.gateways or family in self.gateways)


@dataclass(frozen=True, slots=True)
class SteerPolicy:
    """An entry of ``steer``: what it asks for, and a table, a class of tc, or both.

    ``inputs`` are the endpoints by which packets come in (empty: any interface); with
    ``from_host`` it is about what this host sends. ``table`` is the number of a routing table,
    0 for the normal way, None where the entry leaves that to others; with ``answers`` the table
    is for the answers of the connection instead. ``tc_class`` is major and minor number in 16
    bits each, 0 for no class, None where the entry leaves that to others.
    """

    inputs: tuple[Endpoint, ...]
    from_host: bool
    criteria: Criteria
    table: int | None
    answers: bool
    tc_class: int | None
    origin: Origin

    @property
    def identity(self) -> str:
        """The stable name that the compiled rules carry in their comments."""
        return self.origin.identity

    @property
    def is_absent(self) -> bool:
        """Whether it is for endpoints that are not there, and so for no packet."""
        return bool(self.inputs) and all(endpoint.is_absent for endpoint in self.inputs)

    def conditions(self, family: Family) -> Conditions | None:
        """What it asks of packets of a family, or None where it is not about that family."""
        return self.criteria.of_family(family)

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that it is about."""
        return self.criteria.families


@dataclass(frozen=True, slots=True)
class Steering:
    """All of ``steer``, in order: of the entries with a table the first that matches decides, and
    so of those with a class.

    ``tables`` and ``classes`` give the numbers by which the marks know them (from 1).
    """

    field: SteerField = dataclass_field(default_factory=SteerField)
    entries: tuple[SteerPolicy, ...] = ()
    vias: Mapping[int, Via] = dataclass_field(default_factory=lambda: MappingProxyType({}))
    tables: Mapping[int, int] = dataclass_field(default_factory=lambda: MappingProxyType({}))
    classes: Mapping[int, int] = dataclass_field(default_factory=lambda: MappingProxyType({}))

    @property
    def moves(self) -> bool:
        """Whether any packet takes another table: what this host sends may leave by another
        interface than the filter table sees."""
        return bool(self.tables)

    def with_table(self, *, from_host: bool) -> tuple[SteerPolicy, ...]:
        """The entries that decide about tables, of what this host sends or of the rest."""
        return tuple(
            entry
            for entry in self.entries
            if entry.from_host is from_host and entry.table is not None
        )

    def with_class(self, *, from_host: bool) -> tuple[SteerPolicy, ...]:
        """The entries that decide about classes, of what this host sends or of the rest."""
        return tuple(
            entry
            for entry in self.entries
            if entry.from_host is from_host and entry.tc_class is not None
        )

    def families_of(self, table: int) -> tuple[Family, ...]:
        """The families whose packets may take a table."""
        entries = [entry for entry in self.entries if entry.table == table]
        return tuple(
            family for family in Family if any(family in entry.families for entry in entries)
        )
