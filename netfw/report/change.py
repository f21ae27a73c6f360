"""Lines that come or go, as text and as plain data."""

from __future__ import annotations

from netfw.plan.change import Change


def where_of(change: Change) -> str:
    """The place of a line, with its family."""
    return change.place if change.family is None else f"{change.family} {change.place}"


def change_data(change: Change) -> dict[str, object]:
    """A line that comes or goes."""
    return {"comes": change.comes, **_line_data(change)}


def drift_text(change: Change) -> str:
    """What somebody has changed by hand: ``change`` is what would bring it back, so that what
    would come is missing."""
    sign = "missing" if change.comes else "too many"
    return f"{sign}: {where_of(change)}: {change.text}"


def drift_data(change: Change) -> dict[str, object]:
    """The same as plain data."""
    return {"missing": change.comes, **_line_data(change)}


def _line_data(change: Change) -> dict[str, object]:
    return {
        "family": None if change.family is None else change.family.value,
        "place": change.place,
        "text": change.text,
        "rule": change.identity or None,
    }
