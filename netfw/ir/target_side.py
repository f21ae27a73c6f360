"""Targets that do something beside the packet's way: they report, count, copy, or fill sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netfw.ir.form import UINT32, Address, Choice, Flag, Number, SetAndSides, Text
from netfw.ir.names import MAX_INTERFACE_NAME
from netfw.ir.spelling import Option, SpelledTarget

SetAndItsSides = tuple[str, tuple[str, ...]]
"""A set's name, and src or dst for each part of an entry."""


@dataclass(frozen=True, slots=True)
class Audit(SpelledTarget):
    """``-j AUDIT``: a record for the audit daemon, which says accept, drop or reject."""

    MODULE: ClassVar = "AUDIT"
    OPTIONS: ClassVar = (Option("--type", "type", Choice(("accept", "drop", "reject"))),)
    type: str


@dataclass(frozen=True, slots=True)
class Idletimer(SpelledTarget):
    """``-j IDLETIMER``: an event when no packet has come for ``seconds``; label up to 27 bytes."""

    MODULE: ClassVar = "IDLETIMER"
    OPTIONS: ClassVar = (
        Option("--timeout", "seconds", Number(UINT32, least=1)),
        Option("--label", "label", Text(27, bare=True)),
        Option("--alarm", "alarm", Flag()),
    )
    seconds: int
    label: str
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Led(SpelledTarget):
    """``-j LED``: a light blinks; ``delay`` is how long, in milliseconds."""

    MODULE: ClassVar = "LED"
    OPTIONS: ClassVar = (
        Option("--led-trigger-id", "trigger", Text(16, quoted=True)),
        Option("--led-delay", "delay", Number(UINT32)),
        Option("--led-always-blink", "always_blinks", Flag()),
    )
    trigger: str
    delay: int | None = None
    always_blinks: bool = False


@dataclass(frozen=True, slots=True)
class Tee(SpelledTarget):
    """``-j TEE``: a copy goes to this gateway; the packet itself goes on as it was.

    The copy leaves this host by OUTPUT and POSTROUTING, as one that is not tracked
    (nf_dup_ipv4 in net/ipv4/netfilter/nf_dup_ipv4.c).
    """

    MODULE: ClassVar = "TEE"
    OPTIONS: ClassVar = (
        Option("--gateway", "gateway", Address()),
        Option("--oif", "interface", Text(MAX_INTERFACE_NAME, bare=True)),
    )
    gateway: int
    interface: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeSet(SpelledTarget):
    """``-j SET``: what the packet has is added to a set or deleted from one.

    ``map`` takes mark, priority or queue from a set's entry instead. ``timeout`` is in seconds.
    """

    MODULE: ClassVar = "SET"
    OPTIONS: ClassVar = (
        Option("--add-set", "add", SetAndSides()),
        Option("--exist", "exist", Flag()),
        Option("--timeout", "timeout", Number(UINT32 - 1)),
        Option("--del-set", "delete", SetAndSides()),
        Option("--map-set", "map", SetAndSides()),
        Option("--map-mark", "maps_mark", Flag()),
        Option("--map-prio", "maps_priority", Flag()),
        Option("--map-queue", "maps_queue", Flag()),
    )
    SOME_OF: ClassVar = ("add", "delete", "map")
    add: SetAndItsSides | None = None
    delete: SetAndItsSides | None = None
    exist: bool = False
    timeout: int | None = None
    map: SetAndItsSides | None = None
    maps_mark: bool = False
    maps_priority: bool = False
    maps_queue: bool = False

    @property
    def changed(self) -> frozenset[str]:
        """The names of the sets that have other entries afterwards."""
        return frozenset(name for name, _ in filter(None, (self.add, self.delete)))
