"""A predicted way in words: every step with its rule's text and the line it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from netfw.ir.ruleset import Rule, Ruleset
from netfw.render.rule import render_rule
from netfw.report.drawing import end_text
from netfw.report.glyphs import Glyphs
from netfw.traverse.packet import Packet
from netfw.traverse.traversal import End, Outcome, Station, Step, Traversal

_DECIDING = frozenset({Outcome.ACCEPT, Outcome.DROP, Outcome.REJECT, Outcome.QUEUE})


def explain(
    ruleset: Ruleset, packet: Packet, traversal: Traversal, glyphs: Glyphs
) -> Iterator[str]:
    """The way of a packet, station by station, and what decided."""
    yield str(packet)
    for index, (station, group) in enumerate(
        groupby(enumerate(traversal.steps), key=lambda item: _station(item[1]))
    ):
        yield f"{index + 1}. {station}"
        for position, step in group:
            yield from _step_lines(ruleset, step, glyphs, maybe=position in traversal.optional)
    yield f"{glyphs.end} {end_text(traversal)}, mark {traversal.mark:#x}"
    decider = deciding_step(ruleset, traversal)
    if decider is not None:
        yield f"decided by {_place(ruleset, decider)}"


def _station(step: Step) -> Station:
    return step.station


def deciding_step(ruleset: Ruleset, traversal: Traversal) -> Step | None:
    """The step that decided: the rule that dropped or accepted the packet.

    Rules of ours carry their decision in the mark and act on it later: there it is the rule that
    went to the verdict's chain. None where no rule decided.
    """
    if traversal.end in (End.STOPPED, End.UNDECIDED):
        return None
    ended_by_rule = traversal.end in (End.DROPPED, End.REJECTED)
    deciding = [
        step
        for step in traversal.steps
        if step.outcome in _DECIDING and (step.rule or ended_by_rule)
    ]
    if not deciding:
        return None
    last = deciding[-1]
    rule = _rule(ruleset, last)
    if rule is None or not rule.is_ours:
        return last
    earlier = [
        step
        for step in traversal.steps[: traversal.steps.index(last)]
        if step.outcome is Outcome.GOTO and step.station == last.station
    ]
    return earlier[-1] if earlier else last


def _rule(ruleset: Ruleset, step: Step) -> Rule | None:
    table = ruleset.table(step.table)
    chain = None if table is None else table.find_chain(step.chain)
    if chain is None or not step.rule:
        return None
    return chain.rule(step.rule)


def _place(ruleset: Ruleset, step: Step) -> str:
    rule = _rule(ruleset, step)
    text = f"{step.table} {step.chain} {_what(step)}"
    if rule is None or rule.origin is None:
        return text
    return f"{text}, {rule.origin}"


def _what(step: Step) -> str:
    if step.rule:
        return f"rule {step.rule}"
    return "policy" if step.chain == step.hook.value else "end"


def _step_lines(ruleset: Ruleset, step: Step, glyphs: Glyphs, *, maybe: bool) -> Iterator[str]:
    mark = f"mark {step.mark_after:#x}"
    if step.mark_before != step.mark_after:
        mark = f"mark {step.mark_before:#x} {glyphs.arrow} {step.mark_after:#x}"
    doubt = " (perhaps)" if maybe else ""
    yield f"   {glyphs.line} {step.chain} {_what(step)}: {step.outcome.value}, {mark}{doubt}"
    rule = _rule(ruleset, step)
    if rule is not None:
        yield f"   {glyphs.line}     {render_rule(rule, ruleset.family)}"
        if rule.origin is not None:
            yield f"   {glyphs.line}     {rule.origin}"


def explanation_json(ruleset: Ruleset, packet: Packet, traversal: Traversal) -> str:
    """The same as JSON; marks are hex strings."""

    def data_of(step: Step, *, maybe: bool) -> dict[str, Any]:
        rule = _rule(ruleset, step)
        return {
            "hook": step.hook.value,
            "table": step.table.value,
            "chain": step.chain,
            "rule": step.rule or None,
            "text": None if rule is None else render_rule(rule, ruleset.family),
            "origin": None if rule is None or rule.origin is None else str(rule.origin),
            "outcome": step.outcome.value,
            "mark_before": f"{step.mark_before:#x}",
            "mark_after": f"{step.mark_after:#x}",
            "perhaps": maybe,
        }

    decider = deciding_step(ruleset, traversal)
    data = {
        "schema": 1,
        "packet": str(packet),
        "end": traversal.end.value,
        "detail": traversal.detail,
        "mark": f"{traversal.mark:#x}",
        "steps": [
            data_of(step, maybe=index in traversal.optional)
            for index, step in enumerate(traversal.steps)
        ],
        "decided_by": None if decider is None else data_of(decider, maybe=False),
    }
    return json.dumps(data, indent=1) + "\n"
