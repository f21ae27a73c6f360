"""The third witness: what the kernel's TRACE reported, as steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from netfw.host.packets import cookie_of
from netfw.host.trace import EventKind, TraceEvent
from netfw.ir.names import Backend, ChainPolicy, Family, Hook, TableName
from netfw.ir.ruleset import Ruleset
from netfw.ir.target import (
    Accept,
    Dnat,
    Drop,
    Goto,
    Jump,
    Masquerade,
    Netmap,
    Nfqueue,
    Redirect,
    Reject,
    Return,
    Snat,
    Target,
    UnknownTarget,
)
from netfw.traverse.traversal import End, Outcome, Step, Traversal
from netfw.verify.instrument import TRACED_CHAINS

_HOOKS = {hook.value: hook for hook in Hook}
_TABLES = {table.value: table for table in TableName}
NFT_OUTCOMES = {
    "accept": Outcome.ACCEPT,
    "drop": Outcome.DROP,
    "continue": Outcome.CONTINUE,
    "break": Outcome.CONTINUE,
    "jump": Outcome.JUMP,
    "goto": Outcome.GOTO,
    "return": Outcome.RETURN,
    "queue": Outcome.QUEUE,
    "stolen": Outcome.QUEUE,
}
TARGET_OUTCOMES: dict[type, Outcome] = {
    Accept: Outcome.ACCEPT,
    Snat: Outcome.ACCEPT,
    Dnat: Outcome.ACCEPT,
    Masquerade: Outcome.ACCEPT,
    Redirect: Outcome.ACCEPT,
    Netmap: Outcome.ACCEPT,
    Drop: Outcome.DROP,
    Reject: Outcome.REJECT,
    Return: Outcome.RETURN,
    Jump: Outcome.JUMP,
    Goto: Outcome.GOTO,
    Nfqueue: Outcome.QUEUE,
}

Handles = Mapping[tuple[str, str], list[int]]
"""nf_tables' rule handles in order, by table and chain."""


@dataclass(slots=True)
class _Sight:
    """What the trace has shown of one packet so far."""

    steps: list[Step]
    hook: Hook | None = None
    mark: int = 0
    """The mark behind the last event (nf_tables) or before it (legacy)."""


def has_shown(shown: Sequence[Step], predicted: Traversal) -> bool:
    """Whether the trace has shown as much of a packet as was predicted, up to its last step: one
    that may happen or not must not hide that the last one is still to come."""
    needed = len(predicted.steps) - len(predicted.optional)
    if len(shown) < needed or not needed or predicted.end is End.UNDECIDED:
        return len(shown) >= needed
    last, wanted = shown[-1], predicted.steps[-1]
    return (last.station, last.chain, last.rule) == (wanted.station, wanted.chain, wanted.rule)


