"""The managers of decision diagrams: each outlives its last diagram, and none takes all memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from netfw.errors import InconclusiveError

_MEMORY = 1 << 28
"""Bytes that the library may plan its tables for; it takes what it needs."""
MOST_MEMORY = 2 << 30
"""Bytes that the diagrams of a family may take; half of what the machine has, if that is less."""
_BYTES_PER_NODE = 400
"""What a node takes where diagrams are kept in Python."""
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
        manager._bdd.max_nodes = _most_memory() // _BYTES_PER_NODE
    else:
        manager = cudd.BDD(memory_estimate=_MEMORY)
        manager.configure(max_memory=_most_memory())
    # the order of the variables is chosen with care
    manager.configure(reordering=False)
    _MANAGERS.append(manager)
    return manager


def _most_memory() -> int:
    return min(MOST_MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)


@contextmanager
def within_memory() -> Iterator[None]:
    """Where a set of packets needs more memory than it may have, no answer is found.

    Raises InconclusiveError then. Some functions have no small diagram, whatever the order of the
    variables: that both addresses of a packet are equal, say, if 64 rules together ask that.
    """
    try:
        yield
    except (ValueError, RuntimeError, MemoryError) as error:
        # CUDD's functions return NULL then, and nothing else says so
        words = str(error)
        if not isinstance(error, MemoryError) and not any(sign in words for sign in _SIGNS):
            raise
        raise InconclusiveError.at(
            "the proof",
            f"a set of packets takes more than {_most_memory() >> 20} MiB",
            "rules that toggle or copy single bits of marks, each for other packets, need most",
        ) from None


_SIGNS = ("`NULL` pointer", "compose failed", "cofactor failed", "full: reached `self.max_nodes`")
