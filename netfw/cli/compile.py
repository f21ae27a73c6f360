"""``netfw compile POLICY``."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netfw.cli.families import add_family, chosen_families
from netfw.cli.policy_file import POLICY_HELP, add_variables, read_policy
from netfw.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from netfw.ir.names import Family


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("policy", metavar="POLICY", help=POLICY_HELP)
    add_variables(parser)
    add_family(parser)
    parser.add_argument(
        "--only",
        choices=("rules", "sets"),
        help="print rules or sets alone, to be piped into the program that loads them",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="write netfw.ipset, netfw.v4.rules and netfw.v6.rules there instead of printing; "
        "sets are loaded first",
    )
    parser.add_argument("--json", action="store_true", help="rules, sets and source map as JSON")
    parser.add_argument(
        "--source-map",
        metavar="FILE",
        help="write which rule comes from which line of the policy, as JSON",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print input for ipset restore, iptables-restore and ip6tables-restore."""
    from netfw.compiler.pipeline import compile_policy
    from netfw.render.ipset import render_sets
    from netfw.render.restore import render_ruleset

    _check(arguments)
    # see netfw/cli/prove.py: many objects, hardly a cycle
    gc.disable()
    compiled = compile_policy(read_policy(arguments.policy, arguments))
    rulesets = [compiled.rulesets[family] for family in chosen_families(arguments)]
    texts = [
        _Text(ruleset.family, render_sets(ruleset.sets), render_ruleset(ruleset))
        for ruleset in rulesets
    ]
    if arguments.source_map is not None:
        data = json.dumps(compiled.source_map.to_json(), indent=1)
        _write(Path(arguments.source_map), f"{data}\n", f"--source-map {arguments.source_map}")
    if arguments.output is not None:
        _write_all(Path(arguments.output), texts)
    elif arguments.json:
        json.dump(
            {
                "schema": 1,
                "mark_field": f"{compiled.field.mask:#x}",
                "rules": {str(text.family.value): text.rules for text in texts},
                "sets": {str(text.family.value): text.sets for text in texts},
                "source_map": compiled.source_map.to_json(),
            },
            sys.stdout,
            indent=1,
        )
        sys.stdout.write("\n")
    else:
        _print(texts, arguments.only)
    return int(ExitCode.OK)


@dataclass(frozen=True, slots=True)
class _Text:
    """What is to be loaded for a family; ``sets`` is empty where rules need none."""

    family: Family
    sets: str
    rules: str


def _check(arguments: argparse.Namespace) -> None:
    for option in ("only", "json"):
        if arguments.output is not None and getattr(arguments, option):
            raise UsageError.at(f"--{option}", "nothing is printed with --output", "leave one out")
    if arguments.only and arguments.json:
        raise UsageError.at("--only", "JSON has both", "leave one out")


def _print(texts: list[_Text], only: str | None) -> None:
    """Sections with headings, where there is more than one."""
    sections = []
    for text in texts:
        if text.sets and only != "rules":
            sections.append((f"# {text.family}: sets, for ipset restore\n", text.sets))
        if only != "sets":
            what = "rules, for" if text.sets and only is None else "for"
            heading = f"# {text.family}: {what} {_PROGRAMS[text.family.value]}\n"
            sections.append((heading, text.rules))
    for heading, section in sections:
        if len(sections) > 1:
            sys.stdout.write(heading)
        sys.stdout.write(section)


def _write_all(directory: Path, texts: list[_Text]) -> None:
    """One file for each program that loads it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError.at(f"--output {directory}", f"cannot be made: {error.strerror}") from None
    place = f"--output {directory}"
    _write(directory / "netfw.ipset", "".join(text.sets for text in texts), place)
    for text in texts:
        _write(directory / f"netfw.v{text.family.value}.rules", text.rules, place)


def _write(path: Path, text: str, place: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError.at(place, f"cannot be written: {error.strerror}") from None


_PROGRAMS = {4: "iptables-restore", 6: "ip6tables-restore"}
