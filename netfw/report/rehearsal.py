"""A rehearsal for people and as JSON: what a change would do to a host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain

from netfw.apply.rehearsal import Check, Rehearsal, Topic
from netfw.report.glyphs import Glyphs
from netfw.verify.result import Result, worst

_SHOWN_PROBLEMS = 5
_NOTHING_TO_TRY = {
    Topic.CONNECTION: "nobody is logged in by SSH here",
    Topic.FOREIGN: "others have no rules here",
    Topic.ASSERTION: "the policy has none",
}


def rehearsal_lines(
    rehearsal: Rehearsal, glyphs: Glyphs, *, verbose: bool = False
) -> Iterator[str]:
    """The whole report, the result in its last line."""
    yield f"{rehearsal.subject}, rehearsed with {rehearsal.backend} in a twin of this host"
    for what in rehearsal.lacking:
        yield f"  the twin lacks: {what}"
    for topic in Topic:
        yield from _topic_lines(rehearsal, topic, glyphs, verbose=verbose)
    if rehearsal.cuts_connection:
        yield ""
        yield f"{glyphs.bad} this change would lock you out"
    yield ""
    yield _result_line(rehearsal, glyphs)


def _topic_lines(
    rehearsal: Rehearsal, topic: Topic, glyphs: Glyphs, *, verbose: bool
) -> Iterator[str]:
    checks = rehearsal.of(topic)
    if not checks:
        if topic in _NOTHING_TO_TRY and rehearsal.of(Topic.PACKET):
            yield f"{glyphs.dot} {topic.value}: {_NOTHING_TO_TRY[topic]}"
        return
    agree = [check for check in checks if check.result is Result.AGREE]
    sign = _sign(worst(check.result for check in checks), glyphs)
    yield f"{sign} {topic.value}: {len(agree)} of {len(checks)} as they should be"
    if verbose:
        for check in checks:
            yield from _check_lines(check, glyphs)
        return
    problems = [
        check
        for result in (Result.DIFFER, Result.INCONCLUSIVE)
        for check in checks
        if check.result is result
    ]
    for check in problems[:_SHOWN_PROBLEMS]:
        yield from _check_lines(check, glyphs)
    if len(problems) > _SHOWN_PROBLEMS:
        yield f"    and {len(problems) - _SHOWN_PROBLEMS} more (-v shows all)"


def _check_lines(check: Check, glyphs: Glyphs) -> Iterator[str]:
    place = "" if check.origin is None else f"{check.origin.where}: "
    yield f"  {_sign(check.result, glyphs)} {place}{check.what}"
    if check.reason:
        yield f"      {check.reason}"


def _sign(result: Result, glyphs: Glyphs) -> str:
    return {
        Result.AGREE: glyphs.good,
        Result.DIFFER: glyphs.bad,
        Result.INCONCLUSIVE: glyphs.unsure,
    }[result]


def _result_line(rehearsal: Rehearsal, glyphs: Glyphs) -> str:
    result = rehearsal.result
    seconds = sum(rehearsal.seconds.values())
    text = {
        Result.AGREE: "agree: on this host the change does what the policy says",
        Result.DIFFER: "differ: on this host the change does not do what it should",
        Result.INCONCLUSIVE: "inconclusive: not everything could be shown",
    }[result]
    return f"{_sign(result, glyphs)} {text} ({seconds:.1f} s)"


def rehearsal_json(rehearsal: Rehearsal) -> str:
    """The same as JSON, with every check."""
    data = {
        "subject": rehearsal.subject,
        "backend": rehearsal.backend,
        "result": rehearsal.result.value,
        "cuts_connection": rehearsal.cuts_connection,
        "steps": rehearsal.steps,
        "lacking": list(rehearsal.lacking),
        "checks": [_check_data(check) for check in chain.from_iterable(map(rehearsal.of, Topic))],
        "seconds": {part: round(value, 3) for part, value in rehearsal.seconds.items()},
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _check_data(check: Check) -> dict[str, object]:
    data: dict[str, object] = {
        "topic": check.topic.name.lower(),
        "what": check.what,
        "result": check.result.value,
    }
    if check.reason:
        data["reason"] = check.reason
    if check.origin is not None:
        where = check.origin.where
        data["origin"] = {
            "file": where.file,
            "line": where.line,
            "column": where.column,
            "identity": check.origin.identity,
        }
    return data
