"""``netfw history``."""

from __future__ import annotations

import argparse
import json
import sys

from netfw.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List what was applied to this host, the newest first: when, by whom, why, what became of
    it."""
    from netfw.host.history import entry_numbers, read_entry
    from netfw.host.journal import read_events
    from netfw.host.pending_change import confirmed_number
    from netfw.host.state_folder import StateFolder
    from netfw.report.history import history_data, history_lines

    state = StateFolder()
    entries = [read_entry(state, number) for number in entry_numbers(state)]
    outcomes = {event.number: event.what for event in read_events(state)}
    kept = confirmed_number(state)
    if arguments.json:
        sys.stdout.write(json.dumps(history_data(entries, outcomes, kept), indent=1) + "\n")
    else:
        for line in history_lines(entries, outcomes, kept):
            print(line)
    return int(ExitCode.OK)
