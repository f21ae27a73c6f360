"""``netfw rehearse POLICY``."""

from __future__ import annotations

import argparse
import gc
import os
import sys

from netfw.cli.policy_file import POLICY_HELP, add_variables, read_policy
from netfw.errors import CapabilityError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("policy", metavar="POLICY", help=POLICY_HELP)
    add_variables(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show every check, not only what went wrong"
    )


def run(arguments: argparse.Namespace) -> int:
    """Try a policy in a twin of this host; the exit code says what was found."""
    policy = read_policy(arguments.policy, arguments)
    if os.geteuid() != 0:
        raise CapabilityError.at(
            "netfw rehearse", "this needs root: it makes network namespaces", "run it with sudo"
        )
    from netfw.apply.application import entries_that_count
    from netfw.apply.intention import intend, refuse_if_others_need_it
    from netfw.apply.wish_of import wish_of
    from netfw.cli.rehearsing import rehearse_intention
    from netfw.compiler.pipeline import compile_policy
    from netfw.host.state_folder import StateFolder
    from netfw.report.glyphs import glyphs_for
    from netfw.report.rehearsal import rehearsal_json, rehearsal_lines

    # see netfw/cli/prove.py: many objects, hardly a cycle
    gc.disable()
    compiled = compile_policy(policy)
    history = entries_that_count(StateFolder())
    intention = intend(wish_of(compiled, arguments.policy, history), history)
    refuse_if_others_need_it(intention)
    rehearsal = rehearse_intention((policy, compiled), intention)
    if arguments.json:
        sys.stdout.write(rehearsal_json(rehearsal))
    else:
        lines = rehearsal_lines(rehearsal, glyphs_for(sys.stdout), verbose=arguments.verbose)
        for line in lines:
            print(line)
    return int(rehearsal.exit_code)
