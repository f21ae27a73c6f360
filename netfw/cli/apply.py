"""``netfw apply POLICY``."""

from __future__ import annotations

import argparse
import functools
import gc
import json
import sys
from typing import TYPE_CHECKING

from netfw.cli.policy_file import POLICY_HELP, add_variables, read_policy
from netfw.cli.seconds import seconds
from netfw.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from netfw.apply.application import MakeWish, Rehearse
    from netfw.apply.intention import Intention, Wish
    from netfw.compiler.compiled import Compiled
    from netfw.plan.entry import Entry

_QUESTION_TIME = 60.0
"""Seconds within which a person at a terminal has to answer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("policy", metavar="POLICY", nargs="?", help=POLICY_HELP)
    add_variables(parser)
    add_confirmation(parser)
    parser.add_argument(
        "--repair",
        action="store_true",
        help="without POLICY: bring back what was applied last, whatever was changed by hand",
    )


def add_confirmation(parser: argparse.ArgumentParser) -> None:
    """Describe what every verb that writes has: the rehearsal, the question, and the note."""
    parser.add_argument(
        "--confirm",
        metavar="TIME",
        type=seconds,
        help="undo it unless 'netfw confirm' comes within this time (60s, 5m); at a terminal "
        "netfw asks, and 60s is the default",
    )
    parser.add_argument(
        "--no-rehearse", action="store_true", help="do not try it on a copy of this host first"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="also where the rehearsal says that it would cut your own connection, or would not "
        "do what it should",
    )
    parser.add_argument("--yes", action="store_true", help="keep it without asking")
    parser.add_argument("-m", "--message", metavar="WHY", default="", help="noted in the history")
    parser.add_argument("--json", action="store_true", help="print JSON, and ask nobody")


def run(arguments: argparse.Namespace) -> int:
    """Apply a policy to this host; 0 where it is kept or waits, 5 where it was taken back."""
    # see netfw/cli/prove.py: many objects, hardly a cycle
    gc.disable()
    if arguments.repair:
        if arguments.policy is not None:
            raise UsageError.at("--repair", "it brings back what was applied", "leave POLICY out")
        return write_unjudged(_last, arguments, "netfw apply")
    if arguments.policy is None:
        raise UsageError.at("netfw apply", "there is no POLICY", "name a file or a folder")
    from netfw.apply.missing import refuse_missing_interfaces
    from netfw.apply.wish_of import wish_of
    from netfw.cli.rehearsing import rehearsal_before
    from netfw.compiler.pipeline import compile_policy

    policy = read_policy(arguments.policy, arguments)
    refuse_missing_interfaces(policy)

    @functools.cache
    def compiled() -> Compiled:
        return compile_policy(policy)

    def wish(history: list[Entry]) -> Wish:
        # only now: the host is being read at the same time
        return wish_of(compiled(), arguments.policy, history, arguments.message)

    def rehearse(intention: Intention) -> None:
        rehearsal_before((policy, compiled()), "netfw apply", force=arguments.force)(intention)

    return write_wish(wish, arguments, rehearse)


def _last(history: list[Entry]) -> Wish:
    from netfw.apply.wish_of import wish_of_entry

    if not history:
        raise UsageError.at("--repair", "nothing was applied to this host yet", "name a POLICY")
    return wish_of_entry(history[-1], "repair")


def write_unjudged(wish: MakeWish, arguments: argparse.Namespace, verb: str) -> int:
    """Write what comes from no policy; rehearsed where somebody's connection may be cut."""
    from netfw.cli.rehearsing import rehearsal_of_connection

    return write_wish(wish, arguments, rehearsal_of_connection(verb, force=arguments.force))


def write_wish(
    wish: MakeWish, arguments: argparse.Namespace, rehearse: Rehearse | None = None
) -> int:
    """Write what is wished, say so, and ask whoever sits at a terminal if all is well."""
    from netfw.apply.application import apply_wish

    if arguments.yes and arguments.confirm is not None:
        raise UsageError.at("--yes", "nothing is to be confirmed then", "leave --confirm out")
    if arguments.no_rehearse and rehearse is not None:
        print("netfw: NOT REHEARSED, as --no-rehearse says", file=sys.stderr)
        rehearse = None
    is_asked = sys.stdin.isatty() and not arguments.yes and not arguments.json
    within = arguments.confirm or (_QUESTION_TIME if is_asked else None)
    applied = apply_wish(
        wish,
        lambda line: print(f"netfw: {line}", file=sys.stderr),
        confirm_within=within,
        rehearse=rehearse,
    )
    if arguments.json:
        from netfw.report.applied import applied_data

        sys.stdout.write(json.dumps(applied_data(applied), indent=1) + "\n")
        return int(ExitCode.OK)
    if applied.made is None:
        print("nothing to do: this host holds what is wished")
        return int(ExitCode.OK)
    number = applied.made.entry.number
    changes = applied.intention.plan.changes
    came = sum(change.comes for change in changes)
    print(f"change {number}: {came} lines came, {len(changes) - came} went")
    if applied.made.waits is None:
        print(f"change {number} is kept")
        return int(ExitCode.OK)
    if is_asked:
        from netfw.cli.answer import wait_for_answer

        return wait_for_answer(number, applied.made.waits)
    print(f"'netfw confirm' within {applied.made.waits:g} seconds keeps it, else it is undone")
    return int(ExitCode.OK)
