"""What a policy says of probes, by its own meaning and without looking at compiled rules."""

from __future__ import annotations

from dataclasses import replace

from netfw.ir.clock import Clock
from netfw.ir.match import ConnectionState
from netfw.policy.flow import Flow
from netfw.policy.judge import Judge, Verdict
from netfw.policy.model import Policy
from netfw.traverse.connection import Conntrack
from netfw.traverse.host_facts import LOOPBACK
from netfw.traverse.packet import Packet
from netfw.traverse.situation import Path, Phase
from netfw.verify.counters import Counters
from netfw.verify.probe import Expected
from netfw.verify.way import Way

EXPECTED: dict[Verdict, Expected | None] = {
    Verdict.ALLOWED: Expected.ACCEPTED,
    Verdict.DENIED: Expected.DENIED,
    Verdict.NOT_COVERED: Expected.NOT_COVERED,
    Verdict.UNDECIDED: None,
}
_GOES_ON = (Verdict.ALLOWED, Verdict.NOT_COVERED)


def state_of(packet: Packet) -> ConnectionState:
    """What conntrack says of a packet that belongs to nothing before it."""
    return Conntrack().track(packet).state


PHASES = {
    ConnectionState.NEW: Phase.FIRST,
    ConnectionState.INVALID: Phase.INVALID,
    ConnectionState.UNTRACKED: Phase.UNTRACKED,
}


class ProbeJudge:
    """Judges probes in the order in which they are sent; ``clock`` is when that is."""

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self.clock = clock
        self.counters = Counters()
        self._judge = Judge(policy, self.counters.answer)

    def untracks(self, packet: Packet, way: Way, state: ConnectionState) -> bool:
        """Whether an early policy lets a packet through without connection tracking."""
        with self.counters.aside():
            return self._judge.untracks(self.flow(packet, way, state, translated=False))

    def verdict(self, flow: Flow) -> Verdict:
        """What becomes of a packet; it is counted by rules that count, until ``counters`` are told
        whether it is sent."""
        return self._judge.judge(flow).verdict

    def flow(self, packet: Packet, way: Way, state: ConnectionState, *, translated: bool) -> Flow:
        """A probe as the policy sees it."""
        came_by, leaves_by = way.interfaces
        return Flow(
            packet.family,
            came_by,
            leaves_by,
            packet.source,
            packet.destination,
            packet.protocol,
            packet.destination_port,
            (packet.icmp_type, packet.icmp_code),
            state,
            translated,
            packet.source_port,
            packet.mark,
            packet.hardware,
            packet.user,
            packet.group,
            self.clock,
            packet.tcp_flags,
        )

    def expected(
        self,
        packet: Packet,
        way: Way,
        state: ConnectionState,
        *,
        translated: bool,
        arrived: Flow | None = None,
    ) -> Expected | None:
        """What is to become of a packet, None where that is not known; ``arrived`` is how it was
        seen before its destination or its way was changed."""
        flow = replace(self.flow(packet, way, state, translated=translated), arrived=arrived)
        verdict = self.verdict(flow)
        if way.path is Path.LOOPBACK and verdict in _GOES_ON:
            # the field is cleared on the way in: what counts is what is said there
            back = replace(flow, in_interface=LOOPBACK, out_interface="", arrived=None)
            verdict = self.verdict(back)
        return EXPECTED[verdict]
