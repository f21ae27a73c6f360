"""The command line as one argparse parser, with the arguments of all verbs, to be described."""

from __future__ import annotations

import argparse
import importlib

from netfw.cli.main import VERBS, build_parser


def whole_parser() -> argparse.ArgumentParser:
    """A parser that has every verb with its arguments, in the order of the help."""
    parser, _ = build_parser(None)
    for verb, verb_parser in verb_parsers(parser).items():
        importlib.import_module(f"netfw.cli.{verb.replace('-', '_')}").add_arguments(verb_parser)
    return parser


def verb_parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the verbs."""
    (verbs,) = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    assert list(verbs.choices) == list(VERBS)
    return dict(verbs.choices)
