"""What a watch has to tell: in lines, and as a line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from netfw.apply.watch import Report, What
from netfw.report.change import drift_data, drift_text

_MOST = 20
"""Lines that are printed of one report; the rest is counted."""


def watch_lines(report: Report, time: str) -> Iterator[str]:
    """A report in lines; ``time`` as ``2026-01-31T12:00:00Z``."""
    by = f", rules were changed by {', '.join(report.by)}" if report.by else ""
    match report.what:
        case What.DRIFT:
            for change in report.changes[:_MOST]:
                yield f"{time} {drift_text(change)}{by}"
            if len(report.changes) > _MOST:
                yield f"{time} … and {len(report.changes) - _MOST} more"
        case What.REPAIRED:
            yield f"{time} repaired: {len(report.changes)} lines"
        case What.WELL:
            yield f"{time} well: the host holds what was applied"
        case _:
            yield f"{time} {report.what.value}: {report.text}"


def watch_json(report: Report, time: str) -> str:
    """A report as one line of JSON."""
    return json.dumps(
        {
            "schema": 1,
            "time": time,
            "event": report.what.name.lower(),
            "text": report.text or None,
            "by": list(report.by),
            "drift": [drift_data(change) for change in report.changes],
        }
    )
