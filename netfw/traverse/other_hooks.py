"""What stands at the hooks besides iptables' chains, and whether a packet met it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netfw.ir.names import Hook
from netfw.traverse.hooks import hook_entries
from netfw.traverse.host_facts import HostFacts
from netfw.traverse.packet import Packet
from netfw.traverse.traversal import End, Outcome, Step, Traversal

_ARRIVING = (Hook.PREROUTING, Hook.INPUT, Hook.FORWARD, Hook.POSTROUTING)
_LEAVING = (Hook.OUTPUT, Hook.POSTROUTING, Hook.PREROUTING, Hook.INPUT)


@dataclass(frozen=True, slots=True)
class OtherChain:
    """A chain that netfw does not read, which may do anything with a packet that meets it.

    ``hook`` is None for chains before or behind the IP layer: those of ``devices``, or, where
    ``on_bridges``, of every bridge. ``description`` is for a message.
    """

    description: str
    hook: Hook | None
    priority: int
    devices: tuple[str, ...] = ()
    on_bridges: bool = False


def chains_met(
    traversal: Traversal,
    packet: Packet,
    others: Iterable[OtherChain],
    facts: HostFacts,
    bridges: frozenset[str],
) -> list[OtherChain]:
    """The chains that the packet met before its way ended as the traversal says."""
    hooks = _hooks_entered(traversal, packet)
    devices = {packet.in_interface, traversal.detail if traversal.end is End.SENT else ""}
    stop = _stopped_at(traversal, facts)

    def met(chain: OtherChain) -> bool:
        if chain.hook is None:
            of = bridges if chain.on_bridges else frozenset(chain.devices)
            return bool(devices & of)
        if chain.hook not in hooks:
            return False
        return stop is None or chain.hook is not stop[0] or chain.priority <= stop[1]

    return [chain for chain in others if met(chain)]


def _hooks_entered(traversal: Traversal, packet: Packet) -> frozenset[Hook]:
    """The hooks that the packet entered; those without a table leave no step."""
    end = traversal.end
    if packet.is_local:
        if end is End.SENT:
            return frozenset({Hook.OUTPUT, Hook.POSTROUTING})
        if end is End.DELIVERED:
            return frozenset(_LEAVING)
        order: tuple[Hook, ...] = _LEAVING
    else:
        if end is End.DELIVERED:
            return frozenset({Hook.PREROUTING, Hook.INPUT})
        if end is End.SENT:
            return frozenset({Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING})
        order = _ARRIVING
    entered = {step.hook for step in traversal.steps} | {order[0]}
    last = traversal.steps[-1].hook if traversal.steps else order[0]
    passed = set(order[: order.index(last)])
    if not packet.is_local:
        # a forwarded packet does not enter INPUT
        passed.discard(Hook.INPUT)
    return frozenset(entered | passed)


def _stopped_at(traversal: Traversal, facts: HostFacts) -> tuple[Hook, int] | None:
    """Hook and priority of the table that dropped the packet, where one did."""
    if traversal.end not in (End.DROPPED, End.REJECTED) or not traversal.steps:
        return None
    last: Step = traversal.steps[-1]
    if last.outcome not in (Outcome.DROP, Outcome.REJECT):
        return None
    priority = next(
        entry.priority
        for entry in hook_entries(last.hook, facts.security_priority)
        if entry.what is last.table
    )
    return last.hook, priority
