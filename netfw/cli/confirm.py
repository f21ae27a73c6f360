"""``netfw confirm``."""

from __future__ import annotations

import argparse

from netfw.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "number",
        metavar="N",
        nargs="?",
        type=int,
        help="the change that is meant, as 'netfw apply' said: no other one is kept",
    )


def run(arguments: argparse.Namespace) -> int:
    """Keep the change that waits; 4 where none waits, or where it has been undone already."""
    from netfw.apply.guarded import confirm
    from netfw.host.state_folder import StateFolder

    pending = confirm(StateFolder(), arguments.number)
    print(f"change {pending.number} is kept")
    return int(ExitCode.OK)
