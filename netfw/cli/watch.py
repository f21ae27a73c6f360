"""``netfw watch``."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import NoReturn

from netfw.cli.seconds import seconds
from netfw.errors import ExitCode

_EVERY = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "--repair", action="store_true", help="bring back what was applied, whoever changed it"
    )
    parser.add_argument(
        "--every",
        metavar="TIME",
        type=seconds,
        default=_EVERY,
        help="how often to look at what the kernel tells nothing of: sets, legacy tables, sysctls "
        "(default: 60s); it is not done where the host has nothing of that of netfw's",
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each report")
    parser.add_argument(
        "--unit", action="store_true", help="print a unit of systemd that does this, and end"
    )


def run(arguments: argparse.Namespace) -> int:
    """Watch until SIGTERM (0) or an interruption; 4 where others change what is repaired."""
    if arguments.unit:
        from netfw.cli.unit import unit_text

        repair = " --repair" if arguments.repair else ""
        sys.stdout.write(unit_text("netfw-watch.service", repair=repair))
        return int(ExitCode.OK)
    from netfw.apply.watch import Report, Watch
    from netfw.host.clock import utc_now
    from netfw.report.watch import watch_json, watch_lines

    def tell(report: Report) -> None:
        lines = watch_lines(report, utc_now())
        if arguments.json:
            lines = iter([watch_json(report, utc_now())])
        for line in lines:
            print(line, flush=True)

    signal.signal(signal.SIGTERM, _end)
    Watch(tell, repair=arguments.repair, every=arguments.every).run()
    return int(ExitCode.OK)


def _end(*_: object) -> NoReturn:
    sys.exit(int(ExitCode.OK))
