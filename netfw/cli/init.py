"""``netfw init``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from netfw.errors import ExitCode, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "--output", metavar="FILE", help="write it there, where no file is yet; default: print it"
    )
    parser.add_argument(
        "--netns", metavar="NAME", help="look at this network namespace instead of one's own"
    )


def run(arguments: argparse.Namespace) -> int:
    """Look at this host and write its first policy."""
    from netfw.host.host_sketch import sketch_host
    from netfw.host.live_namespace import LiveNamespace
    from netfw.report.starting_policy import starting_policy

    with LiveNamespace(arguments.netns or "") as namespace:
        text = starting_policy(sketch_host(namespace, os.environ))
    if arguments.output is None:
        sys.stdout.write(text)
        return int(ExitCode.OK)
    place = f"--output {arguments.output}"
    try:
        with Path(arguments.output).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError.at(
            place, "there is such a file already", "netfw overwrites none"
        ) from None
    except OSError as error:
        raise UsageError.at(place, f"cannot be written: {error.strerror}") from None
    return int(ExitCode.OK)
