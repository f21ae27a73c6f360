"""What packets in a twin showed of findings, in lines and as plain data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from netfw.doctor.place import System
from netfw.doctor.probing import Demonstration, Demonstrations, Outcome
from netfw.doctor.seen_at import is_at
from netfw.report.glyphs import Glyphs
from netfw.report.trace import mark_words, packet_data, packet_title
from netfw.traverse.observed import ObservedPacket, ObservedStep, RoutingSeen

_WIDTH = 99
_IN_A_TWIN = {
    Outcome.SHOWN: "shown in a twin",
    Outcome.NOT_SHOWN: "not shown in a twin",
    Outcome.INCONCLUSIVE: "inconclusive in a twin",
    Outcome.NOT_PROBED: "not probed",
}


def demonstration_lines(one: Demonstration, glyphs: Glyphs) -> Iterator[str]:
    """What was seen in one sentence, and of the packets' ways what bears it out."""
    yield from textwrap.wrap(
        f"  {_IN_A_TWIN[one.outcome]}: {one.said}",
        _WIDTH,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    for packet in one.packets:
        yield f"    {packet_title(packet)}"
        for line in _way(one, packet, glyphs):
            yield f"      {glyphs.line} {line}"
        yield f"      {glyphs.end} {packet.ending}, mark {packet.mark:#x}"


def _way(one: Demonstration, packet: ObservedPacket, glyphs: Glyphs) -> Iterator[str]:
    """The steps that change the mark, or that the finding is about."""
    by_mark = any(spot.system is System.ROUTING for spot in one.finding.evidence)
    for entry in packet.entries:
        if isinstance(entry, RoutingSeen):
            if by_mark or entry.reads_mark:
                rule = f" by {entry.rule}" if entry.rule else ""
                way = f" {glyphs.arrow} {entry.decision}" if entry.decision else ""
                yield f"routing with mark {entry.mark:#x}{rule}{way}"
            continue
        mark = mark_words(entry.mark_before, entry.mark_after, glyphs)
        if not isinstance(entry, ObservedStep):
            yield f"{mark}, {entry.between or 'when it began'}"
        elif entry.mark_before != entry.mark_after or any(
            is_at(entry, spot) for spot in one.finding.evidence
        ):
            yield f"{entry.place}: {entry.outcome.value}, {mark}"


def summary_lines(found: Demonstrations) -> Iterator[str]:
    """How many were shown, what the twin lacks, and how long it took."""
    for what in found.lacking:
        yield f"the twin lacks: {what}"
    counts = [f"{count} {outcome}" for outcome in Outcome if (count := found.count(outcome)) > 0]
    if counts:
        yield f"probed in a twin in {found.seconds:.1f} s: {', '.join(counts)}"


def demonstration_data(one: Demonstration) -> dict[str, Any]:
    """One of them as plain data."""
    return {
        "outcome": one.outcome.value,
        "said": one.said,
        "sent": one.sent,
        "packets": [packet_data(packet) for packet in one.packets],
    }


def summary_data(found: Demonstrations) -> dict[str, Any]:
    """All of them, summed up."""
    counts: dict[str, Any] = {
        outcome.value.replace(" ", "_"): found.count(outcome) for outcome in Outcome
    }
    return {
        **counts,
        "twin_lacks": list(found.lacking),
        "seconds": round(found.seconds, 3),
    }
