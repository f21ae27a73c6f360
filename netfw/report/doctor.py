"""What doctor found, in lines and as plain data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from netfw.doctor.diagnosis import Diagnosis
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.place import Spot
from netfw.doctor.probing import Demonstrations
from netfw.ir.names import Family
from netfw.report.demonstration import (
    demonstration_data,
    demonstration_lines,
    summary_data,
    summary_lines,
)
from netfw.report.glyphs import Glyphs

_WIDTH = 99


def diagnosis_lines(
    found: Diagnosis, glyphs: Glyphs, shown: Demonstrations | None = None
) -> Iterator[str]:
    """Each finding with its evidence, what it does and how to put it right; a summary last.

    ``shown`` are what packets showed of them, in their order, where some were sent.
    """
    for number, finding in enumerate(found.findings):
        yield from finding_lines(finding, glyphs)
        if shown is not None:
            yield from demonstration_lines(shown.all[number], glyphs)
        yield ""
    for each in found.not_read:
        yield f"not read: {each}"
    for said in found.not_compared:
        yield from _labelled("not compared with others", said, indent="")
    if shown is not None:
        yield from summary_lines(shown)
    yield _summary(found, glyphs)


def finding_lines(finding: Finding, glyphs: Glyphs) -> Iterator[str]:
    """One finding."""
    head = f"{glyphs.bad} {finding.severity}: {finding.problem} [{finding.code}]"
    yield from textwrap.wrap(
        head, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    for spot in finding.evidence:
        yield f"    {spot_text(spot)}"
        if spot.text:
            yield f"      {spot.text}"
    yield from _labelled("effect", finding.effect)
    for line in finding.fix:
        yield f"  fix: {line}"


def spot_text(spot: Spot) -> str:
    """A place with its line or handle, so that it can be looked up."""
    if spot.line:
        return f"{spot} (line {spot.line} of {_listing(spot)})"
    return f"{spot} (handle {spot.handle})" if spot.handle else str(spot)


def _listing(spot: Spot) -> str:
    """The program whose listing has the line."""
    family = "ip6" if spot.family is Family.IPV6 else "ip"
    return f"{spot.system}-save".replace("ip", family, 1)


def _labelled(label: str, text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(
        f"{indent}{label}: {text}",
        _WIDTH,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _summary(found: Diagnosis, glyphs: Glyphs) -> str:
    errors, warnings = found.count(Severity.ERROR), found.count(Severity.WARNING)
    kinds = f"{len(found.codes)} kind{'s' if len(found.codes) != 1 else ''} of findings"
    looked = f"{found.host}: looked for {kinds}"
    if not errors and not warnings:
        scope = " in what could be read" if found.not_read else ""
        return f"{glyphs.good} {looked}, found none{scope}"
    parts = [
        f"{count} {word}{'s' if count != 1 else ''}"
        for count, word in ((errors, "error"), (warnings, "warning"))
        if count
    ]
    return f"{looked}, found {' and '.join(parts)}; 'netfw explain-finding CODE' says more"


def diagnosis_data(found: Diagnosis, shown: Demonstrations | None = None) -> dict[str, Any]:
    """The same as plain data."""
    data = _data(found)
    if shown is not None:
        data["probe"] = summary_data(shown)
        for finding, one in zip(data["findings"], shown.all, strict=True):
            finding["probe"] = demonstration_data(one)
    return data


def _data(found: Diagnosis) -> dict[str, Any]:
    return {
        "schema": 1,
        "host": found.host,
        "errors": found.count(Severity.ERROR),
        "warnings": found.count(Severity.WARNING),
        "looked_for": list(found.codes),
        "not_read": [{"what": each.what, "why": each.why} for each in found.not_read],
        "not_compared": list(found.not_compared),
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity.value,
                "problem": finding.problem,
                "evidence": [spot_data(spot) for spot in finding.evidence],
                "effect": finding.effect,
                "fix": list(finding.fix),
            }
            for finding in found.findings
        ],
    }


def spot_data(spot: Spot) -> dict[str, Any]:
    """A place as plain data; what it lacks is null."""
    return {
        "system": spot.system.value,
        "family": None if spot.family is None else spot.family.value,
        "table": spot.table or None,
        "chain": spot.chain or None,
        "rule": spot.number or None,
        "line": spot.line or None,
        "handle": spot.handle or None,
        "text": spot.text or None,
    }
