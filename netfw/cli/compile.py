"""``netfw compile POLICY``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from netfw.cli.families import add_family, chosen_families
from netfw.cli.policy_file import POLICY_HELP, add_variables, read_policy
from netfw.errors import ExitCode, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("policy", metavar="POLICY", help=POLICY_HELP)
    add_variables(parser)
    add_family(parser)
    parser.add_argument("--json", action="store_true", help="rules and source map as JSON")
    parser.add_argument(
        "--source-map",
        metavar="FILE",
        help="write which rule comes from which line of the policy, as JSON",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print input for iptables-restore and ip6tables-restore."""
    from netfw.compiler.pipeline import compile_policy
    from netfw.render.restore import render_ruleset

    compiled = compile_policy(read_policy(arguments.policy, arguments))
    texts = {
        family: render_ruleset(compiled.rulesets[family]) for family in chosen_families(arguments)
    }
    if arguments.source_map is not None:
        data = json.dumps(compiled.source_map.to_json(), indent=1)
        try:
            Path(arguments.source_map).write_text(f"{data}\n", encoding="utf-8")
        except OSError as error:
            raise UsageError.at(
                f"--source-map {arguments.source_map}", f"cannot be written: {error.strerror}"
            ) from None
    if arguments.json:
        json.dump(
            {
                "schema": 1,
                "mark_field": f"{compiled.field.mask:#x}",
                "rules": {str(family.value): text for family, text in texts.items()},
                "source_map": compiled.source_map.to_json(),
            },
            sys.stdout,
            indent=1,
        )
        sys.stdout.write("\n")
        return int(ExitCode.OK)
    for family, text in texts.items():
        if len(texts) > 1:
            sys.stdout.write(f"# {family}: for {_PROGRAMS[family.value]}\n")
        sys.stdout.write(text)
    return int(ExitCode.OK)


_PROGRAMS = {4: "iptables-restore", 6: "ip6tables-restore"}
