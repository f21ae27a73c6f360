"""The second witness: a pure model of how the kernel takes a packet through a ruleset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from netfw.ir.match import ConnectionState, ConnmarkMatch, ConntrackMatch, StateMatch
from netfw.ir.names import ChainPolicy, Hook, TableName
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table
from netfw.ir.target import (
    Accept,
    Ct,
    Dnat,
    Drop,
    Goto,
    Jump,
    Log,
    Masquerade,
    Nflog,
    NoTarget,
    Redirect,
    Reject,
    RestoreMark,
    Return,
    SaveMark,
    SetConnmark,
    SetMark,
    Snat,
    Target,
    Trace,
)
from netfw.traverse import nat
from netfw.traverse.connection import Conntrack
from netfw.traverse.evaluate import Predicate, predicate_of
from netfw.traverse.hooks import KernelPoint, hook_entries
from netfw.traverse.host_facts import LOOPBACK, HostFacts
from netfw.traverse.martian import refused_on_arrival, refused_on_departure
from netfw.traverse.packet import Packet
from netfw.traverse.skb import Skb
from netfw.traverse.traversal import Addressing, End, Outcome, Station, Step, Traversal

_CONNTRACK_MATCHES = (ConntrackMatch, StateMatch, ConnmarkMatch)
_CONNTRACK_TARGETS = (Ct, Snat, Dnat, Masquerade, Redirect, SetConnmark, SaveMark, RestoreMark)
_INERT = (NoTarget, Log, Nflog, Trace)
"""Targets after which nothing is different for the packet."""


def needs_conntrack(ruleset: Ruleset) -> bool:
    """Whether a rule switches connection tracking on for the ruleset's family.

    Loading the nat table does not; a match or target that calls nf_ct_netns_get does
    (conntrack, state, connmark, CT, CONNMARK and all nat targets).
    """
    return any(
        isinstance(rule.target, _CONNTRACK_TARGETS)
        or any(isinstance(match, _CONNTRACK_MATCHES) for match in rule.matches)
        for table in ruleset.tables
        for chain in table.chains
        for rule in chain.rules
    )


def loaded_stations(ruleset: Ruleset) -> frozenset[Station]:
    """The tables at hooks where the ruleset has a built-in chain."""
    return frozenset(
        Station(Hook(chain.name), table.name)
        for table in ruleset.tables
        for chain in table.chains
        if chain.is_builtin
    )


class _Ready(NamedTuple):
    """A rule made ready for the walk."""

    number: int
    predicates: tuple[Predicate, ...]
    target: Target


@dataclass(frozen=True, slots=True)
class _ReadyChain:
    name: str
    rules: tuple[_Ready, ...]
    policy: ChainPolicy | None


class _Stop(Exception):
    """The packet's way ends here."""

    def __init__(self, end: End, detail: str = "") -> None:
        super().__init__(detail)
        self.end = end
        self.detail = detail


def walk(
    ruleset: Ruleset, packet: Packet, facts: HostFacts, conntrack: Conntrack | None = None
) -> Traversal:
    """Predict how the kernel takes a packet through a ruleset.

    ``conntrack`` holds the connections that exist before, and keeps the packet's own
    afterwards; without it the packet is the first of a fresh namespace.
    For many packets make one ``Walker``.
    """
    return Walker(ruleset, facts, conntrack).walk(packet)


