"""A predicted way in words: every step with its rule's text and the line it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

from netfw.ir.ipset import SetMember
from netfw.ir.protocols import TCP
from netfw.ir.ruleset import Rule, Ruleset
from netfw.render.ipset import render_member
from netfw.render.rule import render_rule
from netfw.report.drawing import end_text
from netfw.report.glyphs import Glyphs
from netfw.traverse.account import Account, account_of
from netfw.traverse.notation import flags_text
from netfw.traverse.packet import Packet
from netfw.traverse.traversal import End, Step, Traversal


def explain(
    ruleset: Ruleset, packet: Packet, traversal: Traversal, glyphs: Glyphs
) -> Iterator[str]:
    """The way of a packet through one ruleset, station by station, and what decided."""
    return account_lines(account_of(ruleset, packet, traversal), glyphs)


def account_lines(account: Account, glyphs: Glyphs) -> Iterator[str]:
    """The way of a packet, station by station, and what decided."""
    traversal = account.traversal
    yield str(account.packet)
    if account.completed:
        yield f"completed: {', '.join(account.completed)}"
    numbered = list(enumerate(traversal.steps))
    stations = groupby(numbered, key=lambda item: (item[1].station, _backend(account, item[0])))
    for number, ((station, backend), group) in enumerate(stations, start=1):
        yield f"{number}. {station}{f' of {backend}' if backend else ''}"
        for index, step in group:
            yield from _step_lines(account, index, step, glyphs)
    yield verdict_line(account, glyphs)
    if account.open_rule is not None:
        yield f"      {render_rule(account.open_rule, account.packet.family)}"
        if account.open_rule.origin is not None:
            yield f"      {account.open_rule.origin}"
    if account.if_it_matches is not None and account.if_not is not None:
        yield f"   if it matches: {_end_in_words(account.if_it_matches)}"
        yield f"   if not: {_end_in_words(account.if_not)}"
    translated = _translated(account)
    if translated:
        yield f"translated to {translated}"
    deciding = account.deciding
    if deciding is not None:
        yield f"decided by {place(account, deciding)}"
    for note in account.notes:
        yield f"note: {note}"


def account_line(account: Account) -> str:
    """The packet, its way in, its end and what decided, in one line."""
    packet = account.packet
    words = [str(packet)]
    if packet.protocol == TCP:
        words.append(f"flags {flags_text(packet.tcp_flags)}")
    if account.by_any_interface:
        words.append("in by any interface:")
    else:
        words.append(f"in {packet.in_interface}:" if packet.in_interface else "from this host:")
    return " ".join([*words, _end_in_words(account)])


def _end_in_words(account: Account) -> str:
    traversal, deciding = account.traversal, account.deciding
    text = f"{end_text(traversal)}, mark {traversal.mark:#x}"
    return text if deciding is None else f"{text} ({place(account, deciding)})"


def verdict_line(account: Account, glyphs: Glyphs) -> str:
    """Where the way ended, and the mark there."""
    traversal = account.traversal
    text = f"{glyphs.end} {end_text(traversal)}"
    if account.by_any_interface and traversal.end is End.UNDECIDED and not traversal.steps:
        # the marks stand with the interfaces
        return text
    return f"{text}, mark {traversal.mark:#x}"


def place(account: Account, index: int) -> str:
    """Where a step's rule stands."""
    step, rule = account.traversal.steps[index], account.rules[index]
    text = f"{step.table} {step.chain} {_what(step)}"
    backend = _backend(account, index)
    if backend:
        text = f"{backend} {text}"
    found = _members(account, index)
    if found:
        return f"{text}, {', '.join(found)}"
    return text if rule is None or rule.origin is None else f"{text}, {rule.origin}"


def _members(account: Account, index: int) -> list[str]:
    """As what a rule found the packet in its sets, with the rule of the policy that says so."""
    lines = []
    for name, member in account.traversal.members.get(index, ()):
        text = f"member {render_member(SetMember(member.parts, member.nomatch))} of {name}"
        comment = member.comment
        origin = None if comment is None else account.origin_of(comment)
        said = comment if origin is None else str(origin)
        lines.append(f"{text}, {said}" if said else text)
    return lines


def _translated(account: Account) -> str:
    """The packet as it is at its end, where that is not as it came; else empty."""
    packet, final = account.packet, account.traversal.final
    if final is None:
        return ""
    now = replace(
        packet,
        source=final.source,
        source_port=final.source_port,
        destination=final.destination,
        destination_port=final.destination_port,
    )
    return "" if now == packet else str(now)


def _backend(account: Account, index: int) -> str:
    return account.backends[index].value if account.backends else ""


def _what(step: Step) -> str:
    if step.rule:
        return f"rule {step.rule}"
    return "policy" if step.chain == step.hook.value else "end"


def _step_lines(account: Account, index: int, step: Step, glyphs: Glyphs) -> Iterator[str]:
    mark = f"mark {step.mark_after:#x}"
    if step.mark_before != step.mark_after:
        mark = f"mark {step.mark_before:#x} {glyphs.arrow} {step.mark_after:#x}"
    doubt = " (perhaps)" if index in account.traversal.optional else ""
    yield f"   {glyphs.line} {step.chain} {_what(step)}: {step.outcome.value}, {mark}{doubt}"
    rule = account.rules[index]
    if rule is not None:
        yield f"   {glyphs.line}     {render_rule(rule, account.packet.family)}"
        if rule.origin is not None:
            yield f"   {glyphs.line}     {rule.origin}"
    for line in _members(account, index):
        yield f"   {glyphs.line}     {line}"


def account_json(account: Account) -> str:
    """The same as JSON; marks are hex strings."""
    return json.dumps({"schema": 1, **account_data(account)}, indent=1) + "\n"


def account_data(account: Account) -> dict[str, Any]:
    """The same as data for JSON."""
    traversal, deciding = account.traversal, account.deciding
    steps = [_step_data(account, index, step) for index, step in enumerate(traversal.steps)]
    return {
        "packet": str(account.packet),
        "in": account.packet.in_interface or None,
        "completed": list(account.completed),
        "end": traversal.end.value,
        "detail": traversal.detail,
        "mark": f"{traversal.mark:#x}",
        "translated_to": _translated(account) or None,
        "steps": steps,
        "decided_by": None if deciding is None else steps[deciding],
        "open": _rule_data(account, account.open_rule),
        "if_it_matches": _branch_data(account.if_it_matches),
        "if_not": _branch_data(account.if_not),
        "notes": list(account.notes),
    }


def _branch_data(account: Account | None) -> dict[str, Any] | None:
    return None if account is None else account_data(account)


def _rule_data(account: Account, rule: Rule | None) -> dict[str, Any] | None:
    if rule is None:
        return None
    text = render_rule(rule, account.packet.family)
    return {"text": text, "origin": None if rule.origin is None else str(rule.origin)}


def _step_data(account: Account, index: int, step: Step) -> dict[str, Any]:
    rule = account.rules[index]
    return {
        "hook": step.hook.value,
        "table": step.table.value,
        "backend": _backend(account, index) or None,
        "chain": step.chain,
        "rule": step.rule or None,
        "text": None if rule is None else render_rule(rule, account.packet.family),
        "origin": None if rule is None or rule.origin is None else str(rule.origin),
        "members": _members(account, index),
        "outcome": step.outcome.value,
        "mark_before": f"{step.mark_before:#x}",
        "mark_after": f"{step.mark_after:#x}",
        "perhaps": index in account.traversal.optional,
    }
