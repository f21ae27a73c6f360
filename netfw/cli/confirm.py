"""``netfw confirm``."""

from __future__ import annotations

import argparse

from netfw.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(_: argparse.Namespace) -> int:
    """Keep the change that waits; 4 where none waits, or where it has been undone already."""
    from netfw.apply.guarded import confirm
    from netfw.host.state_folder import StateFolder

    pending = confirm(StateFolder())
    print(f"change {pending.number} is kept")
    return int(ExitCode.OK)
