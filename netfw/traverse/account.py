"""A packet's predicted way together with the rules that it met."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from netfw.facts.saved_rules import SavedRules
from netfw.ir.names import Backend, TableName
from netfw.ir.ruleset import Rule, Ruleset
from netfw.traverse.completion import (
    complete_alone,
    facts_said,
    interface_kinds,
    interfaces_told_apart,
)
from netfw.traverse.connection import Conntrack
from netfw.traverse.packet import Packet
from netfw.traverse.saved_walk import SavedWalker, saved_needs_conntrack
from netfw.traverse.sketch import Sketch
from netfw.traverse.traversal import End, Outcome, Step, Traversal
from netfw.traverse.walk import Walker, needs_conntrack

_DECIDING = frozenset({Outcome.ACCEPT, Outcome.DROP, Outcome.REJECT, Outcome.QUEUE})


@dataclass(frozen=True, slots=True)
class Account:
    """How a packet goes: ``rules`` has the rule of each step, None where it is of no rule.

    ``backends`` has the backend of each step where both hold rules, and is empty elsewhere.
    ``completed`` are the pieces that its description left out, ``notes`` what else is to be said.
    ``by_any_interface`` says that the packet comes in, and that by which interface is the same.
    """

    packet: Packet
    traversal: Traversal
    rules: tuple[Rule | None, ...]
    backends: tuple[Backend, ...] = ()
    completed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    by_any_interface: bool = False

    @property
    def deciding(self) -> int | None:
        """The index of the step that decided: of the rule that dropped or accepted the packet.

        Rules of ours carry their decision in the mark and act on it later: there it is the rule
        that went to the verdict's chain. None where no rule decided.
        """
        traversal = self.traversal
        if traversal.end in (End.STOPPED, End.UNDECIDED):
            return None
        ended_by_rule = traversal.end in (End.DROPPED, End.REJECTED)
        deciding = [
            index
            for index, step in enumerate(traversal.steps)
            if step.outcome in _DECIDING and (step.rule or ended_by_rule)
        ]
        if not ended_by_rule:
            # nat translates and mangle marks: what lets packets through is filter, if any does
            deciding = [
                index for index in deciding if traversal.steps[index].table is not TableName.NAT
            ]
            by_filter = [
                index for index in deciding if traversal.steps[index].table is TableName.FILTER
            ]
            deciding = by_filter or deciding
        if not deciding:
            return None
        last = deciding[-1]
        rule = self.rules[last]
        if rule is None or not rule.is_ours:
            return last
        station = traversal.steps[last].station
        earlier = [
            index
            for index, step in enumerate(traversal.steps[:last])
            if step.outcome is Outcome.GOTO and step.station == station
        ]
        return earlier[-1] if earlier else last


def account_of(ruleset: Ruleset, packet: Packet, traversal: Traversal) -> Account:
    """An account of a way through one ruleset."""
    return Account(packet, traversal, tuple(rule_of(ruleset, step) for step in traversal.steps))


def rule_of(ruleset: Ruleset, step: Step) -> Rule | None:
    """The rule of a step; None for the end of a chain and for chain policies."""
    table = ruleset.table(step.table)
    chain = None if table is None else table.find_chain(step.chain)
    if chain is None or not step.rule:
        return None
    return chain.rule(step.rule)


class Scene(Protocol):
    """What packets are explained against: rules, and what is known of their host."""

    def explain(self, sketch: Sketch) -> Account:
        """Complete a description and walk it; raises CompletionError."""


class RulesAlone:
    """Rules of which no host is known: descriptions say where packets come from and go to."""

    def __init__(
        self, rules: Ruleset | SavedRules, make_conntrack: Callable[[], Conntrack]
    ) -> None:
        self.rules = rules
        self._make_conntrack = make_conntrack
        self._conntracks: dict[str, Conntrack] = {}
        self._walkers: dict[tuple[object, ...], Walker] = {}
        self._needs_conntrack = (
            saved_needs_conntrack(rules)
            if isinstance(rules, SavedRules)
            else needs_conntrack(rules)
        )

    def explain(self, sketch: Sketch) -> Account:
        """Walk a packet; one of which no interface is said comes in by each kind of interface
        that the rules tell apart, and where that makes a difference, nobody knows."""
        sketch = complete_alone(sketch)
        if sketch.has_way:
            account = self._walk(sketch, "")
            return replace(account, completed=sketch.completed)
        packet = sketch.packet
        accounts = {
            name: self._walk(replace(sketch, packet=replace(packet, in_interface=name)), name)
            for name in self._interfaces()
        }
        account = next(iter(accounts.values()))
        completed = ("to this host, in by any interface", *sketch.completed)
        if len({_outcome(one) for one in accounts.values()}) > 1:
            account = _undecided(account, accounts)
        return replace(account, packet=packet, completed=completed, by_any_interface=True)

    def _interfaces(self) -> list[str]:
        if isinstance(self.rules, SavedRules):
            return interface_kinds(self.rules.interfaces())
        return interfaces_told_apart(self.rules)

    def _walk(self, sketch: Sketch, world: str) -> Account:
        """One walk; each of several ``worlds`` has connections of its own."""
        packet = sketch.packet
        walker = self._walker(sketch, world)
        traversal = walker.walk(packet)
        rules = self.rules
        if isinstance(rules, Ruleset):
            return account_of(rules, packet, traversal)
        met: list[Rule | None] = []
        for step in traversal.steps:
            chain = rules.find_chain(step.table, step.chain)
            met.append(None if chain is None or not step.rule else chain.rule(step.rule))
        return Account(packet, traversal, tuple(met))

    def _walker(self, sketch: Sketch, world: str) -> Walker:
        """The walker for what a description says of the host: matches may ask that too."""
        packet, leaves_by = sketch.packet, sketch.leaves_by
        key = (world, packet.in_interface, leaves_by, leaves_by or packet.destination)
        found = self._walkers.get(key)
        if found is not None:
            return found
        if world not in self._conntracks:
            self._conntracks[world] = self._make_conntrack()
        facts, conntrack, is_on = (
            facts_said(sketch),
            self._conntracks[world],
            self._needs_conntrack,
        )
        made: Walker
        if isinstance(self.rules, SavedRules):
            made = SavedWalker(self.rules, facts, conntrack, conntrack_is_on=is_on)
        else:
            made = Walker(self.rules, facts, conntrack, conntrack_is_on=is_on)
        self._walkers[key] = made
        return made


def _outcome(account: Account) -> tuple[object, ...]:
    traversal = account.traversal
    return traversal.end, traversal.detail, traversal.mark, traversal.final, traversal.steps


def _undecided(account: Account, accounts: Mapping[str, Account]) -> Account:
    ways: dict[tuple[End, str, int], list[str]] = {}
    for name, one in accounts.items():
        way = one.traversal
        ways.setdefault((way.end, way.detail, way.mark), []).append(name)
    if len(ways) == 1:
        # other steps to the same end
        return account
    told = "; ".join(
        f"in {' or '.join(names)}: {end.value}{f' ({detail})' if detail else ''}, mark {mark:#x}"
        for (end, detail, mark), names in ways.items()
    )
    traversal = Traversal((), End.UNDECIDED, f"the interface it comes in by: {told}")
    return replace(account, traversal=traversal, rules=(), backends=())