class Observer:
    """Sorts trace events by probe and turns them into steps.

    ``ruleset`` is what was read back from the kernel, TRACE rules included: a legacy event names
    a rule and no verdict, so the outcome is that of the rule's target. ``handles`` lead from an
    nf_tables rule to its number.
    """

    def __init__(
        self, backend: Backend, family: Family, ruleset: Ruleset, handles: Handles
    ) -> None:
        self._backend = backend
        self._family = family
        self._targets: dict[tuple[str, str, int], Target] = {
            (table.name.value, chain.name, number): rule.target
            for table in ruleset.tables
            for chain in table.chains
            for number, rule in enumerate(chain.rules, start=1)
        }
        self._policies = {
            (table.name.value, chain.name): chain.policy
            for table in ruleset.tables
            for chain in table.chains
        }
        self._numbers = {
            (table, chain, handle): number
            for (table, chain), chain_handles in handles.items()
            for number, handle in enumerate(chain_handles, start=1)
        }
        self._sights: dict[int, _Sight] = {}
        self._number_of_id: dict[int, int | None] = {}
        self.events = 0
        self.strangers = 0
        """Events of packets that are no probes: neighbour discovery, answers of the kernel."""

    def add(self, events: Iterable[TraceEvent]) -> None:
        """Take events in, in the order in which the kernel sent them."""
        for event in events:
            self.events += 1
            if event.family is not self._family:
                self.strangers += 1
                continue
            number = self._number(event)
            if number is None:
                self.strangers += 1
                continue
            sight = self._sights.get(number)
            if sight is None:
                sight = self._sights[number] = _Sight([])
            if self._backend is Backend.NFT:
                self._add_nft(sight, event)
            else:
                self._add_legacy(sight, event)

    def steps(self, number: int) -> tuple[Step, ...] | None:
        """The steps of a probe, or None where the trace never showed it."""
        sight = self._sights.get(number)
        return None if sight is None else tuple(sight.steps)

    def shown(self, number: int) -> Sequence[Step]:
        """The steps that the trace has shown of a probe so far; they become more."""
        sight = self._sights.get(number)
        return () if sight is None else sight.steps

    def _number(self, event: TraceEvent) -> int | None:
        if event.packet_id is None:
            return cookie_of(event.family, event.network, event.transport)
        if event.network:
            # headers come with the first event at each hook; the others say only the id
            number = cookie_of(event.family, event.network, event.transport)
            self._number_of_id[event.packet_id] = number
            return number
        return self._number_of_id.get(event.packet_id)

    def _add_nft(self, sight: _Sight, event: TraceEvent) -> None:
        builtin = _HOOKS.get(event.chain)
        if builtin is not None:
            sight.hook = builtin
        before, sight.mark = sight.mark, event.mark
        if event.kind is EventKind.POLICY:
            self._append(sight, event, 0, NFT_OUTCOMES[event.verdict or ""], before, event.mark)
            return
        if event.number is None:
            # the end of a chain; in a built-in one the policy's event follows
            if builtin is None:
                self._append(sight, event, 0, Outcome.RETURN, before, event.mark)
            return
        number = self._numbers.get((event.table, event.chain, event.number))
        if number is None:
            number = -event.number
        outcome = NFT_OUTCOMES[event.verdict or ""]
        target = self._targets.get((event.table, event.chain, number))
        if outcome is Outcome.DROP and isinstance(target, Reject):
            outcome = Outcome.REJECT
        self._append(sight, event, number, outcome, before, event.mark)

    def _add_legacy(self, sight: _Sight, event: TraceEvent) -> None:
        # a legacy event comes before the target runs: the mark it shows is what the step
        # before it left behind
        if sight.steps:
            last = sight.steps[-1]
            if last.mark_after != event.mark:
                sight.steps[-1] = last._replace(mark_after=event.mark)
        sight.hook = event.hook
        number = event.number or 0
        target = self._targets.get((event.table, event.chain, number))
        if target is not None:
            outcome = TARGET_OUTCOMES.get(type(target), Outcome.CONTINUE)
            if isinstance(target, UnknownTarget):
                outcome = Outcome.QUEUE if "QUEUE" in target.name else Outcome.CONTINUE
        elif event.chain in _HOOKS:
            dropped = self._policies.get((event.table, event.chain)) is ChainPolicy.DROP
            number, outcome = 0, Outcome.DROP if dropped else Outcome.ACCEPT
        else:
            number, outcome = 0, Outcome.RETURN
        self._append(sight, event, number, outcome, event.mark, event.mark)

    def _append(
        self,
        sight: _Sight,
        event: TraceEvent,
        number: int,
        outcome: Outcome,
        before: int,
        after: int,
    ) -> None:
        table = _TABLES[event.table]
        if (table, event.chain) in TRACED_CHAINS and number:
            # the TRACE rule in front is ours for this run: it is no step of the packet's way
            number -= 1
            if number == 0:
                return
        if sight.hook is not None:
            sight.steps.append(
                Step(sight.hook, table, event.chain, number, outcome, before, after)
            )
