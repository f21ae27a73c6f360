"""All verbs and options, asked of argparse once more and not by the way that packaging goes."""

from __future__ import annotations

import argparse
import importlib
from functools import cache

from netfw.cli.main import VERBS


@cache
def actions_of(verb: str) -> tuple[argparse.Action, ...]:
    """The arguments of a verb, without those that all have."""
    parser = argparse.ArgumentParser(add_help=False)
    importlib.import_module(f"netfw.cli.{verb.replace('-', '_')}").add_arguments(parser)
    return tuple(parser._actions)


def options_of(verb: str) -> list[str]:
    """Every spelling of every option of a verb."""
    return [name for action in actions_of(verb) for name in action.option_strings]


VERB_NAMES = tuple(VERBS)
