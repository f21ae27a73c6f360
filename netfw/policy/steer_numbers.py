"""The numbers by which marks know tables and classes.

A number depends on what it stands for, and only where two want the same one on the order of the
file: an entry more, at the end, renumbers nothing, so that the marks that connections carry keep
their meaning when a policy is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netfw.ir.steer_field import SteerField
from netfw.policy.faults import Faults
from netfw.policy.steering import SteerPolicy


def number_tables(
    entries: Iterable[SteerPolicy], field: SteerField, faults: Faults
) -> Mapping[int, int]:
    """A number for each table that is named."""
    wanted = [(entry.table, entry) for entry in entries if entry.table]
    return _number(wanted, field.table_count, "tables", field, faults)


def number_classes(
    entries: Iterable[SteerPolicy], field: SteerField, faults: Faults
) -> Mapping[int, int]:
    """A number for each class that is named."""
    wanted = [(entry.tc_class, entry) for entry in entries if entry.tc_class]
    return _number(wanted, field.class_count, "classes", field, faults)


def _number(
    wanted: list[tuple[int, SteerPolicy]],
    room: int,
    what: str,
    field: SteerField,
    faults: Faults,
) -> Mapping[int, int]:
    found: dict[int, int] = {}
    taken: set[int] = set()
    for value, entry in wanted:
        if value in found:
            continue
        if len(taken) == room:
            count = len({value for value, _ in wanted})
            faults.add(
                entry.origin.where,
                f"'steer' names {count} {what}, and the bits {field.mask:#x} tell {room} apart",
                "give it more bits under 'marks': {steer: 0xfff00000}",
            )
            return found
        number = (value - 1) % room
        while number + 1 in taken:
            number = (number + 1) % room
        found[value] = number + 1
        taken.add(number + 1)
    return found
