"""The second witness: a pure model of how the kernel takes a packet through a ruleset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netfw.ir.match import (
    ClusterMatch,
    ConnbytesMatch,
    ConnlabelMatch,
    ConnlimitMatch,
    ConnmarkMatch,
    ConntrackMatch,
    HelperMatch,
    SetMatch,
    StateMatch,
)
from netfw.ir.names import Hook, TableName
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table
from netfw.ir.target import (
    Connsecmark,
    Ct,
    Dnat,
    Masquerade,
    Netmap,
    Redirect,
    RestoreMark,
    SaveMark,
    SetConnmark,
    Snat,
    Synproxy,
)
from netfw.traverse.connection import Conntrack
from netfw.traverse.evaluate import Predicate, predicate_of
from netfw.traverse.hooks import KernelPoint, hook_entries
from netfw.traverse.host_facts import HostFacts
from netfw.traverse.martian import broadcasts
from netfw.traverse.packet import Packet
from netfw.traverse.ready import Ready, ReadyChain, ReadyRule, WalkedChain
from netfw.traverse.traversal import Addressing, End, RulePlace, Station, Stop, Traversal
from netfw.traverse.trip import Trip

_CONNTRACK_MATCHES = (
    ClusterMatch,
    ConntrackMatch,
    StateMatch,
    ConnmarkMatch,
    ConnbytesMatch,
    ConnlabelMatch,
    ConnlimitMatch,
    HelperMatch,
)
_CONNTRACK_TARGETS = (
    Ct,
    Snat,
    Dnat,
    Masquerade,
    Redirect,
    Netmap,
    Synproxy,
    SetConnmark,
    SaveMark,
    RestoreMark,
    Connsecmark,
)
CONNMARK_WRITERS = (SetConnmark, SaveMark)
"""Targets that change a connection's mark."""


def needs_conntrack(ruleset: Ruleset) -> bool:
    """Whether a rule switches connection tracking on for the ruleset's family.

    Loading the nat table does not; a match or target that calls nf_ct_netns_get does
    (conntrack, state, connmark, connbytes, connlabel, connlimit, cluster, helper, CT, CONNMARK,
    CONNSECMARK, SYNPROXY and all nat targets).
    """
    return any(rule_needs_conntrack(rule) for rule in ruleset.rules())


def rule_needs_conntrack(rule: Rule) -> bool:
    """Whether this rule alone switches connection tracking on."""
    return isinstance(rule.target, _CONNTRACK_TARGETS) or any(
        isinstance(match, _CONNTRACK_MATCHES) for match in rule.matches
    )


def loaded_stations(ruleset: Ruleset) -> frozenset[Station]:
    """The tables at hooks where the ruleset has a built-in chain."""
    return frozenset(
        Station(Hook(chain.name), table.name)
        for table in ruleset.tables
        for chain in table.chains
        if chain.is_builtin
    )


def walk(
    ruleset: Ruleset, packet: Packet, facts: HostFacts, conntrack: Conntrack | None = None
) -> Traversal:
    """Predict how the kernel takes a packet through a ruleset.

    ``conntrack`` holds the connections that exist before, and keeps the packet's own
    afterwards; without it the packet is the first of a fresh namespace.
    For many packets make one ``Walker``.
    """
    return Walker(ruleset, facts, conntrack).walk(packet)


