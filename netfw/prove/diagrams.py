"""The managers of decision diagrams, each of which outlives its last diagram."""

from __future__ import annotations

import sys
from typing import Any

_MEMORY = 1 << 28
"""Bytes that the library may plan its tables for; it takes what it needs."""
_MANAGERS: list[Any] = []
_IDLE = 3
"""References to a manager that only ``_MANAGERS`` holds, while it is looked at."""


def new_manager() -> Any:  # noqa: ANN401 - dd has no types
    """A manager without variables: CUDD's, or dd's own in Python where CUDD is not built.

    CUDD's manager raises an error from its destructor, at whatever is running then, if it goes
    before one of its diagrams; and a garbage collector finds both at once and asks nobody which
    shall go first. So each is kept here until nothing else refers to it.
    """
    _MANAGERS[:] = [each for each in _MANAGERS if sys.getrefcount(each) > _IDLE]
    try:
        from dd import cudd
    except ImportError:
        from dd import autoref

        manager = autoref.BDD()
    else:
        manager = cudd.BDD(memory_estimate=_MEMORY)
    # the order of the variables is chosen with care
    manager.configure(reordering=False)
    _MANAGERS.append(manager)
    return manager
