"""``netfw doctor [CODE…]``."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from netfw.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from netfw.doctor.host_state import HostState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "codes",
        nargs="*",
        metavar="CODE",
        help="look for these kinds of findings alone; default: for all",
    )
    parser.add_argument(
        "--netns",
        metavar="NAME|PID|PATH",
        default="",
        help="another network namespace of this host; default: the one we are in",
    )
    parser.add_argument(
        "--fail-on",
        choices=("warning", "error"),
        default="warning",
        help="the least severity for which the exit code is 1; default: %(default)s",
    )
    parser.add_argument(
        "--free",
        action="store_true",
        help="propose a mark field that nothing on the host touches, and look for nothing else",
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help="send packets for each finding through a twin of the host, and show what they meet",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Read the host, and print what is wrong; 1 where something is."""
    # see netfw/cli/prove.py: many objects, hardly a cycle
    gc.disable()
    from netfw.doctor.diagnosis import diagnose
    from netfw.doctor.finding import Severity
    from netfw.host.live_namespace import LiveNamespace
    from netfw.host.observe import read_state
    from netfw.report.doctor import diagnosis_data, diagnosis_lines
    from netfw.report.glyphs import glyphs_for

    check_codes(arguments.codes)
    if arguments.free and arguments.codes:
        raise UsageError.at("--free", "takes no CODE", "'netfw doctor CODE' looks for findings")
    if arguments.free and arguments.probe:
        raise UsageError.at("--free", "looks for no finding that --probe could show", "leave one")
    with LiveNamespace(arguments.netns) as namespace:
        state = read_state(namespace)
        if arguments.free:
            return _propose(state, as_json=arguments.json)
        found = diagnose(state, arguments.codes)
        shown = None
        if arguments.probe:
            from netfw.verify.demonstrate import demonstrate

            shown = demonstrate(namespace, state, found.findings)
    if arguments.json:
        sys.stdout.write(json.dumps(diagnosis_data(found, shown), indent=1) + "\n")
    else:
        for line in diagnosis_lines(found, glyphs_for(sys.stdout), shown):
            print(line)
    fails = found.fails(Severity(arguments.fail_on))
    return int(ExitCode.DIFFERENCES if fails else ExitCode.OK)


def _propose(state: HostState, *, as_json: bool) -> int:
    """Print a free mark field; 1 where there is none."""
    from netfw.doctor.free_field import find_free
    from netfw.report.free_field import free_data, free_lines

    free = find_free(state)
    if as_json:
        sys.stdout.write(json.dumps(free_data(free), indent=1) + "\n")
    else:
        for line in free_lines(free):
            print(line)
    return int(ExitCode.OK if free.mask else ExitCode.DIFFERENCES)


def check_codes(codes: Iterable[str]) -> None:
    """Refuse a code that there is not; raises UsageError with the nearest one."""
    from difflib import get_close_matches

    from netfw.doctor.findings import FINDINGS

    for code in codes:
        if code not in FINDINGS:
            near = get_close_matches(code, FINDINGS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "'netfw explain-finding' lists them"
            raise UsageError.at("CODE", f"there is no finding '{code}'", hint)