class _ReadyChains(dict[tuple[TableName, str], WalkedChain]):
    """Chains that are made ready when a packet first comes to them."""

    def __init__(
        self,
        chains: Mapping[tuple[TableName, str], Chain],
        make_ready: Callable[[Chain], WalkedChain],
    ) -> None:
        super().__init__()
        self._chains = chains
        self._make_ready = make_ready

    def __missing__(self, key: tuple[TableName, str]) -> WalkedChain:
        made = self[key] = self._make_ready(self._chains[key])
        return made

    def __contains__(self, key: object) -> bool:
        return key in self._chains

    def get(self, key: tuple[TableName, str], default: Any = None) -> Any:  # noqa: ANN401 - dict's
        """The chain, made ready, or the default."""
        return self[key] if key in self._chains else default


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
        self.assumed: Mapping[RulePlace, bool] = {}
        """What is taken for granted of rules of which nobody knows whether packets match them."""
        self.facts = facts
        self.conntrack = Conntrack() if conntrack is None else conntrack
        self.conntrack_is_on = (
            needs_conntrack(ruleset) if conntrack_is_on is None else conntrack_is_on
        )
        self.changed_sets: set[str] = set()
        """Sets that packets on their way have changed: what is in them is not known any more."""
        self._predicates: dict[object, Predicate] = {}
        self._chains: Mapping[tuple[TableName, str], WalkedChain] = _ReadyChains(
            {
                (table.name, chain.name): chain
                for table in ruleset.tables
                for chain in table.chains
            },
            self._ready,
        )
        self._points: dict[Hook, tuple[TableName | KernelPoint, ...]] = {
            hook: tuple(
                entry.what
                for entry in hook_entries(hook, facts.security_priority)
                if isinstance(entry.what, KernelPoint) or self._has(entry.what, hook)
            )
            for hook in Hook
        }
        self._broadcasts = broadcasts(facts)
        self._writes_connmarks = _has_target(ruleset, CONNMARK_WRITERS)

    def _has(self, table_name: TableName, hook: Hook) -> bool:
        table: Table | None = self.ruleset.table(table_name)
        return table is not None and table.builtin(hook) is not None

    def _ready(self, chain: Chain) -> ReadyChain:
        return ReadyChain(
            chain.name,
            tuple(self.ready_rule(number, rule) for number, rule in enumerate(chain.rules, 1)),
            chain.policy,
        )

    def ready_rule(self, number: int, rule: Rule) -> ReadyRule:
        """A rule made ready, with its place in its chain."""
        predicates = []
        for match in rule.matches:
            predicate = self._predicates.get(match)
            if predicate is None:
                predicate = self._predicates[match] = predicate_of(
                    match, self.facts, self.changed_sets
                )
            predicates.append(predicate)
        asked = tuple(
            match for match in rule.matches if isinstance(match, SetMatch) and not match.negate
        )
        return ReadyRule(number, tuple(predicates), rule.target, asked)

    def walk(self, packet: Packet, facts: HostFacts | None = None) -> Traversal:
        """Predict one packet's way; its connection is kept for the packets that follow.

        ``facts`` are those of this one packet, where the host's are not the same for each.
        """
        trip = Trip(self._ready_for(facts), packet)
        return self._travel(trip)

    def _ready_for(self, facts: HostFacts | None) -> Ready:
        return Ready(
            self._chains,
            self._points,
            self.facts if facts is None else facts,
            self.conntrack,
            self.conntrack_is_on,
            self._writes_connmarks,
            self._broadcasts,
            self.changed_sets,
            self.assumed,
        )

    def _travel(self, trip: Trip) -> Traversal:
        """Take a packet to its end."""
        open_rule = None
        try:
            end, detail = trip.local_out() if trip.skb.packet.is_local else trip.arrive()
        except Stop as stop:
            end, detail, open_rule = stop.end, stop.detail, stop.open_rule
            connection = trip.skb.connection
            if end is End.UNDECIDED and connection is not None:
                why = "it follows a packet of its connection that cannot be foretold"
                self.conntrack.doubt(connection, why)
        skb = trip.skb
        final = Addressing(skb.source, skb.source_port, skb.destination, skb.destination_port)
        steps, optional = tuple(trip.steps), frozenset(trip.optional)
        return Traversal(steps, end, detail, skb.mark, final, optional, open_rule, trip.members)


def _has_target(ruleset: Ruleset, kinds: tuple[type, ...]) -> bool:
    return any(isinstance(rule.target, kinds) for rule in ruleset.rules())
