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
    from collections.abc import Iterator

    from netfw.ir.names import Family

_PARTS = ("rules", "sets", "routing", "settings")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("policy", metavar="POLICY", help=POLICY_HELP)
    add_variables(parser)
    add_family(parser)
    parser.add_argument(
        "--only",
        choices=_PARTS,
        help="print one part alone, to be piped into the program that loads it",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="write netfw.ipset, netfw.v4.rules and netfw.v6.rules there instead of printing "
        "(sets are loaded first), and where traffic is steered netfw.v4.routing, "
        "netfw.v6.routing and netfw.sysctl",
    )
    parser.add_argument("--json", action="store_true", help="all parts and the source map as JSON")
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
    from netfw.render.routing import render_routing, render_settings

    _check(arguments)
    # see netfw/cli/prove.py: many objects, hardly a cycle
    gc.disable()
    compiled = compile_policy(read_policy(arguments.policy, arguments))
    rulesets = [compiled.rulesets[family] for family in chosen_families(arguments)]
    texts = [
        _Text(
            ruleset.family,
            render_sets(ruleset.sets),
            render_ruleset(ruleset),
            render_routing(compiled.routing[ruleset.family], ruleset.family),
        )
        for ruleset in rulesets
    ]
    settings = render_settings(compiled.settings)
    if arguments.source_map is not None:
        data = json.dumps(compiled.source_map.to_json(), indent=1)
        _write(Path(arguments.source_map), f"{data}\n", f"--source-map {arguments.source_map}")
    if arguments.output is not None:
        _write_all(Path(arguments.output), texts, settings)
    elif arguments.json:
        json.dump(
            {
                "schema": 1,
                "mark_field": f"{compiled.field.mask:#x}",
                "rules": {str(text.family.value): text.rules for text in texts},
                "sets": {str(text.family.value): text.sets for text in texts},
                "routing": {str(text.family.value): text.routing for text in texts},
                "settings": settings,
                "source_map": compiled.source_map.to_json(),
            },
            sys.stdout,
            indent=1,
        )
        sys.stdout.write("\n")
    else:
        _print(texts, settings, arguments.only)
    # or the interpreter looks for garbage among all of it when it ends
    gc.freeze()
    return int(ExitCode.OK)


@dataclass(frozen=True, slots=True)
class _Text:
    """What is to be loaded for a family; ``sets`` and ``routing`` are empty where there is no
    need of them."""

    family: Family
    sets: str
    rules: str
    routing: str


def _check(arguments: argparse.Namespace) -> None:
    for option in ("only", "json"):
        if arguments.output is not None and getattr(arguments, option):
            raise UsageError.at(f"--{option}", "nothing is printed with --output", "leave one out")
    if arguments.only and arguments.json:
        raise UsageError.at("--only", "JSON has all parts", "leave one out")


def _print(texts: list[_Text], settings: str, only: str | None) -> None:
    """Sections with headings, where there is more than one."""
    sections = [section for text in texts for section in _sections(text)]
    if settings:
        sections.append(("settings", "# settings, for sysctl -p\n", settings))
    sections = [section for section in sections if only in (None, section[0])]
    for _, heading, section in sections:
        if len(sections) > 1:
            sys.stdout.write(heading)
        sys.stdout.write(section)


def _sections(text: _Text) -> Iterator[tuple[str, str, str]]:
    """The parts of a family in the order in which they are loaded, with headings."""
    family = text.family
    if text.sets:
        yield "sets", f"# {family}: sets, for ipset restore\n", text.sets
    what = "rules, for" if text.sets or text.routing else "for"
    yield "rules", f"# {family}: {what} {_PROGRAMS[family.value]}\n", text.rules
    if text.routing:
        command = f"ip -{family.value} -batch -"
        yield "routing", f"# {family}: routing, for {command}\n", text.routing


def _write_all(directory: Path, texts: list[_Text], settings: str) -> None:
    """One file for each program that loads it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError.at(f"--output {directory}", f"cannot be made: {error.strerror}") from None
    place = f"--output {directory}"
    _write(directory / "netfw.ipset", "".join(text.sets for text in texts), place)
    for text in texts:
        stem = f"netfw.v{text.family.value}"
        _write(directory / f"{stem}.rules", text.rules, place)
        if text.routing:
            _write(directory / f"{stem}.routing", text.routing, place)
    if settings:
        _write(directory / "netfw.sysctl", settings, place)


def _write(path: Path, text: str, place: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError.at(place, f"cannot be written: {error.strerror}") from None


_PROGRAMS = {4: "iptables-restore", 6: "ip6tables-restore"}
