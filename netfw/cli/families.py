"""The option ``--family``, which several verbs have."""

from __future__ import annotations

import argparse

from netfw.ir.names import Family


def add_family(parser: argparse.ArgumentParser) -> None:
    """Add ``--family 4|6|all``."""
    parser.add_argument(
        "--family", choices=("4", "6", "all"), default="all", help="IP family; default: all"
    )


def chosen_families(arguments: argparse.Namespace) -> tuple[Family, ...]:
    """The families that were asked for."""
    if arguments.family == "all":
        return tuple(Family)
    return (Family(int(arguments.family)),)
