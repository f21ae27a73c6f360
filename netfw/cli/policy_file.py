"""Reading a policy from a file or folder, for every verb that takes one."""

from __future__ import annotations

import argparse
import gc
import os
from typing import TYPE_CHECKING

from netfw.errors import PolicyError, UsageError

if TYPE_CHECKING:
    from netfw.policy.document import Given
    from netfw.policy.model import Policy

POLICY_HELP = "a policy file, a folder of them, or - for standard input"


def add_variables(parser: argparse.ArgumentParser) -> None:
    """Describe the options that give values to the variables of a policy."""
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


def read_policy(name: str, arguments: argparse.Namespace | None = None) -> Policy:
    """The policy in a file, in a folder, or on standard input for ``-``.

    ``arguments`` are those of a parser that went through ``add_variables``. Raises PolicyError
    for what is wrong with the policy, and UsageError for a variable that cannot be understood.
    """
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
        return load_files(names, PolicyFiles(), given, names[0] if name == "-" else name)
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
