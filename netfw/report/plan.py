"""A plan in words, rule of the policy by rule, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from netfw.plan.change import Change
from netfw.plan.plan import Plan
from netfw.plan.step import describe
from netfw.policy.names import is_of_policy
from netfw.prove.difference import Changed
from netfw.report.change import change_data, where_of
from netfw.report.difference import difference_data, difference_lines
from netfw.report.glyphs import Glyphs

MOST_LINES = 12
"""Lines of one rule of the policy that are printed; the rest is counted."""


def plan_lines(
    found: Plan, places: Mapping[str, str], packets: Sequence[Changed] | None, glyphs: Glyphs
) -> Iterator[str]:
    """What would change. ``places`` are where the policy says something, by identity; ``packets``
    None where they were not asked for."""
    if not found.steps:
        yield f"{glyphs.good} nothing to do: this host holds what the policy says"
        return
    written = _by_identity(change for change in found.changes if is_of_policy(change.identity))
    for identity, changes in written.items():
        place = places.get(identity, "")
        yield f"{identity}  {place}".rstrip()
        for change in changes[:MOST_LINES]:
            yield f"  {'+' if change.comes else '-'} {where_of(change)}: {change.text}"
        if len(changes) > MOST_LINES:
            yield f"  … and {len(changes) - MOST_LINES} more"
    others = [change for change in found.changes if not is_of_policy(change.identity)]
    if others:
        yield "netfw's own rules, sets, routing"
        shown = others if len(others) <= MOST_LINES else ()
        for change in shown:
            yield f"  {'+' if change.comes else '-'} {where_of(change)}: {change.text}"
        if not shown:
            count = f"{_count(others, comes=True)} lines to come, {_count(others)} to go"
            yield f"  {count} (--json has them)"
    yield ""
    yield f"steps: {', '.join(map(describe, found.steps))}"
    yield f"lines: {_count(found.changes, comes=True)} to come, {_count(found.changes)} to go"
    if packets is not None:
        yield ""
        yield from difference_lines(packets, glyphs)


def plan_data(
    found: Plan, places: Mapping[str, str], packets: Sequence[Changed] | None
) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "schema": 1,
        "changes": [
            {**change_data(change), "where": places.get(change.identity)}
            for change in found.changes
        ],
        "steps": [describe(step) for step in found.steps],
        "packets": None if packets is None else difference_data(packets),
    }


def plan_json(found: Plan, places: Mapping[str, str], packets: Sequence[Changed] | None) -> str:
    """The same as JSON."""
    return json.dumps(plan_data(found, places, packets), indent=1) + "\n"


def _by_identity(changes: Iterable[Change]) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = {}
    for change in changes:
        found.setdefault(change.identity, []).append(change)
    return found


def _where(change: Change) -> str:
    return change.place if change.family is None else f"{change.family} {change.place}"


def _count(changes: Sequence[Change], *, comes: bool = False) -> int:
    return sum(change.comes is comes for change in changes)
