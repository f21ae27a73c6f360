"""All that doctor reasons over: the facts of one network namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import (
    BpfProgram,
    ConnectionMarks,
    Link,
    MarkedSet,
    Networkd,
    NftTable,
    NotRead,
    QueueReader,
    RoutingRule,
    Socket,
    TrafficControl,
    TransformMark,
)
from netfw.doctor.place import Spot
from netfw.doctor.reach import Reach
from netfw.ir.match import InterfaceMatch
from netfw.ir.names import Backend, Family
from netfw.ir.ruleset import Ruleset
from netfw.traverse.hooks import SECURITY_PRIORITY
from netfw.traverse.routing_tables import RoutingTables


@dataclass(frozen=True)
class HeldRules:
    """The iptables rules of a backend and a family; every rule knows its line (``origin``)."""

    backend: Backend
    ruleset: Ruleset
    security_priority: int = SECURITY_PRIORITY

    @property
    def family(self) -> Family:
        """The IP family."""
        return self.ruleset.family

    @cached_property
    def reach(self) -> Reach:
        """Which chain is reached from which hook, and when."""
        return Reach(self.backend, self.ruleset, self.security_priority)


_MANY = 400
"""Uses of a mark up to which each is looked at beside each."""


def first_of_kinds(uses: tuple[MarkUse, ...]) -> tuple[MarkUse, ...]:
    """Of many uses the first of each kind: the same chain, tests, effects, end and interfaces."""
    if len(uses) <= _MANY:
        return uses
    found: dict[object, MarkUse] = {}
    for use in uses:
        interfaces = tuple(one for one in use.matches if isinstance(one, InterfaceMatch))
        spot = use.spot
        place = (spot.system, spot.family, spot.table, spot.chain)
        kind = (place, use.tests, use.effects, use.ending, use.is_conditional, interfaces)
        found.setdefault(kind, use)
    return tuple(found.values())


@dataclass(frozen=True)
class HostState:
    """The facts of a namespace. What could not be read is empty, and said in ``not_read``.

    ``sysctls`` are by path below /proc/sys. ``sockets`` are all of TCP, UDP and raw.
    ``connections`` are summed up by mark; ``with_mark_zero`` are those without one.
    ``networkd`` is None where it neither runs here nor is to; ``virtual_servers`` are the marks of
    services of IPVS. ``kernel_lacks`` are options that it was built without.
    ``neighbours`` are only read where a mark is asked for that nobody sets.
    """

    name: str = "this host"
    rules: tuple[HeldRules, ...] = ()
    tables: tuple[NftTable, ...] = ()
    routing_rules: tuple[RoutingRule, ...] = ()
    routes: Mapping[Family, RoutingTables] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    sockets: tuple[Socket, ...] = ()
    transforms: tuple[TransformMark, ...] = ()
    connections: tuple[ConnectionMarks, ...] = ()
    queues: tuple[QueueReader, ...] = ()
    traffic_control: tuple[TrafficControl, ...] = ()
    programs: tuple[BpfProgram, ...] = ()
    sets: tuple[MarkedSet, ...] = ()
    networkd: Networkd | None = None
    virtual_servers: tuple[int, ...] = ()
    kernel_lacks: frozenset[str] = frozenset()
    neighbours: tuple[Neighbour, ...] = ()
    not_read: tuple[NotRead, ...] = ()
    settings_are_read_only: bool = False
    """Whether who lives here sees a /proc/sys that may not be written."""

    @cached_property
    def uses(self) -> tuple[MarkUse, ...]:
        """Everything on the host that reads or writes a mark."""
        from netfw.doctor.all_uses import all_uses

        return tuple(all_uses(self))

    def use_at(self, spot: Spot) -> MarkUse | None:
        """What reads or writes a mark at a spot; None where nothing does."""
        return next((use for use in self.uses if use.spot == spot), None)

    def writers(self, word: Word) -> tuple[MarkUse, ...]:
        """The uses that may change some bit of a word."""
        return self._writers[word]

    def readers(self, word: Word) -> tuple[MarkUse, ...]:
        """The uses that read some bit of a word, copying it to the other one included."""
        return self._readers[word]

    def kinds_of_writers(self, word: Word) -> tuple[MarkUse, ...]:
        """The writers, or of many only the first of each kind.

        For questions about each pair or three of them: on a host with thousands of rules that
        differ in addresses alone, one stands for all.
        """
        return self._kinds[word][0]

    def kinds_of_readers(self, word: Word) -> tuple[MarkUse, ...]:
        """The same for the readers."""
        return self._kinds[word][1]

    @cached_property
    def _kinds(self) -> dict[Word, tuple[tuple[MarkUse, ...], tuple[MarkUse, ...]]]:
        return {
            word: (first_of_kinds(self.writers(word)), first_of_kinds(self.readers(word)))
            for word in Word
        }

    @cached_property
    def _writers(self) -> dict[Word, tuple[MarkUse, ...]]:
        return {word: tuple(use for use in self.uses if use.written(word)) for word in Word}

    @cached_property
    def _readers(self) -> dict[Word, tuple[MarkUse, ...]]:
        return {word: tuple(use for use in self.uses if use.read(word)) for word in Word}

    def setting(self, name: str) -> int | None:
        """The number that a sysctl has (a path below /proc/sys); None where it was not read."""
        text = self.sysctls.get(name, "")
        return int(text) if text.lstrip("-").isdigit() else None

    def interface_setting(self, family: Family, interface: str, name: str) -> tuple[int, int]:
        """A sysctl of ``conf/all`` and of ``conf/INTERFACE``; 0 where it was not read."""
        base = f"net/ipv{family.value}/conf"
        both = (self.setting(f"{base}/{where}/{name}") for where in ("all", interface))
        first, second = (value or 0 for value in both)
        return first, second

    def link(self, name: str) -> Link | None:
        """The interface with this name, or None."""
        return next((link for link in self.links if link.name == name), None)


@dataclass(frozen=True)
class Neighbour:
    """Another network namespace: the rules in it, and the links here (veth) that lead there."""

    links: tuple[str, ...]
    state: HostState