class Walker:
    """A ruleset made ready to walk many packets through, in the order in which they come."""

    def __init__(
        self,
        ruleset: Ruleset,
        facts: HostFacts,
        conntrack: Conntrack | None = None,
        *,
        conntrack_is_on: bool | None = None,
    ) -> None:
        self.ruleset = ruleset
        self.facts = facts
        self.conntrack = Conntrack() if conntrack is None else conntrack
        self.conntrack_is_on = (
            needs_conntrack(ruleset) if conntrack_is_on is None else conntrack_is_on
        )
        self._chains: dict[tuple[TableName, str], _ReadyChain] = {}
        self._predicates: dict[object, Predicate] = {}
        for table in ruleset.tables:
            for chain in table.chains:
                self._chains[table.name, chain.name] = self._ready(chain)
        self._points: dict[Hook, tuple[TableName | KernelPoint, ...]] = {
            hook: tuple(
                entry.what
                for entry in hook_entries(hook, facts.security_priority)
                if isinstance(entry.what, KernelPoint) or self._has(entry.what, hook)
            )
            for hook in Hook
        }
        self._nat_is_loaded = ruleset.table(TableName.NAT) is not None

    def _has(self, table_name: TableName, hook: Hook) -> bool:
        table: Table | None = self.ruleset.table(table_name)
        return table is not None and table.builtin(hook) is not None

    def _ready(self, chain: Chain) -> _ReadyChain:
        return _ReadyChain(
            chain.name,
            tuple(
                _Ready(number, self._ready_matches(rule), rule.target)
                for number, rule in enumerate(chain.rules, start=1)
            ),
            chain.policy,
        )

    def _ready_matches(self, rule: Rule) -> tuple[Predicate, ...]:
        predicates = []
        for match in rule.matches:
            predicate = self._predicates.get(match)
            if predicate is None:
                predicate = self._predicates[match] = predicate_of(match, self.facts)
            predicates.append(predicate)
        return tuple(predicates)

    def walk(self, packet: Packet) -> Traversal:
        """Predict one packet's way; its connection is kept for the packets that follow."""
        steps: list[Step] = []
        optional: set[int] = set()
        skb = Skb(packet)
        trip = _Trip(self, skb, steps, optional)
        try:
            if packet.is_local:
                end, detail = trip.local_out()
            else:
                end, detail = trip.arrive()
        except _Stop as stop:
            end, detail = stop.end, stop.detail
            if end is End.UNDECIDED and skb.connection is not None:
                why = "it follows a packet of its connection that cannot be foretold"
                self.conntrack.doubt(skb.connection, why)
        final = Addressing(skb.source, skb.source_port, skb.destination, skb.destination_port)
        return Traversal(tuple(steps), end, detail, skb.mark, final, frozenset(optional))


