"""Where the tables are printed."""

from __future__ import annotations

import sys

from rich.console import Console

_WIDTH = 120


def console() -> Console:
    """The terminal; a file or a pipe, which has no width, gets tables that need not be broken."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH)
