"""A live host as what packets are explained against: its rules, and how it routes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from netfw.host.live_facts import TRANSPARENT, LiveFacts, read_facts
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_rules import LiveRules, read_rules
from netfw.host.live_sets import read_sets
from netfw.ir.names import Family
from netfw.ir.ruleset import Ruleset
from netfw.traverse.account import Account, account_of, rule_at
from netfw.traverse.completion import complete_on_host
from netfw.traverse.connection import Conntrack
from netfw.traverse.host_facts import LOOPBACK, HostFacts
from netfw.traverse.other_hooks import chains_met
from netfw.traverse.packet import Packet
from netfw.traverse.sketch import CompletionError, Sketch
from netfw.traverse.traversal import End, RulePlace, Traversal
from netfw.traverse.two_backends import BothOrders, without_idle_tables
from netfw.traverse.walk import Walker


class LiveScene:
    """What was found on a host when it was looked at; nothing is read afterwards."""

    def __init__(
        self, rules: LiveRules, facts: LiveFacts, make_conntrack: Callable[[], Conntrack]
    ) -> None:
        self.rules = rules
        self.facts = facts
        self._make_conntrack = make_conntrack
        idle_left_out = {
            backend: without_idle_tables(ruleset) for backend, ruleset in rules.rulesets.items()
        }
        busy = {backend: ruleset for backend, ruleset in idle_left_out.items() if ruleset.tables}
        anyone = Packet(facts.family, 0, 0, 0)
        known = facts.for_packet(anyone, rules.security_priority)
        self._both: BothOrders | None = None
        if len(busy) > 1:
            self._both = BothOrders(busy, known, (make_conntrack(), make_conntrack()))
        backend = next(iter(busy), next(iter(rules.rulesets), None))
        none = Ruleset(facts.family)
        self._ruleset = none if backend is None else rules.rulesets[backend]
        self._walker = Walker(self._ruleset, known, make_conntrack())

    @classmethod
    def read(
        cls, namespace: LiveNamespace, family: Family, make_conntrack: Callable[[], Conntrack]
    ) -> LiveScene:
        """Look at a namespace; raises HostError, and FactError for what cannot be understood."""
        rules = read_rules(namespace, family)
        facts = replace(read_facts(namespace, family), sets=read_sets(namespace, rules))
        return cls(rules, facts, make_conntrack)

    @property
    def has_both_backends(self) -> bool:
        """Whether rules of both backends have a say here; which comes first, nothing tells."""
        return self._both is not None

    def explain(self, sketch: Sketch) -> Account:
        """Complete a description as this host would, and walk it; raises CompletionError."""
        for name in (sketch.packet.in_interface, sketch.leaves_by):
            if name and name not in self.facts.interfaces:
                known = ", ".join(sorted(self.facts.interfaces))
                raise CompletionError(f"this host has no interface {name}", f"it has {known}")
        sketch = self._behind_master(sketch)
        sketch = complete_on_host(sketch, self.facts.addresses, self.facts.tables)
        packet = sketch.packet
        facts = self.facts.for_packet(packet, self.rules.security_priority)
        refused = self.facts.refuses_interface(packet)
        if refused:
            account = Account(packet, Traversal((), End.STOPPED, refused, packet.mark), ())
        else:
            account = self._walk(packet, facts)
        return replace(
            account, completed=sketch.completed, notes=self._notes(sketch, account.traversal)
        )

    def assuming(self, place: RulePlace, *, matches: bool) -> LiveScene | None:
        """The same, freshly, where a rule matches of which nobody knows it, or does not; None
        where both backends may have a rule at that place."""
        if self._both is not None:
            return None
        made = LiveScene(self.rules, self.facts, self._make_conntrack)
        made._walker.assumed = {**self._walker.assumed, place: matches}
        return made

    def _behind_master(self, sketch: Sketch) -> Sketch:
        """IP sees packets of a bridge's or bond's members come in by the bridge or bond."""
        interface = self.facts.interfaces.get(sketch.packet.in_interface)
        if interface is None or interface.master_kind not in TRANSPARENT:
            return sketch
        master = interface.master
        said = f"in {master} (to which {interface.name} belongs)"
        packet = replace(sketch.packet, in_interface=master)
        return replace(sketch, packet=packet, completed=(said, *sketch.completed))

    def _walk(self, packet: Packet, facts: HostFacts) -> Account:
        if self._both is None:
            traversal = self._walker.walk(packet, facts)
            account = account_of(self._ruleset, packet, traversal)
        else:
            labelled = self._both.walk(packet, facts)
            traversal, backends = labelled.traversal, labelled.backends
            rulesets, place = self._both.rulesets, traversal.open_rule
            rules = tuple(
                rule_at(rulesets[backend], RulePlace(step.table, step.chain, step.rule))
                for backend, step in zip(backends, traversal.steps, strict=True)
            )
            open_rule = None if place is None else rule_at(rulesets[labelled.last], place)
            account = Account(packet, traversal, rules, backends, open_rule=open_rule)
        if traversal.end is End.UNDECIDED:
            return account
        bridges = frozenset(
            one.name for one in self.facts.interfaces.values() if one.kind == "bridge"
        )
        doubts = [
            *self.facts.doubts_about(packet),
            *(
                chain.description
                for chain in chains_met(traversal, packet, self.rules.others, facts, bridges)
            ),
        ]
        loopback = self.facts.interfaces.get(LOOPBACK)
        came_over_lo = packet.is_local and traversal.end is not End.SENT
        if came_over_lo and (loopback is None or not loopback.is_up):
            doubts.append("what this host sends to itself, as lo is down")
        if not doubts:
            return account
        undecided = replace(traversal, end=End.UNDECIDED, detail="; ".join(doubts))
        return replace(account, traversal=undecided)

    def _notes(self, sketch: Sketch, traversal: Traversal) -> tuple[str, ...]:
        notes = []
        leaves_by = sketch.leaves_by
        if leaves_by and traversal.end is End.SENT and traversal.detail != leaves_by:
            notes.append(f"routing sends it out by {traversal.detail}, not by {leaves_by}")
        if leaves_by and traversal.end is End.DELIVERED:
            notes.append(f"it is for this host, and does not leave by {leaves_by}")
        return tuple(notes)
