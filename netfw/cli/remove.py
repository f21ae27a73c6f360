"""``netfw remove``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netfw.apply.intention import Wish
    from netfw.plan.entry import Entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    from netfw.cli.apply import add_confirmation

    add_confirmation(parser)


def run(arguments: argparse.Namespace) -> int:
    """Take away what is netfw's on this host, and nothing else; 0 where it is gone."""
    from netfw.apply.intention import Wish
    from netfw.cli.apply import write_unjudged
    from netfw.plan.own import Own

    def wish(_: list[Entry]) -> Wish:
        return Wish(Own(), why=arguments.message or "remove")

    return write_unjudged(wish, arguments, "netfw remove")
