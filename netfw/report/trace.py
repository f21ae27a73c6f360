"""Packets as the kernel's trace showed them: timelines for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from netfw.report.glyphs import Glyphs
from netfw.traverse.notation import flags_text
from netfw.traverse.observed import (
    Entry,
    ObservedPacket,
    ObservedStep,
    OutsideChange,
    RoutingSeen,
    TraceTotals,
)
from netfw.traverse.traversal import Outcome

SCHEMA = 1
_JUMPS = frozenset({Outcome.JUMP, Outcome.GOTO})


def packet_lines(packet: ObservedPacket, glyphs: Glyphs) -> Iterator[str]:
    """A packet's timeline."""
    yield f"packet {packet.number}: {packet_title(packet)}"
    hook = None
    for entry in packet.entries:
        if isinstance(entry, ObservedStep):
            if entry.hook is not hook:
                hook = entry.hook
                yield f"  {hook.value if hook is not None else 'another hook'}"
            yield from _step_lines(entry, glyphs)
        elif isinstance(entry, OutsideChange):
            yield from _change_lines(entry, glyphs)
        else:
            yield from _routing_lines(entry, glyphs)
    yield f"  {glyphs.end} {packet.ending}, mark {packet.mark:#x}"
    for line in packet.evidence:
        yield f"      {line}"
    if packet.translated:
        yield f"    translated to {packet.translated}"
    if packet.connection:
        yield f"    connection: {packet.connection}"
    if packet.prediction:
        yield f"    prediction: {packet.prediction}"
    for line in packet.surprises:
        yield f"    surprise: {line}"
    if packet.unsure:
        yield f"    inconclusive: {packet.unsure}"


def packet_title(packet: ObservedPacket) -> str:
    """What was sent, and by which interface it came."""
    words = [packet.title]
    if packet.packet is not None:
        if packet.packet.tcp_flags:
            words.append(f"flags {flags_text(packet.packet.tcp_flags)}")
        came_by = packet.packet.in_interface
        words.append(f"in {came_by}" if came_by else "from this host")
    return " ".join(words)


def mark_words(before: int, after: int, glyphs: Glyphs) -> str:
    """A mark, or how it changed."""
    if before == after:
        return f"mark {after:#x}"
    return f"mark {before:#x} {glyphs.arrow} {after:#x}"


def _outcome_words(step: ObservedStep) -> str:
    if step.outcome in _JUMPS and step.jump:
        return f"{step.outcome.value} {step.jump}"
    text: str = step.outcome.value
    return text


def _step_lines(step: ObservedStep, glyphs: Glyphs) -> Iterator[str]:
    mark = mark_words(step.mark_before, step.mark_after, glyphs)
    yield f"    {glyphs.line} {step.place}: {_outcome_words(step)}, {mark}"
    if step.text:
        yield f"    {glyphs.line}     {step.text}"
    if step.origin is not None:
        yield f"    {glyphs.line}     {step.origin}"


def _change_lines(change: OutsideChange, glyphs: Glyphs) -> Iterator[str]:
    mark = mark_words(change.mark_before, change.mark_after, glyphs)
    if change.between:
        yield f"    ! {mark} {change.between}: no rule that was seen wrote it"
    else:
        yield f"    ! it begins with mark {change.mark_after:#x}, which no rule wrote"
    for number, writer in enumerate(change.writers):
        yield f"    !     {'likely' if number == 0 else 'or'}: {writer}"


def _routing_lines(seen: RoutingSeen, glyphs: Glyphs) -> Iterator[str]:
    said = f" {glyphs.arrow} {seen.decision}" if seen.decision else ""
    yield f"  routing with mark {seen.mark:#x}{said}"
    for rule in seen.passed_over:
        yield f"    {glyphs.line} {rule}: reads the mark, does not match {seen.mark:#x}"
    if seen.rule:
        reads = " (read the mark)" if seen.reads_mark else ""
        yield f"    {glyphs.line} {seen.rule}{reads}: {seen.route}".rstrip(": ")
    elif seen.route:
        yield f"    {glyphs.line} {seen.route}"
    for rule in seen.behind:
        yield f"    {glyphs.line} {rule}: would match, but is not asked any more"
    if seen.note:
        yield f"    ! {seen.note}"
    if seen.kernel:
        yield f"    {glyphs.line} the kernel says now: {seen.kernel}"


def total_lines(totals: TraceTotals) -> Iterator[str]:
    """What a trace did in all."""
    for note in totals.notes:
        yield f"note: {note}"
    text = f"{totals.shown} packets shown in {totals.seconds:.1f} s"
    yield f"{text}; {totals.matched} matched, {totals.followed} followed"
    if totals.matched > totals.followed:
        beyond = totals.matched - totals.followed
        yield f"{beyond} packets were beyond the rate limit (--rate) and not followed"
    if totals.lost:
        yield f"inconclusive: {totals.lost}"


def packet_data(packet: ObservedPacket) -> dict[str, Any]:
    """A packet as data for JSON; marks are hex strings."""
    return {
        "number": packet.number,
        "time": round(packet.time, 6),
        "family": packet.family.value,
        "packet": packet.title,
        "in": (packet.packet.in_interface or None) if packet.packet is not None else None,
        "timeline": [_entry_data(entry) for entry in packet.entries],
        "end": packet.end.value,
        "detail": packet.detail,
        "evidence": list(packet.evidence),
        "mark": f"{packet.mark:#x}",
        "translated_to": packet.translated or None,
        "connection": packet.connection or None,
        "prediction": packet.prediction or None,
        "surprises": list(packet.surprises),
        "inconclusive": packet.unsure or None,
    }


def _entry_data(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, ObservedStep):
        return {
            "what": "step",
            "hook": None if entry.hook is None else entry.hook.value,
            "backend": entry.backend,
            "table": entry.table,
            "chain": entry.chain,
            "rule": entry.rule if entry.rule > 0 else None,
            "text": entry.text or None,
            "origin": None if entry.origin is None else str(entry.origin),
            "outcome": entry.outcome.value,
            "jump": entry.jump or None,
            "mark_before": f"{entry.mark_before:#x}",
            "mark_after": f"{entry.mark_after:#x}",
        }
    if isinstance(entry, OutsideChange):
        return {
            "what": "change",
            "between": entry.between or None,
            "mark_before": f"{entry.mark_before:#x}",
            "mark_after": f"{entry.mark_after:#x}",
            "writers": list(entry.writers),
        }
    return {
        "what": "routing",
        "mark": f"{entry.mark:#x}",
        "decision": entry.decision or None,
        "rule": entry.rule or None,
        "reads_mark": entry.reads_mark,
        "passed_over": list(entry.passed_over),
        "route": entry.route or None,
        "behind": list(entry.behind),
        "note": entry.note or None,
        "kernel": entry.kernel or None,
    }


JSON_HEAD = f'{{\n "schema": {SCHEMA},\n "packets": ['
"""What a trace as JSON begins with; packets and ``json_tail`` follow."""


def packet_json(packet: ObservedPacket) -> str:
    """A packet as JSON, to follow those before it."""
    comma = "," if packet.number > 1 else ""
    return f"{comma}\n  {json.dumps(packet_data(packet), ensure_ascii=False)}"


def json_tail(totals: TraceTotals) -> str:
    """What a trace as JSON ends with."""
    data = {
        "matched": totals.matched,
        "followed": totals.followed,
        "seconds": round(totals.seconds, 3),
        "lost": totals.lost or None,
        "notes": list(totals.notes),
    }
    return "\n ],\n" + json.dumps(data, indent=1).removeprefix("{\n") + "\n"
