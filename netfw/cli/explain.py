"""``netfw explain --rules FILE|--policy FILE|--host 'PACKET'``."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netfw.cli.policy_file import add_variables, read_policy
from netfw.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from netfw.cli.explain_capture import Said
    from netfw.facts.saved_rules import SavedRules
    from netfw.ir.names import Family
    from netfw.ir.ruleset import Ruleset
    from netfw.traverse.account import Account, Scene
    from netfw.traverse.connection import Conntrack
    from netfw.traverse.set_lookup import SetLookup
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
    add_variables(parser)
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
        "--sets",
        metavar="FILE",
        help="with --rules: the sets that they name, as ipset save prints them; "
        "without it, what depends on a set is open",
    )
    parser.add_argument(
        "packet",
        metavar="PACKET",
        nargs="?",
        help="such as 'tcp 198.51.100.7 -> 203.0.113.1:443 in eth0'; with in and out it is "
        "forwarded, with out alone it comes from this host",
    )
    parser.add_argument(
        "--scapy",
        metavar="EXPRESSION",
        help="instead of PACKET: layers as scapy has them, "
        "such as 'IP(dst=\"203.0.113.1\")/TCP(dport=443)'",
    )
    parser.add_argument(
        "--pcap", metavar="FILE", help="instead of PACKET: each packet of a capture, in order"
    )
    parser.add_argument(
        "--packet",
        dest="chosen",
        type=int,
        metavar="N",
        help="with --pcap: the whole way of frame N",
    )
    about = parser.add_argument_group("with --scapy and --pcap, whose packets do not say it")
    about.add_argument("--in", dest="came_by", metavar="IF", help="the packet comes in by IF")
    about.add_argument("--out", dest="leaves_by", metavar="IF", help="the packet leaves by IF")
    about.add_argument("--mark", metavar="WORD", help="its mark when it comes; default: 0")
    about.add_argument(
        "--state",
        metavar="STATE",
        help="what connection tracking says of it; default: new, "
        "and with --pcap what follows from the packets before it",
    )
    parser.add_argument(
        "--family",
        choices=("4", "6"),
        help="with --rules and --pcap: IP family of the rules; default: what the file looks like",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print how the packet goes; 0 where that can be said, 4 where it depends on more."""
    # see netfw/cli/prove.py: many objects, hardly a cycle
    gc.disable()
    if arguments.netns is not None and not arguments.host:
        raise UsageError.at("--netns", "it names a namespace for --host", "add --host")
    if arguments.sets is not None and arguments.rules is None:
        raise UsageError.at("--sets", "it is for --rules", "add --rules FILE")
    given = [arguments.packet, arguments.scapy, arguments.pcap]
    if sum(one is not None for one in given) != 1:
        raise UsageError.at("netfw explain", "give one of PACKET, --scapy and --pcap")
    if arguments.family is not None and (arguments.rules is None or arguments.pcap is None):
        raise UsageError.at("--family", "it is for --rules with --pcap", "leave it out")
    if arguments.chosen is not None and arguments.pcap is None:
        raise UsageError.at("--packet", "it chooses a frame of --pcap", "add --pcap FILE")
    if arguments.packet is not None:
        _refuse_options(arguments)
        return _explain_one(arguments, _written(arguments.packet))
    if arguments.scapy is not None:
        from netfw.host.scapy_expression import read_expression

        return _explain_one(arguments, _with_options(read_expression(arguments.scapy), arguments))
    return _explain_capture(arguments)


def _refuse_options(arguments: argparse.Namespace) -> None:
    for option, value in _options(arguments).items():
        if value is not None:
            raise UsageError.at(
                f"--{option}",
                "it is for --scapy and --pcap",
                f"write '{option} {value}' in the packet",
            )


def _options(arguments: argparse.Namespace) -> dict[str, str | None]:
    return {
        "in": arguments.came_by,
        "out": arguments.leaves_by,
        "mark": arguments.mark,
        "state": arguments.state,
    }


def _with_options(sketch: Sketch, arguments: argparse.Namespace) -> Sketch:
    """A packet that scapy made, with what it cannot say."""
    said = _said(arguments)
    state = sketch.state if said.state is None else said.state
    unsaid = {"state": said.state, "mark": arguments.mark}
    completed = tuple(
        piece for piece in sketch.completed if unsaid.get(piece.partition(" ")[0]) is None
    )
    packet = replace(sketch.packet, in_interface=said.came_by, mark=said.mark)
    return replace(
        sketch, packet=packet, leaves_by=said.leaves_by, state=state, completed=completed
    )


def _said(arguments: argparse.Namespace) -> Said:
    """The options about packets; raises UsageError."""
    from netfw.cli.explain_capture import Said
    from netfw.traverse.notation import read_option

    found: dict[str, Any] = {}
    for option, value in _options(arguments).items():
        try:
            found[option] = None if value is None else read_option(option, value)
        except ValueError as error:
            raise UsageError.at(f"--{option}", str(error)) from None
    return Said(found["in"] or "", found["out"] or "", found["mark"] or 0, found["state"])


def _explain_capture(arguments: argparse.Namespace) -> int:
    from netfw.cli.explain_capture import explain_capture
    from netfw.ir.names import Family
    from netfw.traverse.account import RulesAlone

    saved: Ruleset | None = None
    sets: dict[str, SetLookup] = {}
    if arguments.rules is not None:
        from netfw.cli.rules_file import read_rules_of_some_family

        family = None if arguments.family is None else Family(int(arguments.family))
        saved = read_rules_of_some_family(arguments.rules, family)
        sets = _sets(arguments, saved)

    def scene_for(family: Family, make_conntrack: Callable[[], Conntrack]) -> Scene | None:
        if saved is None:
            return _scene(arguments, family, make_conntrack)
        # a file holds rules of one family alone
        return RulesAlone(saved, make_conntrack, sets) if family is saved.family else None

    return explain_capture(
        arguments.pcap,
        _said(arguments),
        scene_for,
        chosen=arguments.chosen,
        as_json=arguments.json,
    )


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
    from netfw.traverse.account import explain_both_ways
    from netfw.traverse.sketch import CompletionError

    try:
        return explain_both_ways(scene, sketch)
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

    if arguments.policy is not None:
        from netfw.compiler.pipeline import compile_policy
        from netfw.traverse.set_lookup import known_sets

        compiled = compile_policy(read_policy(arguments.policy, arguments))
        ruleset = compiled.rulesets[family]
        sets = known_sets(ruleset.sets)
        return RulesAlone(ruleset, make_conntrack, sets, compiled.source_map.origin_of)
    from netfw.cli.rules_file import read_rules_by_line

    rules = read_rules_by_line(arguments.rules, family)
    return RulesAlone(rules, make_conntrack, _sets(arguments, rules))


def _sets(arguments: argparse.Namespace, rules: Ruleset | SavedRules) -> dict[str, SetLookup]:
    if arguments.sets is None:
        return {}
    from netfw.cli.rules_file import read_sets
    from netfw.traverse.set_lookup import known_sets

    return known_sets(read_sets(arguments.sets, rules))
