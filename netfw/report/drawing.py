"""A packet's way drawn, station by station, with the mark at each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from netfw.ir.mark_field import MarkField
from netfw.ir.names import Hook
from netfw.report.glyphs import Glyphs
from netfw.traverse.traversal import End, Outcome, Station, Step, Traversal

if TYPE_CHECKING:
    # explain draws ends too, and needs nothing of what verify is made of
    from netfw.verify.probe import Probe
    from netfw.verify.result import Comparison, Run

_LEADING_OUT = frozenset({Outcome.ACCEPT, Outcome.DROP, Outcome.REJECT, Outcome.QUEUE})
_BEFORE_ROUTING = frozenset({Hook.PREROUTING})


def mark_text(mark: int, field: MarkField | None) -> str:
    """A mark in hex, with the names of our bits that are set."""
    names = field.names_of(mark) if field is not None else ()
    return f"{mark:#x} ({', '.join(names)})" if names else f"{mark:#x}"


def step_text(step: Step, run: Run) -> str:
    """A step in words: where, which rule, what it did, and where the rule comes from."""
    if step.rule:
        what = f"rule {step.rule}"
    else:
        what = "policy" if step.chain == step.hook.value else "end"
    origin = run.origins.get((step.table.value, step.chain, step.rule))
    text = f"{step.chain} {what}: {step.outcome.value}"
    return f"{text}  [{origin.identity}]" if origin is not None and origin.identity else text


def draw(comparison: Comparison, run: Run, glyphs: Glyphs, width: int = 80) -> Iterator[str]:
    """The observed way of a packet, one line for each station; ``width`` in columns."""
    traversal = comparison.observed or comparison.predicted
    probe = comparison.probe
    head = f"{probe.path.value} {glyphs.dot} {probe.phase.value} {glyphs.dot} {probe.what}"
    yield from _wrapped(head, width, "  ")
    came_by = probe.packet.in_interface or "a process of this host"
    yield f"  {glyphs.start} {came_by}"
    previous: Hook | None = None
    column = max((len(str(station)) for station in traversal.stations), default=0)
    for station, steps in _by_station(traversal.steps):
        if previous in _BEFORE_ROUTING and station.hook not in _BEFORE_ROUTING:
            yield f"  {glyphs.branch} routing"
        previous = station.hook
        text = _station_text(steps, run, glyphs)
        line = f"  {glyphs.line} {station!s:<{column}}  {text}".rstrip()
        yield from _wrapped(line, width, f"  {glyphs.line} " + " " * (column + 2))
    yield f"  {glyphs.end} {end_text(traversal)}, mark {mark_text(traversal.mark, run.mark_field)}"
    for refinement in comparison.documented.refinements:
        yield from _wrapped(f"    {refinement.name}: {refinement.reason}", width, " " * 6)


def _wrapped(line: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=indent,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    )


def _by_station(steps: Sequence[Step]) -> Iterator[tuple[Station, list[Step]]]:
    for station, group in groupby(steps, key=lambda step: Station(step.hook, step.table)):
        yield station, list(group)


def _station_text(steps: Sequence[Step], run: Run, glyphs: Glyphs) -> str:
    """The mark on the way in and out, and the rules that changed it or decided."""
    first, last = steps[0].mark_before, steps[-1].mark_after
    text = f"{first:#x}" if first == last else f"{first:#x} {glyphs.arrow} {last:#x}"
    names = []
    for step in steps:
        changed = step.mark_before != step.mark_after
        decided = step.outcome in _LEADING_OUT and step.rule
        chose = step.outcome is Outcome.GOTO
        if changed or decided or chose:
            names.append(_short(step, run))
    return f"{text}  {', '.join(dict.fromkeys(names))}" if names else text


def _short(step: Step, run: Run) -> str:
    origin = run.origins.get((step.table.value, step.chain, step.rule))
    if origin is not None and origin.identity:
        return origin.identity
    return f"{step.chain} {step.rule}"


def end_text(traversal: Traversal) -> str:
    """Where a packet's way ended, in words."""
    if traversal.end is End.SENT:
        return f"sent by {traversal.detail}"
    where: str = traversal.end.value
    return f"{where}: {traversal.detail}" if traversal.detail else where


def title(probe: Probe) -> str:
    """A probe in one line."""
    return f"#{probe.number} {probe.group}: {probe.what} ({probe.path.value}, {probe.phase.value})"
