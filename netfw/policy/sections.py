"""The keys of a policy file, and how they are joined when a policy is in several files."""

from __future__ import annotations

from enum import Enum


class Joining(Enum):
    """What becomes of a key that several files have."""

    EACH = "each file has its own"
    NAMES = "a mapping of names: all of them, and no name twice"
    LIST = "a list: one after the other"
    ONCE = "one file only"


SECTIONS = {
    "version": Joining.EACH,
    "include": Joining.EACH,
    "vars": Joining.NAMES,
    "marks": Joining.ONCE,
    "defaults": Joining.ONCE,
    "failsafes": Joining.ONCE,
    "endpoints": Joining.NAMES,
    "zones": Joining.NAMES,
    "nets": Joining.NAMES,
    "services": Joining.NAMES,
    "tiers": Joining.ONCE,
    "policies": Joining.LIST,
    "nat": Joining.LIST,
    "steer": Joining.LIST,
    "assert": Joining.LIST,
}
"""Every key of a policy file."""
