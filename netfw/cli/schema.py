"""``netfw schema``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from netfw.errors import ExitCode, UsageError

_POLICY = "policy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    from netfw.report.data_schema import DATA_SCHEMAS

    parser.add_argument(
        "what",
        metavar="WHAT",
        nargs="?",
        default=_POLICY,
        choices=(_POLICY, *DATA_SCHEMAS),
        help="the policy language (policy, the default), or what a verb prints with --json: "
        + ", ".join(DATA_SCHEMAS),
    )
    parser.add_argument("--output", metavar="FILE", help="write it there; default: print it")


def run(arguments: argparse.Namespace) -> int:
    """Print a JSON Schema."""
    text = _text(arguments.what)
    if arguments.output is None:
        sys.stdout.write(text)
        return int(ExitCode.OK)
    try:
        Path(arguments.output).write_text(text, encoding="utf-8")
    except OSError as error:
        place = f"--output {arguments.output}"
        raise UsageError.at(place, f"cannot be written: {error.strerror}") from None
    return int(ExitCode.OK)


def _text(what: str) -> str:
    if what == _POLICY:
        from netfw.policy.schema.document import schema_text

        return schema_text()
    from netfw.report.data_schema import data_schema

    return data_schema(what)
