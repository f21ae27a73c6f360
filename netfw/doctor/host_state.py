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
    NftTable,
    NotRead,
    QueueReader,
    RoutingRule,
    Socket,
    TrafficControl,
    TransformMark,
)
from netfw.doctor.reach import Reach
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


@dataclass(frozen=True)
class HostState:
    """The facts of a namespace. What could not be read is empty, and said in ``not_read``.

    ``sysctls`` are by path below /proc/sys. ``sockets`` are all of TCP, UDP and raw.
    ``connections`` are summed up by mark; ``with_mark_zero`` are those without one.
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
    not_read: tuple[NotRead, ...] = ()

    @cached_property
    def uses(self) -> tuple[MarkUse, ...]:
        """Everything on the host that reads or writes a mark."""
        from netfw.doctor.all_uses import all_uses

        return tuple(all_uses(self))

    def writers(self, word: Word) -> tuple[MarkUse, ...]:
        """The uses that may change some bit of a word."""
        return self._writers[word]

    def readers(self, word: Word) -> tuple[MarkUse, ...]:
        """The uses that read some bit of a word, copying it to the other one included."""
        return self._readers[word]

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
