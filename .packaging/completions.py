"""Completions of the command line for bash, zsh and fish, written by shtab from the parsers.

python .packaging/completions.py DIRECTORY: writes netfw.bash, _netfw and netfw.fish there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import shtab
from command_line import verb_parsers, whole_parser

from netfw.doctor.findings import FINDINGS

FILES = {"bash": "netfw.bash", "zsh": "_netfw", "fish": "netfw.fish"}

NAMESPACES = shtab.cmd("ls /run/netns 2>/dev/null")
BY_METAVAR = {
    "POLICY": shtab.FILE,
    "FILE": shtab.FILE,
    "OLD": shtab.FILE,
    "NEW": shtab.FILE,
    "DIR": shtab.DIRECTORY,
    "NAME": NAMESPACES,
    "NAME|PID|PATH": NAMESPACES,
    "IF": shtab.cmd("ls /sys/class/net"),
}
"""What a word stands for; anything else (a time, a packet, a reason) is the user's own."""


def parser_to_complete() -> argparse.ArgumentParser:
    """The parser of all verbs, in which every argument says what may stand there."""
    parser = whole_parser()
    for action in _arguments(parser):
        if action.metavar == "CODE":
            action.choices = tuple(FINDINGS)
        elif action.choices is None and isinstance(action.metavar, str):
            what = BY_METAVAR.get(action.metavar)
            if what is not None:
                action.complete = what  # type: ignore[attr-defined]
    return parser


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for verb_parser in verb_parsers(parser).values():
        yield from verb_parser._actions


def main(folder: Path) -> None:
    """Write the files."""
    folder.mkdir(parents=True, exist_ok=True)
    parser = parser_to_complete()
    for shell, name in FILES.items():
        (folder / name).write_text(shtab.complete(parser, shell).rstrip("\n") + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
