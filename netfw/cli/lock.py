"""``netfw lock POLICY``."""

from __future__ import annotations

import argparse

from netfw.cli.policy_file import POLICY_HELP, add_variables, load_policy, surroundings_of
from netfw.errors import ExitCode, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("policy", metavar="POLICY", help=POLICY_HELP)
    add_variables(parser)
    parser.add_argument(
        "--update", action="store_true", help="resolve all names anew, not only those missing"
    )


def run(arguments: argparse.Namespace) -> int:
    """Bring the lock file of a policy up to its names, and print what changes."""
    from netfw.host.lock_file import write_lock
    from netfw.policy.lock import changes

    if arguments.locked:
        raise UsageError.at("--locked", "this verb is there to change the lock file")
    around = surroundings_of(arguments.policy, arguments, anew=arguments.update)
    load_policy(arguments.policy, arguments, around)
    if around.lock is None:
        raise UsageError.at(
            "netfw lock -", "standard input has no lock file", "give one with --lock FILE"
        )
    changed = changes(around.locked, around.used)
    for line in changed:
        print(line)
    if changed:
        write_lock(around.lock, around.used)
    names = "1 name" if len(around.used) == 1 else f"{len(around.used)} names"
    print(f"{around.lock}: {names}, {'changed' if changed else 'nothing changed'}")
    return int(ExitCode.OK)
