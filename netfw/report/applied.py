"""What came of a change, as plain data."""

from __future__ import annotations

from netfw.apply.application import Applied
from netfw.report.plan import plan_data


def applied_data(applied: Applied) -> dict[str, object]:
    """``change`` is the number in the history, null where there was nothing to do; ``waits`` for
    how many seconds it can be confirmed, null where it is kept; ``plan`` as ``netfw plan`` has it,
    without packets."""
    wish, made = applied.intention.wish, applied.made
    places = {origin.identity: str(origin.where) for origin in wish.origins}
    return {
        "schema": 1,
        "change": None if made is None else made.entry.number,
        "waits": None if made is None else made.waits,
        "plan": plan_data(applied.intention.plan, places, None),
    }
