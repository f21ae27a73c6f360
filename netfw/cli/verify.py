"""``netfw verify [POLICY]``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from netfw.cli.families import add_family, chosen_families
from netfw.cli.policy_file import POLICY_HELP, add_variables, read_policy
from netfw.errors import CapabilityError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "policy",
        nargs="?",
        metavar="POLICY",
        help=f"{POLICY_HELP}; without one the documented order alone is checked",
    )
    parser.add_argument(
        "--backend",
        choices=("nft", "legacy", "all"),
        default="all",
        help="which iptables; default: all",
    )
    add_variables(parser)
    add_family(parser)
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write the result as JSON, to FILE or instead of the report",
    )
    parser.add_argument("--junit", metavar="FILE", help="write a JUnit file")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print every step of every packet"
    )


def run(arguments: argparse.Namespace) -> int:
    """Verify and report; the exit code says what was found."""

    policy = None if arguments.policy is None else read_policy(arguments.policy, arguments)
    if os.geteuid() != 0:
        raise CapabilityError.at(
            "netfw verify", "this needs root: it makes network namespaces", "run it with sudo"
        )
    from netfw.ir.names import Backend
    from netfw.report.progress import LineProgress
    from netfw.report.terminal import TerminalReport
    from netfw.verify.verify import verify

    backends = tuple(Backend) if arguments.backend == "all" else (Backend(arguments.backend),)
    verification = verify(
        policy,
        backends=backends,
        families=chosen_families(arguments),
        progress=LineProgress(sys.stderr),
    )
    if arguments.junit is not None:
        from netfw.report.junit import render_junit

        _write(arguments.junit, render_junit(verification), "--junit")
    if arguments.json is not None:
        from netfw.report.json_report import render_json

        text = render_json(verification)
        if arguments.json == "-":
            sys.stdout.write(text)
            return int(verification.exit_code)
        _write(arguments.json, text, "--json")
    colour = {"always": True, "never": False, "auto": None}[arguments.color]
    TerminalReport(sys.stdout, colour=colour).show(verification, verbose=arguments.verbose)
    return int(verification.exit_code)


def _write(name: str, text: str, option: str) -> None:
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError.at(f"{option} {name}", f"cannot be written: {error.strerror}") from None
