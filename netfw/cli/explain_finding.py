"""``netfw explain-finding [CODE]``."""

from __future__ import annotations

import argparse
import json
import sys

from netfw.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("code", nargs="?", metavar="CODE", help="without one, all are listed")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation of a finding, or what findings there are."""
    from netfw.cli.doctor import check_codes
    from netfw.doctor.findings import FINDINGS

    chosen = [arguments.code] if arguments.code is not None else list(FINDINGS)
    check_codes(chosen)
    kinds = [FINDINGS[code] for code in chosen]
    if arguments.json:
        data = {
            "schema": 1,
            "findings": [
                {"code": kind.CODE, "title": kind.TITLE, "explanation": kind.EXPLANATION}
                for kind in kinds
            ],
        }
        sys.stdout.write(json.dumps(data, indent=1) + "\n")
    elif arguments.code is not None:
        print(f"{kinds[0].CODE}: {kinds[0].TITLE}\n\n{kinds[0].EXPLANATION.rstrip()}")
    else:
        width = max(map(len, chosen), default=0)
        for kind in kinds:
            print(f"{kind.CODE:<{width}}  {kind.TITLE}")
    return int(ExitCode.OK)
