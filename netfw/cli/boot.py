"""``netfw boot``."""

from __future__ import annotations

import argparse
import sys

from netfw.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "--fail",
        choices=("closed", "open"),
        default="closed",
        help="what becomes of a host that cannot be given what was confirmed: nothing gets in but "
        "failsafes and what belongs to a connection (closed, the default), or nothing is loaded",
    )
    parser.add_argument(
        "--unit", action="store_true", help="print a unit of systemd that does this, and end"
    )


def run(arguments: argparse.Namespace) -> int:
    """Load what was confirmed; 0 where it is loaded or there is nothing, 4 where it cannot be."""
    if arguments.unit:
        from netfw.cli.unit import unit_text

        sys.stdout.write(unit_text("netfw.service", fail=arguments.fail))
        return int(ExitCode.OK)
    from netfw.apply.boot import Failure, restore_at_start

    restored = restore_at_start(
        Failure(arguments.fail), lambda line: print(f"netfw: {line}", file=sys.stderr)
    )
    entry = restored.entry
    if entry is None or entry.own.is_empty:
        print("nothing of netfw's is to be on this host")
        return int(ExitCode.OK)
    print(f"change {entry.number} is restored: {entry.policy}")
    for what in restored.waits:
        print(f"  not yet, its interface is not ready: {what}")
    if restored.waits:
        print("  'netfw watch --repair' loads it then, or 'netfw apply --repair'")
    return int(ExitCode.OK)
