"""How a policy steers one packet, by its own meaning and without looking at compiled rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netfw.ir.mark import Mark
from netfw.policy.flow import Flow, is_about
from netfw.policy.model import Policy
from netfw.policy.steering import Steering, SteerPolicy


@dataclass(frozen=True, slots=True)
class Steered:
    """What is decided for a connection by its first packet.

    ``table`` is 0 for the normal way; with ``answers`` it is for the answers alone.
    ``tc_class`` is 0 for none, and holds for both directions.
    """

    table: int = 0
    answers: bool = False
    tc_class: int = 0

    def table_of(self, *, is_answer: bool) -> int:
        """The table of the packets of one direction."""
        return self.table if is_answer is self.answers else 0

    def mark(self, steering: Steering, *, is_answer: bool, brought: int = 0) -> Mark:
        """The steering bits of the packets of one direction.

        ``brought`` is the mark that a process of this host has given them: it steers nothing, and
        is noted where tables are taken, so that they are judged where they leave.
        """
        field = steering.field
        table = self.table_of(is_answer=is_answer)
        number = steering.tables[table] if table else 0
        way = field.answers_by(number) if is_answer and table else field.packets_by(number)
        which = field.tc_class(steering.classes[self.tc_class] if self.tc_class else 0)
        noted = field.answers if brought & field.mask and steering.moves else 0
        return Mark(way.value | which.value | noted, field.mask)


def steer(policy: Policy, flow: Flow) -> Steered | None:
    """What the entries decide for a packet that begins a connection, or belongs to none, as it
    arrives; None where that cannot be known."""
    from_host = not flow.in_interface
    steering = policy.steering
    by_table = _first(policy, steering.with_table(from_host=from_host), flow)
    by_class = _first(policy, steering.with_class(from_host=from_host), flow)
    if by_table is _UNKNOWN or by_class is _UNKNOWN:
        return None
    return Steered(
        by_table.table or 0 if isinstance(by_table, SteerPolicy) else 0,
        isinstance(by_table, SteerPolicy) and bool(by_table.table) and by_table.answers,
        by_class.tc_class or 0 if isinstance(by_class, SteerPolicy) else 0,
    )


_UNKNOWN = object()


def _first(policy: Policy, entries: Iterable[SteerPolicy], flow: Flow) -> object:
    """The first entry that is about a packet, None, or that this cannot be known."""
    came_by = policy.endpoint_of(flow.in_interface) if flow.in_interface else None
    for entry in entries:
        if entry.inputs and came_by not in entry.inputs:
            continue
        answer = is_about(entry.conditions(flow.family), flow)
        if answer is None:
            return _UNKNOWN
        if answer:
            return entry
    return None
