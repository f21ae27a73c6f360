"""Waiting for a condition, never for time. The only place that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable

_PAUSE = 0.002


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds; False if it still does not after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE)
    return True
