"""``netfw explain --rules FILE 'PACKET'``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from netfw.errors import ExitCode, FactError, UsageError

if TYPE_CHECKING:
    from netfw.ir.names import Family
    from netfw.ir.ruleset import Ruleset


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
    parser.add_argument(
        "packet",
        metavar="PACKET",
        help="such as 'tcp 198.51.100.7 -> 203.0.113.1:443 in eth0'; with in and out it is "
        "forwarded, with out alone it comes from this host",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print how the packet goes; 0 where that can be said, 4 where it depends on more."""
    from netfw.report.explanation import explain, explanation_json
    from netfw.report.glyphs import glyphs_for
    from netfw.traverse.connection import AssumedConntrack
    from netfw.traverse.notation import parse_packet
    from netfw.traverse.traversal import End
    from netfw.traverse.walk import Walker

    try:
        described = parse_packet(arguments.packet)
    except ValueError as error:
        raise UsageError.at("PACKET", str(error)) from None
    packet = described.packet
    ruleset = _ruleset(arguments, packet.family)
    walker = Walker(ruleset, described.facts, AssumedConntrack(described.state))
    traversal = walker.walk(packet)
    if arguments.json:
        sys.stdout.write(explanation_json(ruleset, packet, traversal))
    else:
        for line in explain(ruleset, packet, traversal, glyphs_for(sys.stdout)):
            print(line)
    known = traversal.end is not End.UNDECIDED
    return int(ExitCode.OK if known else ExitCode.HOST)


def _ruleset(arguments: argparse.Namespace, family: Family) -> Ruleset:
    if arguments.policy is not None:
        from netfw.cli.policy_file import read_policy
        from netfw.compiler.pipeline import compile_policy

        return compile_policy(read_policy(arguments.policy)).rulesets[family]
    from netfw.facts.iptables_save import parse_ruleset

    name = arguments.rules
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FactError.at(name, "there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FactError.at(name, f"cannot be read: {error}") from None
    return parse_ruleset(text, family, name)
