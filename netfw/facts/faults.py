"""How many faults of a file are told."""

from __future__ import annotations

from collections.abc import Sequence

from netfw.errors import Fault

MOST_FAULTS = 20
"""Faults of a file that are told one by one."""


def few(faults: Sequence[Fault], file: str) -> Sequence[Fault]:
    """The first faults, and how many more there are: rubbish has one in each line."""
    if len(faults) <= MOST_FAULTS:
        return faults
    more = len(faults) - MOST_FAULTS
    return [*faults[:MOST_FAULTS], Fault(file, f"{more} more faults like these")]
