"""``netfw rollback [N]``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from netfw.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from netfw.apply.intention import Wish
    from netfw.host.state_folder import StateFolder
    from netfw.plan.entry import Entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    from netfw.cli.apply import add_confirmation

    parser.add_argument(
        "number",
        metavar="N",
        nargs="?",
        type=int,
        help="the entry of 'netfw history' to go to; default: undo the change that waits, or go "
        "to what was there before the last one",
    )
    add_confirmation(parser)


def run(arguments: argparse.Namespace) -> int:
    """Go back to an earlier state; 0 where it is there, or waits to be confirmed."""
    from netfw.apply.wish_of import wish_of_entry
    from netfw.cli.answer import take_back_now
    from netfw.cli.apply import write_unjudged
    from netfw.host.history import read_entry
    from netfw.host.pending_change import UNDOING, read_pending
    from netfw.host.state_folder import StateFolder

    state = StateFolder()
    waiting = read_pending(state) or read_pending(state, UNDOING)
    if waiting is not None:
        if arguments.number is not None:
            raise UsageError.at(
                "netfw rollback",
                f"change {waiting.number} waits to be confirmed",
                "'netfw rollback' without a number undoes it",
            )
        take_back_now(waiting.number, "as you said")
        return int(ExitCode.OK)
    entry = _before(state) if arguments.number is None else read_entry(state, arguments.number)

    def wish(_: list[Entry]) -> Wish:
        return wish_of_entry(entry, arguments.message or f"rollback to {entry.number}")

    return write_unjudged(wish, arguments, "netfw rollback")


def _before(state: StateFolder) -> Entry:
    """The last entry that was kept and is not what the host holds now."""
    from netfw.host.history import confirmed_entry, entry_numbers, read_entry
    from netfw.host.journal import read_events

    now = confirmed_entry(state)
    kept = {event.number for event in read_events(state) if event.what == "confirmed"}
    for number in reversed(entry_numbers(state)):
        if now is not None and number < now.number and number in kept:
            entry = read_entry(state, number)
            if entry.own != now.own:
                return entry
    raise UsageError.at(
        "netfw rollback",
        "nothing else of netfw's was on this host before",
        "'netfw remove' takes away what is there",
    )
