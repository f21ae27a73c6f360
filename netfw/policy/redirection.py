"""What a policy's entries of ``nat`` make of one packet's addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from netfw.ir.match import ConnectionState
from netfw.policy.flow import Flow, is_about
from netfw.policy.model import Policy
from netfw.policy.new_end import Given, NewEnd, Own
from netfw.policy.translation import Point, Turn, turns_at

Choose = Callable[[Flow, Given], int]
"""The address out of a range that the kernel gives to a packet."""


def redirected(policy: Policy, flow: Flow, own: int, choose: Choose) -> Flow | None:
    """A packet behind the entry that changes its destination; the same where none does.

    ``own`` is what a redirection to this host makes of the address. None where the port is one
    that the kernel picks.
    """
    if flow.state is not ConnectionState.NEW:
        return flow
    turn = find_turn(policy, flow, Point.ARRIVING if flow.in_interface else Point.SENDING)
    if turn is None or turn.new is None:
        return flow
    address = new_address(turn.new, flow.destination, flow, own, choose)
    port = new_port(turn.new, flow.destination_port)
    if port is None:
        return None
    return replace(
        flow,
        destination=address,
        destination_port=port,
        translated=(address, port) != (flow.destination, flow.destination_port),
        arrived=flow,
    )


def find_turn(policy: Policy, flow: Flow, point: Point) -> Turn | None:
    """The first that is about a packet at a point."""
    came_by = policy.endpoint_of(flow.in_interface) if flow.in_interface else None
    leaves_by = policy.endpoint_of(flow.out_interface) if flow.out_interface else None
    for _, turn in turns_at(policy.translations, point):
        if (
            (turn.inputs is None or came_by in turn.inputs)
            and (turn.outs is None or leaves_by in turn.outs)
            and (flow.translated or not turn.of_redirected)
            and is_about(turn.conditions(flow.family), flow)
        ):
            return turn
    return None


def new_address(new: NewEnd, old: int, flow: Flow, own: int, choose: Choose) -> int:
    """The address in the place of the old one."""
    if isinstance(new, Given):
        return new.first if new.is_single else choose(flow, new)
    return own if isinstance(new, Own) else new.of(old)


def new_port(new: NewEnd, old: int) -> int | None:
    """The port in the place of the old one, None where the kernel picks it."""
    return old if new.ports is None else new.ports.of(old)
