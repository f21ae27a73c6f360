"""``netfw path``."""

from __future__ import annotations

import argparse
import shutil
import sys

from netfw.errors import ExitCode

_PATHS = ("forwarded", "in", "out", "loopback")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "path", nargs="?", choices=_PATHS, help="one path alone; default: all of them"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the documented order and its refinements."""
    from netfw.report.glyphs import glyphs_for
    from netfw.report.order import order_json, order_lines
    from netfw.traverse.situation import Path

    names = dict(zip(_PATHS, Path, strict=True))
    paths = tuple(Path) if arguments.path is None else (names[arguments.path],)
    if arguments.json:
        sys.stdout.write(order_json(paths))
        return int(ExitCode.OK)
    width = min(shutil.get_terminal_size().columns, 100)
    for line in order_lines(paths, glyphs_for(sys.stdout), width):
        print(line)
    return int(ExitCode.OK)
