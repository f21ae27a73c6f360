"""``netfw schema``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from netfw.errors import ExitCode, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--output", metavar="FILE", help="write it there; default: print it")


def run(arguments: argparse.Namespace) -> int:
    """Print the policy language as a JSON Schema."""
    from netfw.policy.schema.document import schema_text

    if arguments.output is None:
        sys.stdout.write(schema_text())
        return int(ExitCode.OK)
    try:
        Path(arguments.output).write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        place = f"--output {arguments.output}"
        raise UsageError.at(place, f"cannot be written: {error.strerror}") from None
    return int(ExitCode.OK)
