"""Tiers: groups of policies that are asked one behind the other, and where a policy acts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.errors import Where

LAST_TIER = "default"
"""The tier of policies that name none; it is the last one, and denies what none of its rules
matches."""


class Acts(Enum):
    """Where a policy judges."""

    NORMAL = "normal"
    """In the filter table, behind translation of destinations."""
    PRE_DNAT = "pre-dnat"
    """In mangle PREROUTING: packets as they arrive, whether for this host or forwarded."""
    UNTRACKED = "untracked"
    """In the raw table, before connection tracking, which is off for what is allowed there."""

    @property
    def is_early(self) -> bool:
        """Whether a verdict here stands for the normal stages of host endpoints."""
        return self is not Acts.NORMAL


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier; ``passes`` says that what no rule of it matches goes on to the next."""

    name: str
    passes: bool
    where: Where
