"""A packet's way where both of the kernel's iptables hold rules: it passes the chains of both.

At each hook the chains of both backends stand at the same priority, and which comes first is
decided by which was registered last (nf_hook_entries_grow in net/netfilter/core.c), which
nothing tells afterwards. So both orders are walked, and where they do not lead to the same end,
nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from netfw.ir.names import Backend, Hook, TableName
from netfw.ir.ruleset import Ruleset, Table
from netfw.traverse import nat
from netfw.traverse.connection import Conntrack
from netfw.traverse.hooks import KernelPoint, hook_entries
from netfw.traverse.host_facts import HostFacts
from netfw.traverse.packet import Packet
from netfw.traverse.ready import Ready
from netfw.traverse.traversal import End, Traversal
from netfw.traverse.trip import Trip
from netfw.traverse.walk import Walker, needs_conntrack


def has_effect(table: Table) -> bool:
    """Whether a table's built-in chains do anything: a rule, or a chain policy of DROP."""
    return any(
        chain.rules or str(chain.policy) == "DROP" for chain in table.chains if chain.is_builtin
    )


def without_idle_tables(ruleset: Ruleset) -> Ruleset:
    """The ruleset without tables that let every packet through unchanged."""
    return replace(ruleset, tables=tuple(table for table in ruleset.tables if has_effect(table)))


@dataclass(frozen=True, slots=True)
class LabelledTraversal:
    """A traversal, and for each of its steps the backend whose rule or chain it speaks of."""

    traversal: Traversal
    backends: tuple[Backend, ...]
    last: Backend
    """The backend whose chains the packet met last."""


class TwoBackendWalker(Walker):
    """Walks packets through the chains of ``first`` and then of ``second`` at each hook."""

    def __init__(
        self,
        rulesets: Mapping[Backend, Ruleset],
        order: tuple[Backend, Backend],
        facts: HostFacts,
        conntrack: Conntrack,
    ) -> None:
        is_on = any(needs_conntrack(ruleset) for ruleset in rulesets.values())
        super().__init__(rulesets[order[0]], facts, conntrack, conntrack_is_on=is_on)
        self.order = order
        self._second = Walker(rulesets[order[1]], facts, conntrack, conntrack_is_on=is_on)
        self._points = {
            hook: tuple(
                entry.what
                for entry in hook_entries(hook, facts.security_priority)
                if isinstance(entry.what, KernelPoint)
                or entry.what in self._points[hook]
                or entry.what in self._second._points[hook]
            )
            for hook in Hook
        }

    def walk_labelled(self, packet: Packet, facts: HostFacts | None = None) -> LabelledTraversal:
        """Predict one packet's way, with the backend of every step."""
        first, second = self._ready_for(facts), self._second._ready_for(facts)
        writes = first.writes_connmarks or second.writes_connmarks
        sides = tuple(
            (backend, replace(ready, points=self._points, writes_connmarks=writes))
            for backend, ready in zip(self.order, (first, second), strict=True)
        )
        trip = _TwoBackendTrip(sides, packet)
        traversal = self._travel(trip)
        return LabelledTraversal(traversal, tuple(trip.backends), trip.at)

    def walk(self, packet: Packet, facts: HostFacts | None = None) -> Traversal:
        """Predict one packet's way."""
        return self.walk_labelled(packet, facts).traversal


class _TwoBackendTrip(Trip):
    """A trip that runs each table of both backends."""

    __slots__ = ("at", "backends", "sides")

    def __init__(self, sides: tuple[tuple[Backend, Ready], ...], packet: Packet) -> None:
        super().__init__(sides[0][1], packet)
        self.sides = sides
        self.backends: list[Backend] = []
        self.at = sides[0][0]

    def _table(self, hook: Hook, table: TableName) -> None:
        for backend, ready in self.sides:
            if (table, hook.value) not in ready.chains:
                continue
            self.ready, self.at = ready, backend
            try:
                super()._table(hook, table)
            finally:
                self.backends += [backend] * (len(self.steps) - len(self.backends))
            # nf_nat_inet_fn asks the next chain only while none has set the connection up
            if table is TableName.NAT and nat.is_bound(self.skb, hook):
                return


class BothOrders:
    """Walks in both orders side by side, each with its connections."""

    def __init__(
        self,
        rulesets: Mapping[Backend, Ruleset],
        facts: HostFacts,
        conntracks: tuple[Conntrack, Conntrack],
    ) -> None:
        self.rulesets = rulesets
        orders = ((Backend.NFT, Backend.LEGACY), (Backend.LEGACY, Backend.NFT))
        self._walkers = tuple(
            TwoBackendWalker(rulesets, order, facts, conntrack)
            for order, conntrack in zip(orders, conntracks, strict=True)
        )
        self._security = [
            ruleset
            for ruleset in rulesets.values()
            if ruleset.table(TableName.SECURITY) is not None
        ]

    def walk(self, packet: Packet, facts: HostFacts) -> LabelledTraversal:
        """The way in one order, where the other comes to the same; else undecided."""
        one, other = (walker.walk_labelled(packet, facts) for walker in self._walkers)
        why = ""
        if _outcome(one.traversal) != _outcome(other.traversal):
            why = f"whether the chains of nft or of legacy come first: {_differences(one, other)}"
        elif len(self._security) > 1:
            why = "both backends hold a security table, at different priorities"
        if not why:
            return one
        return replace(one, traversal=replace(one.traversal, end=End.UNDECIDED, detail=why))


def _outcome(traversal: Traversal) -> tuple[object, ...]:
    return traversal.end, traversal.detail, traversal.mark, traversal.final


def _differences(one: LabelledTraversal, other: LabelledTraversal) -> str:
    first, second = one.traversal, other.traversal
    if first.end is not second.end:
        return f"{first.end.value}, or {second.end.value}"
    if first.mark != second.mark:
        return f"mark {first.mark:#x}, or {second.mark:#x}"
    return "other addresses or another interface"
