"""``netfw status``."""

from __future__ import annotations

import argparse
import json
import sys

from netfw.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "--counters",
        action="store_true",
        help="what the kernel has counted, by the policy's rules",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, counters included")


def run(arguments: argparse.Namespace) -> int:
    """Say what is applied, and what of it was changed by hand; 1 where something was."""
    from netfw.apply.condition import find_condition
    from netfw.host.state_folder import StateFolder
    from netfw.report.glyphs import glyphs_for
    from netfw.report.status import status_data, status_lines

    found = find_condition(StateFolder(), counters=arguments.counters or arguments.json)
    if arguments.json:
        sys.stdout.write(json.dumps(status_data(found), indent=1) + "\n")
    else:
        for line in status_lines(found, glyphs_for(sys.stdout)):
            print(line)
    return int(ExitCode.OK if found.is_well else ExitCode.DIFFERENCES)
