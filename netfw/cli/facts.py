"""``netfw facts``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from netfw.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "--netns", metavar="NAME", help="look at this network namespace instead of one's own"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what a policy may ask of this host, for ``--facts``."""
    from netfw.host.accounts import numbers
    from netfw.host.host_interfaces import read_host_names
    from netfw.host.live_namespace import LiveNamespace
    from netfw.policy.host_names import format_host_names
    from netfw.policy.owner import OwnerKind

    with LiveNamespace(arguments.netns or "") as namespace:
        found = read_host_names(namespace)
    users, groups = numbers(OwnerKind.USER), numbers(OwnerKind.GROUP)
    sys.stdout.write(format_host_names(replace(found, users=users, groups=groups)))
    return int(ExitCode.OK)
