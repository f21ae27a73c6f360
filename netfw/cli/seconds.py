"""Times on the command line: ``60s``, ``5m``, ``90``."""

from __future__ import annotations

import argparse
import re

_TIME = re.compile(r"(\d{1,6})(s|m|h)?")
_UNITS = {None: 1, "s": 1, "m": 60, "h": 3600}
MOST = 86_400
"""A day."""


def seconds(text: str) -> float:
    """A time from 1 second to a day; raises what argparse expects."""
    found = _TIME.fullmatch(text)
    value = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 1 <= value <= MOST:
        raise argparse.ArgumentTypeError(f"'{text}' is no time from 1s to 24h, such as 60s or 5m")
    return float(value)
