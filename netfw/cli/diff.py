"""``netfw diff OLD NEW``."""

from __future__ import annotations

import argparse
import gc
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netfw.cli.policy_file import add_variables, read_policy
from netfw.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from netfw.ir.names import Family
    from netfw.ir.ruleset import Ruleset
    from netfw.prove.difference import Changed

_SETS = ("old_sets", "new_sets")
_TABLE = re.compile(rb"^\*(filter|nat|mangle|raw|security)\s*$", re.MULTILINE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    for name in ("old", "new"):
        parser.add_argument(
            name,
            metavar=name.upper(),
            help="a policy (a file or a folder), or rules as iptables-save prints them",
        )
    add_variables(parser)
    parser.add_argument(
        "--family",
        choices=("4", "6"),
        help="IP family of rules; default: what the files look like",
    )
    for name in ("old", "new"):
        parser.add_argument(
            f"--{name}-sets",
            metavar="FILE",
            help=f"the sets that the rules in {name.upper()} name, as ipset save prints them; "
            "without it their members may be anything",
        )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print what changes; 0 where nothing does for any packet, 1 where something does."""
    from netfw.report.difference import difference_json, difference_lines
    from netfw.report.glyphs import glyphs_for

    # see netfw/cli/prove.py: many objects, hardly a cycle
    gc.disable()
    changes = _compare(arguments)
    if arguments.json:
        sys.stdout.write(difference_json(changes))
    else:
        for line in difference_lines(changes, glyphs_for(sys.stdout)):
            print(line)
    return int(ExitCode.DIFFERENCES if changes else ExitCode.OK)


def _compare(arguments: argparse.Namespace) -> list[Changed]:
    from netfw.prove.difference import compare_policies, compare_rulesets

    names = (arguments.old, arguments.new)
    are_rules = [_holds_rules(name) for name in names]
    for option, is_rules in zip(_SETS, are_rules, strict=True):
        if getattr(arguments, option) is not None and not is_rules:
            what = f"--{option.replace('_', '-')}"
            raise UsageError.at(what, "it is for rules; a policy has its own sets", "leave it out")
    if not any(are_rules):
        if arguments.family is not None:
            raise UsageError.at("--family", "policies are compared for both families")
        return compare_policies(*(read_policy(name, arguments) for name in names))
    old, new = _rulesets(arguments, names, are_rules)
    if old.family is not new.family:
        raise UsageError.at(
            "netfw diff",
            f"{names[0]} looks like {old.family}, {names[1]} like {new.family}",
            "say --family",
        )
    return compare_rulesets(old, new)


def _holds_rules(name: str) -> bool:
    """Whether a file is rules; whatever is wrong with it is said by who reads it."""
    try:
        return Path(name).is_file() and _TABLE.search(Path(name).read_bytes()) is not None
    except OSError:
        return False


def _rulesets(
    arguments: argparse.Namespace, names: tuple[str, str], are_rules: list[bool]
) -> list[Ruleset]:
    """Both as rules; a policy is compiled for the family of the other file."""
    from netfw.cli.rules_file import read_rules_of_some_family
    from netfw.ir.names import Family

    family = None if arguments.family is None else Family(int(arguments.family))
    found = [
        read_rules_of_some_family(name, family) if is_rules else None
        for name, is_rules in zip(names, are_rules, strict=True)
    ]
    first = next(ruleset for ruleset in found if ruleset is not None)
    return [
        _compiled(name, first.family, arguments)
        if ruleset is None
        else _with_sets(ruleset, getattr(arguments, option))
        for name, ruleset, option in zip(names, found, _SETS, strict=True)
    ]


def _with_sets(ruleset: Ruleset, name: str | None) -> Ruleset:
    from netfw.cli.rules_file import read_sets

    return ruleset if name is None else replace(ruleset, sets=read_sets(name, ruleset))


def _compiled(name: str, family: Family, arguments: argparse.Namespace) -> Ruleset:
    from netfw.compiler.pipeline import compile_policy

    return compile_policy(read_policy(name, arguments)).rulesets[family]
