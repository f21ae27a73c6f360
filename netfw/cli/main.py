"""``netfw``: finds the verb, runs it, and turns errors into lines and exit codes."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from netfw import __version__
from netfw.errors import ExitCode, NetfwError, UsageError

VERBS = {
    "verify": "show on this kernel that packets go as documented and as predicted",
    "check": "find rules that can never match, that change nothing, or that mislead",
    "prove": "prove that a policy's rules do what it says, for every packet there can be",
    "diff": "say which packets are newly accepted or denied between two policies or rulesets",
    "explain": "say how a packet goes through rules or a policy, and which rule decides",
    "trace": "follow real packets through this host, rule by rule and mark by mark",
    "compile": "print the iptables rules of a policy",
    "plan": "say what applying a policy would change on this host",
    "rehearse": "try a policy in a twin of this host, with rules of others and your connection",
    "apply": "make this host hold a policy's rules; undo it unless it is confirmed",
    "confirm": "keep the change that waits",
    "rollback": "undo the change that waits, or go back to an earlier one",
    "history": "list what was applied to this host",
    "status": "say what is applied to this host, and what was changed by hand",
    "watch": "tell when somebody changes what was applied, and repair it if wished",
    "boot": "when the machine starts: load what was confirmed, or close the host",
    "remove": "take away what is netfw's on this host, and nothing else",
    "init": "write a starting policy for this host",
    "lock": "resolve the host names of a policy into its lock file, and say what changed",
    "facts": "print what a policy may ask of this host, for --facts on another one",
    "schema": "print a JSON Schema: of the policy language, or of what a verb prints",
    "doctor": "say what is wrong with the marks on this host, with the rule to blame and a fix",
    "explain-finding": "explain a finding of doctor",
    "path": "print the documented order of tables and hooks, and its refinements",
    "marks": "say who writes and reads each bit of the marks here, or what a mark means",
}
"""Each verb has a module of its name in this package (with _ for -), which is imported when the
verb is used."""
INTERRUPTED = 130


class Verb(Protocol):
    """What a verb's module has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Describe the verb's own arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; return the exit code."""


class _Parser(argparse.ArgumentParser):
    """argparse, with errors in our own form."""

    def error(self, message: str) -> NoReturn:
        raise UsageError.at(self.prog, message, f"see '{self.prog} --help'")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        try:
            return _dispatch(words)
        finally:
            # also behind --help, which ends the process by itself
            sys.stdout.flush()
    except NetfwError as error:
        if debug:
            raise
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("netfw: interrupted; nothing is left behind", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has gone: so may we, quietly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
    except Exception as error:
        if debug:
            raise
        print(
            f"netfw: internal error: {type(error).__name__}: {error}\n"
            "  hint: this is a bug of netfw; run it again with --debug and report what it prints",
            file=sys.stderr,
        )
        return int(ExitCode.BUG)


def _dispatch(words: list[str]) -> int:
    verb = _verb_in(words)
    if verb is not None and verb not in VERBS:
        from difflib import get_close_matches

        near = get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "see 'netfw --help'"
        raise UsageError.at("netfw", f"there is no verb '{verb}'", hint)
    parser, module = build_parser(verb)
    arguments = parser.parse_args(words)
    if module is None:
        parser.print_help()
        return int(ExitCode.USAGE)
    if arguments.debug:
        import logging

        logging.basicConfig(level=logging.DEBUG, format="%(message)s", stream=sys.stderr)
    return module.run(arguments)


def _verb_in(words: Sequence[str]) -> str | None:
    """The first word that is neither an option nor the value of one."""
    before = ""
    for word in words:
        if not word.startswith("-") and before not in _OPTIONS_WITH_VALUE:
            return word
        before = word
    return None


_OPTIONS_WITH_VALUE = frozenset({"--color"})


def _add_common(parser: argparse.ArgumentParser, *, default: bool) -> None:
    """Options that may stand before the verb or behind it; only the first sets defaults."""
    parser.add_argument(
        "--debug",
        action="store_true",
        default=False if default else argparse.SUPPRESS,
        help="show tracebacks and every command that is run",
    )
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto" if default else argparse.SUPPRESS,
        help="default: auto",
    )


def build_parser(chosen: str | None) -> tuple[argparse.ArgumentParser, Verb | None]:
    """The parser of the command line, with the arguments of the ``chosen`` verb, and that verb's
    module; those of the others are left out, as they take time to import."""
    parser = _Parser(
        prog="netfw",
        description="Generates netfilter rulesets from policies, and verifies them on the kernel.",
        epilog="exit codes: 0 well; 1 differences; 2 usage; 3 policy; 4 host or inconclusive; "
        "5 rolled back; 70 a bug of netfw; 130 interrupted",
    )
    parser.add_argument("--version", action="version", version=f"netfw {__version__}")
    _add_common(parser, default=True)
    common = _Parser(add_help=False)
    _add_common(common, default=False)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=_Parser)
    module: Verb | None = None
    for verb, what in VERBS.items():
        verb_parser = verbs.add_parser(verb, help=what, description=what, parents=[common])
        if verb == chosen:
            module = importlib.import_module(f"netfw.cli.{verb.replace('-', '_')}")
            module.add_arguments(verb_parser)
    return parser, module


if __name__ == "__main__":
    sys.exit(main())
