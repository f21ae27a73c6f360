"""A packet's predicted way together with the rules that it met."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from netfw.facts.saved_rules import SavedChain, SavedRules
from netfw.ir.names import Backend, Hook, TableName
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule, Ruleset
from netfw.traverse.completion import (
    complete_alone,
    facts_said,
    interface_kinds,
    interfaces_told_apart,
)
from netfw.traverse.connection import Conntrack
from netfw.traverse.packet import Packet
from netfw.traverse.saved_walk import SavedWalker, saved_needs_conntrack
from netfw.traverse.set_lookup import SetLookup
from netfw.traverse.sketch import Sketch
from netfw.traverse.traversal import End, Outcome, RulePlace, Traversal
from netfw.traverse.walk import Walker, needs_conntrack

_BUILTIN = frozenset(hook.value for hook in Hook)
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
    open_rule: Rule | None = None
    """The rule of which nobody knows whether the packet matches it, where that is the end."""
    if_it_matches: Account | None = None
    if_not: Account | None = None
    """What would become of the packet in either case of the open rule, where that was tried."""
    origin_of: Callable[[str], Origin | None] = field(default=lambda _: None, compare=False)
    """Where the policy says what a comment names, for members of sets."""

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


def account_of(rules: Ruleset | SavedRules, packet: Packet, traversal: Traversal) -> Account:
    """An account of a way through one ruleset."""
    met = tuple(
        rule_at(rules, RulePlace(step.table, step.chain, step.rule)) for step in traversal.steps
    )
    place = traversal.open_rule
    open_rule = None if place is None else rule_at(rules, place)
    return Account(packet, traversal, met, open_rule=open_rule)


def rule_at(rules: Ruleset | SavedRules, place: RulePlace) -> Rule | None:
    """The rule at a place; None for the ends of chains and for chain policies, which have 0."""
    chain: Chain | SavedChain | None
    if isinstance(rules, SavedRules):
        chain = rules.find_chain(place.table, place.chain)
    else:
        table = rules.table(place.table)
        chain = None if table is None else table.find_chain(place.chain)
    return None if chain is None or not place.rule else chain.rule(place.rule)


class Scene(Protocol):
    """What packets are explained against: rules, and what is known of their host."""

    def explain(self, sketch: Sketch) -> Account:
        """Complete a description and walk it; raises CompletionError."""

    def assuming(self, place: RulePlace, *, matches: bool) -> Scene | None:
        """The same, freshly, where a rule matches of which nobody knows it, or does not; None
        where a place does not say which rule is meant."""


def explain_both_ways(scene: Scene, sketch: Sketch) -> Account:
    """Explain a single packet; where a rule leaves it open, also what would be in either case.

    Where that is the same, the rule leaves nothing open. A packet may come to a user chain
    several times, and a limit answers differently each time: there nothing is concluded.
    """
    account = scene.explain(sketch)
    place = account.traversal.open_rule
    if place is None or account.open_rule is None:
        return account
    matching = scene.assuming(place, matches=True)
    other = scene.assuming(place, matches=False)
    if matching is None or other is None:
        return account
    if_it_matches, if_not = matching.explain(sketch), other.explain(sketch)
    same = _end(if_it_matches) == _end(if_not) and if_not.traversal.end is not End.UNDECIDED
    if not same or place.chain not in _BUILTIN:
        return replace(account, if_it_matches=if_it_matches, if_not=if_not)
    rule = f"{place.table} {place.chain} rule {place.rule}"
    note = f"whether {rule} matches is not known; the end is the same if it does"
    return replace(if_not, notes=(note, *if_not.notes))


def _end(account: Account) -> tuple[object, ...]:
    traversal = account.traversal
    return traversal.end, traversal.detail, traversal.mark, traversal.final


class RulesAlone:
    """Rules of which no host is known: descriptions say where packets come from and go to.

    ``sets`` are those of ipset, where they are known; ``origin_of`` says where a policy says what
    the comment of a member names.
    """

    def __init__(
        self,
        rules: Ruleset | SavedRules,
        make_conntrack: Callable[[], Conntrack],
        sets: Mapping[str, SetLookup] = MappingProxyType({}),
        origin_of: Callable[[str], Origin | None] = lambda _: None,
    ) -> None:
        self.rules = rules
        self._origin_of = origin_of
        self._sets = sets
        self._assumed: dict[RulePlace, bool] = {}
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

    def assuming(self, place: RulePlace, *, matches: bool) -> RulesAlone:
        """The same, freshly, where a rule matches of which nobody knows it, or does not."""
        made = RulesAlone(self.rules, self._make_conntrack, self._sets, self._origin_of)
        made._assumed = {**self._assumed, place: matches}
        return made

    def _interfaces(self) -> list[str]:
        if isinstance(self.rules, SavedRules):
            return interface_kinds(self.rules.interfaces())
        return interfaces_told_apart(self.rules)

    def _walk(self, sketch: Sketch, world: str) -> Account:
        """One walk; each of several ``worlds`` has connections of its own."""
        packet = sketch.packet
        account = account_of(self.rules, packet, self._walker(sketch, world).walk(packet))
        return replace(account, origin_of=self._origin_of)

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
            replace(facts_said(sketch), sets=self._sets),
            self._conntracks[world],
            self._needs_conntrack,
        )
        made: Walker
        if isinstance(self.rules, SavedRules):
            made = SavedWalker(self.rules, facts, conntrack, conntrack_is_on=is_on)
        else:
            made = Walker(self.rules, facts, conntrack, conntrack_is_on=is_on)
        made.assumed = self._assumed
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
    return replace(account, traversal=traversal, rules=(), backends=(), open_rule=None)
