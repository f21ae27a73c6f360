"""``netfw plan POLICY``."""

from __future__ import annotations

import argparse
import gc
import sys

from netfw.cli.policy_file import POLICY_HELP, add_variables, read_policy
from netfw.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("policy", metavar="POLICY", help=POLICY_HELP)
    add_variables(parser)
    parser.add_argument(
        "--no-packets",
        action="store_true",
        help="leave out which packets are newly accepted or denied, which takes the most time",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print what would change on this host; 0 where nothing would, 1 where something would."""
    from netfw.apply.application import entries_that_count
    from netfw.apply.intention import Glance, intend, refuse_if_others_need_it
    from netfw.apply.missing import refuse_missing_interfaces
    from netfw.apply.wish_of import wish_of
    from netfw.compiler.pipeline import compile_policy
    from netfw.host.state_folder import StateFolder
    from netfw.plan.own_rules import rulesets_of
    from netfw.prove.difference import compare_rulesets
    from netfw.report.glyphs import glyphs_for
    from netfw.report.plan import plan_json, plan_lines

    # see netfw/cli/prove.py: many objects, hardly a cycle
    gc.disable()
    policy = read_policy(arguments.policy, arguments)
    refuse_missing_interfaces(policy)
    glance = Glance()
    compiled = compile_policy(policy)
    history = entries_that_count(StateFolder())
    intention = intend(wish_of(compiled, arguments.policy, history), history, glance)
    refuse_if_others_need_it(intention)
    packets = None
    if not arguments.no_packets and intention.plan.steps:
        old, new = rulesets_of(intention.now), rulesets_of(intention.wish.own)
        packets = [one for family in old for one in compare_rulesets(old[family], new[family])]
    places = {origin.identity: str(origin.where) for origin in compiled.source_map}
    if arguments.json:
        sys.stdout.write(plan_json(intention.plan, places, packets))
    else:
        for line in plan_lines(intention.plan, places, packets, glyphs_for(sys.stdout)):
            print(line)
    return int(ExitCode.OK if intention.is_done else ExitCode.DIFFERENCES)
