"""``netfw explain --rules FILE|--policy FILE|--host 'PACKET'``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from netfw.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from netfw.ir.names import Family
    from netfw.ir.ruleset import Ruleset
    from netfw.traverse.account import Account, Scene
    from netfw.traverse.connection import Conntrack
    from netfw.traverse.sketch import Sketch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--rules",
        metavar="FILE",
        help="rules as iptables-save prints them, or - for standard input",
    )
    source.add_argument(
        "--policy", metavar="FILE", help="a policy, whose compiled rules are asked"
    )
    source.add_argument(
        "--host",
        action="store_true",
        help="the rules, addresses and routes of this host, as they are now; changes nothing",
    )
    parser.add_argument(
        "--netns",
        metavar="NAME|PID|PATH",
        help="with --host: another network namespace of this host",
    )
    parser.add_argument(
        "packet",
        metavar="PACKET",
        nargs="?",
        help="such as 'tcp 198.51.100.7 -> 203.0.113.1:443 in eth0'; with in and out it is "
        "forwarded, with out alone it comes from this host",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print how the packet goes; 0 where that can be said, 4 where it depends on more."""
    if arguments.netns is not None and not arguments.host:
        raise UsageError.at("--netns", "it names a namespace for --host", "add --host")
    if arguments.packet is None:
        raise UsageError.at("netfw explain", "no packet is given", "see 'netfw explain --help'")
    return _explain_one(arguments, _written(arguments.packet))


def _written(line: str) -> Sketch:
    from netfw.traverse.notation import NotationError, parse_packet

    try:
        return parse_packet(line)
    except NotationError as error:
        raise UsageError.at(f"PACKET:{error.column}", str(error), error.hint) from None


def _explain_one(arguments: argparse.Namespace, sketch: Sketch) -> int:
    from netfw.report.explanation import account_json, account_lines
    from netfw.report.glyphs import glyphs_for
    from netfw.traverse.connection import AssumedConntrack
    from netfw.traverse.traversal import End

    state = sketch.state
    assert state is not None
    scene = _scene(arguments, sketch.packet.family, lambda: AssumedConntrack(state))
    account = _account(scene, sketch)
    if arguments.json:
        sys.stdout.write(account_json(account))
    else:
        for line in account_lines(account, glyphs_for(sys.stdout)):
            print(line)
    known = account.traversal.end is not End.UNDECIDED
    return int(ExitCode.OK if known else ExitCode.HOST)


def _account(scene: Scene, sketch: Sketch) -> Account:
    from netfw.traverse.sketch import CompletionError

    try:
        return scene.explain(sketch)
    except CompletionError as error:
        raise UsageError.at("PACKET", str(error), error.hint) from None


def _scene(
    arguments: argparse.Namespace, family: Family, make_conntrack: Callable[[], Conntrack]
) -> Scene:
    """What packets of a family are explained against."""
    if arguments.host:
        from netfw.host.live_namespace import LiveNamespace
        from netfw.host.live_scene import LiveScene

        with LiveNamespace(arguments.netns or "") as namespace:
            return LiveScene.read(namespace, family, make_conntrack)
    from netfw.traverse.account import RulesAlone

    return RulesAlone(_ruleset(arguments, family), make_conntrack)


def _ruleset(arguments: argparse.Namespace, family: Family) -> Ruleset:
    if arguments.policy is not None:
        from netfw.cli.policy_file import read_policy
        from netfw.compiler.pipeline import compile_policy

        return compile_policy(read_policy(arguments.policy)).rulesets[family]
    from netfw.cli.rules_file import read_rules

    return read_rules(arguments.rules, family)
