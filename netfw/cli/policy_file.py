"""Reading a policy from a file or folder, for every verb that takes one."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from typing import TYPE_CHECKING

from netfw.errors import PolicyError, UsageError

if TYPE_CHECKING:
    from netfw.host.host_surroundings import HostSurroundings
    from netfw.policy.document import Given
    from netfw.policy.model import Policy

POLICY_HELP = "a policy file, a folder of them, or - for standard input"


def add_variables(parser: argparse.ArgumentParser) -> None:
    """Describe the options of every verb that reads a policy: what it is read with."""
    parser.add_argument(
        "--var",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a variable of the policy, to a word or to '[several, words]'; may be repeated",
    )
    parser.add_argument(
        "--vars", metavar="FILE", help="set variables from a YAML file of names and values"
    )
    parser.add_argument(
        "--facts",
        metavar="FILE",
        help="believe this file, which 'netfw facts' has written, instead of looking at "
        "this host: its interfaces, users and groups",
    )
    parser.add_argument(
        "--lock", metavar="FILE", help="the lock file of host names; default: POLICY.lock"
    )
    parser.add_argument(
        "--locked", action="store_true", help="resolve no host name: all must be locked"
    )


def read_policy(name: str, arguments: argparse.Namespace | None = None) -> Policy:
    """The policy in a file, in a folder, or on standard input for ``-``.

    ``arguments`` are those of a parser that went through ``add_variables``. Host names that are
    not in the lock file are resolved and added to it. Raises PolicyError for what is wrong with
    the policy, UsageError for a variable that cannot be understood, and HostError where the lock
    file cannot be written.
    """
    around = surroundings_of(name, arguments)
    policy = load_policy(name, arguments, around)
    added = around.added
    if added:
        around.save()
        print(f"{around.lock}: added {', '.join(sorted(added))}", file=sys.stderr)
    return policy


def surroundings_of(
    name: str, arguments: argparse.Namespace | None, *, anew: bool = False
) -> HostSurroundings:
    """What a policy of this name may ask of the host; ``anew`` resolves every host name."""
    from netfw.host.host_surroundings import HostSurroundings
    from netfw.host.lock_file import lock_name

    lock = None if name == "-" else lock_name(name)
    if arguments is None:
        return HostSurroundings(None, lock)
    return HostSurroundings(
        arguments.facts,
        arguments.lock or lock,
        may_resolve=not arguments.locked,
        anew=anew,
    )


def load_policy(
    name: str, arguments: argparse.Namespace | None, around: HostSurroundings
) -> Policy:
    """The same with given surroundings, whose lock file stays as it is."""
    from netfw.host.policy_files import STDIN, PolicyFiles, files_of_folder
    from netfw.policy.document import NOTHING_GIVEN
    from netfw.policy.library import LibraryFault
    from netfw.policy.read import load_files

    given = NOTHING_GIVEN if arguments is None else _given(arguments)
    names: tuple[str, ...] = (STDIN if name == "-" else name,)
    if os.path.isdir(name):
        try:
            names = files_of_folder(name)
        except LibraryFault as fault:
            raise PolicyError.at(name, fault.problem, fault.hint) from None
    # a policy makes many objects that stay, and hardly a cycle: looking for garbage among them
    # costs a third of the time
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return load_files(names, PolicyFiles(), given, names[0] if name == "-" else name, around)
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _given(arguments: argparse.Namespace) -> Given:
    from netfw.policy.document import Given

    words: dict[str, str] = {}
    for text in arguments.var:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError.at(f"--var {text}", "this has no '='", "write --var name=value")
        if name in words:
            raise UsageError.at(f"--var {name}", "this variable is given twice")
        words[name] = value
    return Given(tuple(words.items()), arguments.vars)