class _Trip:
    """One packet under way."""

    __slots__ = ("optional", "skb", "steps", "walker")

    def __init__(self, walker: Walker, skb: Skb, steps: list[Step], optional: set[int]) -> None:
        self.walker = walker
        self.skb = skb
        self.steps = steps
        self.optional = optional

    def arrive(self) -> tuple[End, str]:
        """From an interface: PREROUTING, routing, then INPUT or FORWARD and POSTROUTING."""
        skb, facts = self.skb, self.walker.facts
        self._hook(Hook.PREROUTING)
        family = skb.packet.family
        refused = refused_on_arrival(family, skb.in_interface, skb.source, skb.destination, facts)
        if refused:
            raise _Stop(End.STOPPED, refused)
        decision = facts.route(family, skb.destination, skb.mark)
        if decision is None:
            raise _Stop(End.STOPPED, "no route to the destination")
        if decision.is_local:
            self._hook(Hook.INPUT)
            return End.DELIVERED, ""
        if not facts.forwarding:
            raise _Stop(End.STOPPED, "forwarding is off")
        if skb.packet.ttl <= 1:
            raise _Stop(End.STOPPED, "TTL or hop limit ran out")
        skb.out_interface = decision.interface
        self._hook(Hook.FORWARD)
        self._hook(Hook.POSTROUTING)
        return End.SENT, skb.out_interface

    def local_out(self) -> tuple[End, str]:
        """From a process: routing, OUTPUT, POSTROUTING; over lo also PREROUTING and INPUT."""
        skb, facts = self.skb, self.walker.facts
        family = skb.packet.family
        decision = facts.route(family, skb.destination, skb.mark)
        if decision is None:
            raise _Stop(End.STOPPED, "no route to the destination")
        # nf_hook_state.out is fixed when OUTPUT begins: a later re-route does not change what
        # -o sees here, only in POSTROUTING (__ip_local_out in net/ipv4/ip_output.c)
        skb.out_interface = decision.interface
        leaves_by = [decision.interface]
        self._hook(Hook.OUTPUT, leaves_by)
        skb.out_interface = leaves_by[0]
        self._hook(Hook.POSTROUTING)
        if skb.out_interface != LOOPBACK:
            return End.SENT, skb.out_interface
        skb.in_interface, skb.out_interface = LOOPBACK, ""
        return self.arrive()

    def _hook(self, hook: Hook, leaves_by: list[str] | None = None) -> None:
        for what in self.walker._points[hook]:
            if isinstance(what, KernelPoint):
                self._kernel_point(what)
            elif what is TableName.NAT:
                self._nat(hook, leaves_by)
            elif what is TableName.MANGLE and hook is Hook.OUTPUT:
                before = (self.skb.mark, self.skb.source, self.skb.destination)
                self._table(hook, what)
                if before != (self.skb.mark, self.skb.source, self.skb.destination):
                    self._reroute(leaves_by)
            else:
                self._table(hook, what)

    def _kernel_point(self, point: KernelPoint) -> None:
        skb, walker = self.skb, self.walker
        if not walker.conntrack_is_on:
            return
        if point is KernelPoint.CONNTRACK and not skb.tracked:
            skb.tracked = True
            tracked = walker.conntrack.track(skb.packet)
            if tracked.doubt:
                raise _Stop(End.UNDECIDED, tracked.doubt)
            skb.connection, skb.state, skb.is_reply = (
                tracked.connection,
                tracked.state,
                tracked.is_reply,
            )
        elif (
            point is KernelPoint.CONFIRM
            and skb.connection is not None
            and not skb.is_reply
            and not walker.conntrack.confirm(skb.connection)
        ):
            raise _Stop(End.UNDECIDED, "the connection clashes with another one")

    def _reroute(self, leaves_by: list[str] | None) -> None:
        # ip_route_me_harder: from mangle OUTPUT for mark and addresses, from nat OUTPUT
        skb = self.skb
        decision = self.walker.facts.route(skb.packet.family, skb.destination, skb.mark)
        if decision is None:
            raise _Stop(End.STOPPED, "no route after re-routing")
        refused = refused_on_departure(skb.packet.family, skb.source, decision.interface)
        if refused:
            raise _Stop(End.STOPPED, refused)
        if leaves_by is not None:
            leaves_by[0] = decision.interface

    def _nat(self, hook: Hook, leaves_by: list[str] | None) -> None:
        skb = self.skb
        if skb.connection is None:
            return
        if skb.state is not ConnectionState.RELATED and not nat.is_bound(skb, hook):
            self._table(hook, TableName.NAT)
            if not nat.is_bound(skb, hook):
                unknowable = nat.bind_nothing(skb, hook, self.walker.conntrack)
                if unknowable is not None:
                    raise _Stop(End.UNDECIDED, unknowable.reason)
        before = skb.destination
        nat.translate(skb, hook)
        if hook is Hook.OUTPUT and before != skb.destination:
            self._reroute(leaves_by)

    def _table(self, hook: Hook, table: TableName) -> None:
        """Run a table's built-in chain; returns where the packet is accepted, else stops."""
        chains = self.walker._chains
        chain = chains[table, hook.value]
        position = 0
        callers: list[tuple[_ReadyChain, int]] = []
        while True:
            entered = self._next(hook, table, chain, position)
            if entered is None:
                # the end of the chain, or RETURN
                if callers:
                    chain, position = callers.pop()
                    continue
                self._policy(hook, table, chain)
                return
            rule, outcome = entered
            if outcome is Outcome.ACCEPT:
                return
            target = rule.target
            if isinstance(target, Jump):
                callers.append((chain, rule.number))
                chain, position = chains[table, target.chain], 0
            elif isinstance(target, Goto):
                chain, position = chains[table, target.chain], 0
            elif isinstance(target, Return):
                if callers:
                    chain, position = callers.pop()
                else:
                    self._policy(hook, table, chain)
                    return

    def _next(
        self, hook: Hook, table: TableName, chain: _ReadyChain, position: int
    ) -> tuple[_Ready, Outcome] | None:
        """Go on in a chain until a rule leads out of it; None at the end of the chain."""
        skb, steps = self.skb, self.steps
        for rule in chain.rules[position:] if position else chain.rules:
            verdict: bool | None = True
            for predicate in rule.predicates:
                holds = predicate(skb)
                if not holds:
                    verdict = holds
                    if holds is False:
                        break
            if verdict is False:
                continue
            if verdict is None:
                if not isinstance(rule.target, _INERT):
                    raise _Stop(
                        End.UNDECIDED,
                        f"rule {rule.number} of {table}.{chain.name} has a match whose result "
                        "is not known",
                    )
                self.optional.add(len(steps))
            before = skb.mark
            outcome = self._run(rule.target, hook)
            steps.append(Step(hook, table, chain.name, rule.number, outcome, before, skb.mark))
            if outcome is Outcome.CONTINUE:
                continue
            if outcome is Outcome.DROP:
                raise _Stop(End.DROPPED)
            if outcome is Outcome.REJECT:
                raise _Stop(End.REJECTED)
            if outcome is Outcome.QUEUE:
                raise _Stop(End.UNDECIDED, f"rule {rule.number} of {table}.{chain.name}")
            return rule, outcome
        if chain.policy is None:
            steps.append(Step(hook, table, chain.name, 0, Outcome.RETURN, skb.mark, skb.mark))
        return None

    def _policy(self, hook: Hook, table: TableName, chain: _ReadyChain) -> None:
        # the policy is that of the hook's own chain, also behind a goto out of it
        builtin = self.walker._chains[table, hook.value]
        mark = self.skb.mark
        dropped = builtin.policy is ChainPolicy.DROP
        outcome = Outcome.DROP if dropped else Outcome.ACCEPT
        self.steps.append(Step(hook, table, builtin.name, 0, outcome, mark, mark))
        if dropped:
            raise _Stop(End.DROPPED)

    def _run(self, target: Target, hook: Hook) -> Outcome:
        skb = self.skb
        run = _SIMPLE.get(type(target))
        if run is not None:
            return run
        match target:
            case SetMark(mark):
                skb.mark = mark.set_on(skb.mark)
            case SetConnmark(mark):
                if skb.connection is not None:
                    skb.connection.mark = mark.set_on(skb.connection.mark)
            case SaveMark(nfmask, ctmask):
                if skb.connection is not None:
                    kept = skb.connection.mark & ~ctmask
                    skb.connection.mark = kept ^ (skb.mark & nfmask)
            case RestoreMark(nfmask, ctmask):
                if skb.connection is not None:
                    skb.mark = (skb.mark & ~nfmask) ^ (skb.connection.mark & ctmask)
            case Ct(notrack, words):
                if words:
                    raise _Stop(End.UNDECIDED, f"-j CT {' '.join(words)}")
                if notrack and not skb.tracked:
                    skb.tracked = True
                    skb.state = ConnectionState.UNTRACKED
            case Snat() | Dnat() | Masquerade() | Redirect():
                unknowable = nat.bind(target, skb, hook, self.walker.facts, self.walker.conntrack)
                if unknowable is not None:
                    raise _Stop(End.UNDECIDED, unknowable.reason)
                return Outcome.ACCEPT
            case _:
                raise _Stop(End.UNDECIDED, f"target {target} is not known")
        return Outcome.CONTINUE


_SIMPLE: dict[type, Outcome] = {
    Accept: Outcome.ACCEPT,
    Drop: Outcome.DROP,
    Reject: Outcome.REJECT,
    Return: Outcome.RETURN,
    Jump: Outcome.JUMP,
    Goto: Outcome.GOTO,
    NoTarget: Outcome.CONTINUE,
    Log: Outcome.CONTINUE,
    Nflog: Outcome.CONTINUE,
    Trace: Outcome.CONTINUE,
}
