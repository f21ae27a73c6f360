"""The one type that all three witnesses produce: a packet's way, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from netfw.ir.ipset import SetMember
from netfw.ir.names import Hook, TableName


class Station(NamedTuple):
    """A table at a hook: where a packet meets a built-in chain."""

    hook: Hook
    table: TableName

    def __str__(self) -> str:
        return f"{self.table}.{self.hook}"


class Outcome(Enum):
    """What a step did to the packet's way."""

    CONTINUE = "continue"
    """On with the next rule."""
    JUMP = "jump"
    GOTO = "goto"
    RETURN = "return"
    """Back to the calling chain, by a RETURN rule or at the end of a user chain."""
    ACCEPT = "accept"
    """Through with this table's chain at this hook."""
    DROP = "drop"
    REJECT = "reject"
    QUEUE = "queue"
    """Handed to a process, which may do anything with it."""


class Step(NamedTuple):
    """One rule that the packet matched, the end of a user chain, or a chain policy.

    ``rule`` counts from 1; 0 stands for the end of a user chain (outcome RETURN) or, in a
    built-in chain, for the chain policy (outcome ACCEPT or DROP).
    Marks are 32-bit words, before and after the step.
    """

    hook: Hook
    table: TableName
    chain: str
    rule: int
    outcome: Outcome
    mark_before: int
    mark_after: int

    @property
    def station(self) -> Station:
        """The built-in chain under which this step happened."""
        return Station(self.hook, self.table)

    def __str__(self) -> str:
        if self.rule:
            what = f"rule {self.rule}"
        else:
            what = "policy" if self.chain == self.hook.value else "end"
        text = f"{self.table}.{self.hook} {self.chain} {what} {self.outcome.value}"
        if self.mark_before != self.mark_after:
            return f"{text} mark {self.mark_before:#x} -> {self.mark_after:#x}"
        return f"{text} mark {self.mark_after:#x}"


class Addressing(NamedTuple):
    """A packet's addresses and ports (0 where it has none) as they are at some point."""

    source: int
    source_port: int
    destination: int
    destination_port: int


class RulePlace(NamedTuple):
    """Where a rule stands; rules count from 1."""

    table: TableName
    chain: str
    rule: int


class MemberMet(NamedTuple):
    """A member of a set that a packet was found to be."""

    set_name: str
    member: SetMember


class End(Enum):
    """Where a packet's way ended."""

    DELIVERED = "delivered to this host"
    SENT = "sent"
    DROPPED = "dropped by a rule"
    REJECTED = "rejected by a rule"
    QUEUED = "queued to a process"
    STOPPED = "stopped between hooks"
    """The kernel gave up outside any chain: no route, TTL, no forwarding, …"""
    UNDECIDED = "depends on what netfw cannot know"


@dataclass(frozen=True, slots=True)
class Traversal:
    """Steps in order, and where they ended.

    ``detail`` says more: the interface a packet left by, why it stopped, or what is not known.
    ``mark`` and ``final`` are the packet's mark and addressing at the end; ``final`` is None where
    nobody saw it.
    ``optional`` holds the indexes of steps that may or may not happen (a LOG behind a rate limit).
    ``open_rule`` is the rule of which nobody knows whether the packet matches it, where the way
    ended undecided for that.
    ``members`` are what the rules of steps, by index, found in sets; only a prediction has them.
    """

    steps: tuple[Step, ...]
    end: End
    detail: str = ""
    mark: int = 0
    final: Addressing | None = None
    optional: frozenset[int] = frozenset()
    open_rule: RulePlace | None = None
    members: Mapping[int, tuple[MemberMet, ...]] = field(default_factory=dict, compare=False)

    @property
    def stations(self) -> tuple[Station, ...]:
        """The tables and hooks that were passed, each once, in order."""
        return tuple(stations_of(self.steps))


def stations_of(steps: tuple[Step, ...]) -> Iterator[Station]:
    """The stations of steps in order; a station shows again where it was entered again."""
    last: Station | None = None
    finished = False
    for step in steps:
        station = Station(step.hook, step.table)
        if station != last or finished:
            yield station
            last = station
        finished = step.outcome in _FINAL
    return


_FINAL = frozenset({Outcome.ACCEPT, Outcome.DROP, Outcome.REJECT, Outcome.QUEUE})


class Stop(Exception):
    """The packet's way ends here."""

    def __init__(self, end: End, detail: str = "", open_rule: RulePlace | None = None) -> None:
        super().__init__(detail)
        self.end = end
        self.detail = detail
        self.open_rule = open_rule
