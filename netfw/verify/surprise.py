"""What was seen of a packet beside what the model of the host predicts for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netfw.host.live_facts import LiveFacts
from netfw.host.live_rules import LiveRules
from netfw.host.live_scene import LiveScene
from netfw.ir.match import ConnectionState
from netfw.ir.names import TableName
from netfw.traverse.account import Account
from netfw.traverse.connection import Connection, Conntrack, Tracked, tuple_of
from netfw.traverse.observed import ObservedEnd, ObservedPacket, ObservedStep
from netfw.traverse.packet import Packet
from netfw.traverse.sketch import CompletionError, Sketch
from netfw.traverse.traversal import End, Step
from netfw.traverse.walk import needs_conntrack

_STATES = {
    1 << 0: ConnectionState.INVALID,
    1 << 1: ConnectionState.ESTABLISHED,
    1 << 2: ConnectionState.RELATED,
    1 << 3: ConnectionState.NEW,
    1 << 6: ConnectionState.UNTRACKED,
    1 << 8: ConnectionState.UNTRACKED,
}
"""NF_CT_STATE_BIT in linux/netfilter/nf_conntrack_common.h, as NFTA_TRACE_CT_STATE has them."""
_ENDS = {
    End.DELIVERED: ObservedEnd.DELIVERED,
    End.SENT: ObservedEnd.SENT,
    End.DROPPED: ObservedEnd.DROPPED,
    End.REJECTED: ObservedEnd.REJECTED,
    End.QUEUED: ObservedEnd.QUEUED,
    End.STOPPED: ObservedEnd.VANISHED,
}
_SEEN_ONLY_SO_FAR = frozenset({ObservedEnd.UNKNOWN, ObservedEnd.QUEUED})


class ToldConntrack(Conntrack):
    """Connection tracking that says of each packet what it is told, and remembers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ConnectionState.NEW
        self.mark = 0
        self.is_first = True

    def track(self, packet: Packet) -> Tracked:
        """The state that was told."""
        if self.state in (ConnectionState.INVALID, ConnectionState.UNTRACKED):
            return Tracked(None, self.state)
        key = tuple_of(packet)
        later = not self.is_first
        connection = Connection(
            key,
            key.inverted(),
            mark=self.mark,
            seen_reply=self.state is not ConnectionState.NEW,
            confirmed=later,
            source_nat_done=later,
            destination_nat_done=later,
        )
        return Tracked(connection, self.state)

    def confirm(self, connection: Connection) -> bool:
        """It is kept by nobody."""
        connection.confirmed = True
        return True


class Predictor:
    """The model of one family of a host, as it was when the trace began."""

    def __init__(self, rules: LiveRules, facts: LiveFacts) -> None:
        self._told = ToldConntrack()
        self._scene = LiveScene(rules, facts, lambda: self._told)
        self._tracks = any(map(needs_conntrack, rules.rulesets.values()))
        self._has_nat = any(
            ruleset.table(TableName.NAT) is not None for ruleset in rules.rulesets.values()
        )

    def compare(
        self, seen: ObservedPacket, state: int | None, connection_mark: int, leaves_by: str
    ) -> ObservedPacket:
        """The packet with what the model says of it. ``state`` is as ``TraceEvent`` has it."""
        packet = seen.packet
        if packet is None or seen.end in _SEEN_ONLY_SO_FAR:
            return seen
        # without connection tracking the kernel says nothing, and no rule asks
        untold = None if self._tracks else ConnectionState.INVALID
        known = untold if state is None else _STATES.get(state)
        if known is None:
            return replace(seen, prediction="none: the state of its connection is not known")
        nat_seen = any(step.table == TableName.NAT.value for step in seen.steps)
        is_first = known is ConnectionState.NEW and (nat_seen or not self._has_nat)
        if not is_first and seen.translated:
            return replace(
                seen, prediction="none: an earlier packet had its connection translated"
            )
        self._told.state, self._told.is_first = known, is_first
        self._told.mark = 0 if is_first else connection_mark
        way_out = "" if packet.in_interface else leaves_by
        try:
            account = self._scene.explain(Sketch(packet, leaves_by=way_out, state=known))
        except CompletionError as error:
            return replace(seen, prediction=f"none: {error}")
        return _judged(seen, account)


def _judged(seen: ObservedPacket, account: Account) -> ObservedPacket:
    traversal = account.traversal
    if traversal.end is End.UNDECIDED:
        return replace(seen, prediction=f"none: {traversal.detail}")
    surprises = list(_differing_steps(seen, account))
    predicted = _ENDS[traversal.end]
    if not surprises and predicted is not seen.end:
        detail = f" ({traversal.detail})" if traversal.detail else ""
        said = f" ({seen.detail})" if seen.detail else ""
        surprises.append(
            f"the model says {traversal.end.value}{detail}; the host: {seen.end.value}{said}"
        )
    if not surprises and seen.end is ObservedEnd.SENT and traversal.detail != seen.detail:
        surprises.append(f"the model sends it by {traversal.detail}, the host by {seen.detail}")
    if not surprises and traversal.mark != seen.mark:
        surprises.append(f"the model ends with mark {traversal.mark:#x}, the host {seen.mark:#x}")
    if not surprises:
        return replace(seen, prediction="as seen")
    if _asks_connection_mark(seen.steps):
        # its mark was read when the packet had gone: what it was before nobody saw
        return replace(seen, prediction="none: it depends on the connection's mark before")
    return replace(seen, prediction="another way", surprises=(*seen.surprises, surprises[0]))


def _asks_connection_mark(steps: Sequence[ObservedStep]) -> bool:
    words = ("--restore-mark", "connmark")
    return any(word in step.text for step in steps for word in words)


def _differing_steps(seen: ObservedPacket, account: Account) -> list[str]:
    """The first rule that one of them has and the other has not, as a sentence."""
    optional = account.traversal.optional
    predicted = [
        (index in optional, step)
        for index, step in enumerate(account.traversal.steps)
        if step.rule > 0
    ]
    shown = [step for step in seen.steps if step.rule > 0 and step.of_iptables]
    at = 0
    for step in shown:
        while at < len(predicted) and predicted[at][0] and not _same(predicted[at][1], step):
            at += 1
        if at == len(predicted):
            return [f"the host goes on to {step.place} ({step.text}), the model does not"]
        if not _same(predicted[at][1], step):
            expected = predicted[at][1]
            return [f"the model expects {_place(expected)}, the host met {step.place}"]
        marks = predicted[at][1].mark_after, step.mark_after
        if marks[0] != marks[1]:
            return [
                f"behind {step.place} the model has mark {marks[0]:#x}, the host {marks[1]:#x}"
            ]
        at += 1
    left = [step for is_optional, step in predicted[at:] if not is_optional]
    if left:
        return [f"the model goes on to {_place(left[0])}, the host did not"]
    return []


def _same(step: Step, shown: ObservedStep) -> bool:
    return (step.table.value, step.chain, step.rule) == (
        shown.table,
        shown.chain,
        shown.rule,
    ) and (shown.hook is step.hook)


def _place(step: Step) -> str:
    return f"{step.table} {step.chain} rule {step.rule}"
