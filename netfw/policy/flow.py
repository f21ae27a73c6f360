"""A packet as a policy sees it, and whether a rule is about it."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.clock import Clock
from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.policy.conditions import Conditions
from netfw.policy.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Flow:
    """A packet as the policy sees it: after destination translation, before source translation.

    An interface name is empty where the packet has none: ``out_interface`` of a packet to this
    host, ``in_interface`` of one from it. ``translated`` says that its destination was changed by
    a port forward of this policy. What is None is not known.
    """

    family: Family
    in_interface: str
    out_interface: str
    source: int
    destination: int
    protocol: int
    destination_port: int = 0
    icmp: tuple[int, int] = (0, 0)
    state: ConnectionState = ConnectionState.NEW
    translated: bool = False
    source_port: int = 0
    mark: int | None = None
    """What the mark is when the packet enters."""
    hardware: int | None = None
    """The hardware address of the frame that it came in, 48 bits; -1 where it has none."""
    user: int | None = None
    group: int | None = None
    """Whose socket has sent it; -1 for nobody's."""
    clock: Clock | None = None
    """When it passes."""
    tcp_flags: int | None = None
    """Of the TCP header; what is no TCP is not asked for them."""
    arrived: Flow | None = None
    """The same packet as it arrived, where its destination was changed on the way."""

    @property
    def as_arrived(self) -> Flow:
        """The packet before translation."""
        return self.arrived or self


def is_about(conditions: Conditions | None, flow: Flow) -> bool | None:
    """Whether a packet meets a rule's conditions; None where that cannot be known."""
    if conditions is None:
        return False
    if not (
        any(is_of_kind(kind, flow) for kind in conditions.traffic)
        and (not conditions.sources or any(flow.source in net for net in conditions.sources))
        and (
            not conditions.destinations
            or any(flow.destination in net for net in conditions.destinations)
        )
    ):
        return False
    if conditions.is_plain:
        return True
    if (
        any(is_of_kind(kind, flow) for kind in conditions.not_traffic)
        or any(flow.source in net for net in conditions.not_sources)
        or any(flow.destination in net for net in conditions.not_destinations)
    ):
        return False
    answers = [extra.holds(flow) for extra in conditions.extras]
    if False in answers:
        return False
    return None if None in answers else True


def is_of_kind(kind: Traffic, flow: Flow) -> bool:
    """Whether a packet is of a kind of traffic."""
    if kind.protocol is None:
        return True
    if kind.protocol != flow.protocol:
        return False
    if kind.ports is not None and flow.destination_port not in kind.ports:
        return False
    if kind.source_ports is not None and flow.source_port not in kind.source_ports:
        return False
    if kind.icmp is not None:
        low, high = kind.icmp.codes
        return flow.icmp[0] == kind.icmp.type and low <= flow.icmp[1] <= high
    return True
