"""Where witnesses contradict each other: documented, predicted and observed in three columns."""

from __future__ import annotations

from itertools import zip_longest
from typing import NamedTuple

from netfw.report.drawing import end_text
from netfw.traverse.traversal import Outcome, Station, Step, Traversal
from netfw.verify.result import Comparison, Run

_STEPS_BEFORE, _STEPS_BEHIND = 2, 4


class Row(NamedTuple):
    """A line of the three columns; ``differs`` where the steps do."""

    documented: str
    predicted: str
    observed: str
    differs: bool


def rows(comparison: Comparison) -> list[Row]:
    """The steps around the first difference, and the ends.

    All steps are shown where the difference is not about one of them.
    """
    predicted = comparison.predicted.steps
    observed = comparison.observed.steps if comparison.observed is not None else ()
    documented = list(comparison.documented.stations)
    first = next(
        (difference.step for difference in comparison.differences if difference.step is not None),
        None,
    )
    start, stop = 0, max(len(predicted), len(observed))
    if first is not None:
        start, stop = max(0, first - _STEPS_BEFORE), first + _STEPS_BEHIND
    found: list[Row] = []
    for index, (left, right) in enumerate(zip_longest(predicted, observed)):
        if not start <= index < stop:
            continue
        station = _station(left, right)
        known = "" if station is None else _documented(station, documented)
        found.append(Row(known, _step(left), _step(right), left != right))
    ends = Row(
        "",
        end_text(comparison.predicted),
        _end(comparison.observed),
        comparison.observed is None or comparison.predicted.end is not comparison.observed.end,
    )
    return [*found, ends]


def _station(left: Step | None, right: Step | None) -> Station | None:
    step = right or left
    return None if step is None else step.station


def _documented(station: Station, documented: list[Station]) -> str:
    if station not in documented:
        return f"{station}: not documented"
    return f"{documented.index(station) + 1}. {station}"


def _step(step: Step | None) -> str:
    if step is None:
        return "-"
    what = f"rule {step.rule}" if step.rule else "end"
    if not step.rule and step.chain == step.hook.value:
        what = "policy"
    mark = f"{step.mark_after:#x}"
    if step.mark_before != step.mark_after:
        mark = f"{step.mark_before:#x}->{mark}"
    outcome = "" if step.outcome is Outcome.CONTINUE else f" {step.outcome.value}"
    return f"{step.table} {step.chain} {what}{outcome} {mark}"


def _end(traversal: Traversal | None) -> str:
    return "never seen" if traversal is None else end_text(traversal)


def rule_notes(comparison: Comparison, run: Run) -> list[str]:
    """The rules at the first difference: their text, and where in the policy they come from."""
    notes: list[str] = []
    for difference in comparison.differences:
        if difference.step is None:
            continue
        for traversal in (comparison.predicted, comparison.observed):
            if traversal is None or difference.step >= len(traversal.steps):
                continue
            step = traversal.steps[difference.step]
            place = (step.table.value, step.chain, step.rule)
            text, origin = run.texts.get(place), run.origins.get(place)
            if text is not None:
                notes.append(f"-t {step.table} -A {step.chain} {text}")
            if origin is not None:
                notes.append(f"  from {origin}")
    return list(dict.fromkeys(notes))
