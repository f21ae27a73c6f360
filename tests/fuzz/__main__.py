"""Runs random rules and packets through model and kernel until the time is over."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time

from netfw.errors import ExitCode
from netfw.ir.names import Backend, Family
from tests.fuzz.arena import Arena
from tests.fuzz.search import Tally, search

RULESETS_OF_A_SEED = 100


def main() -> int:
    """Print how much agreed; with a difference, print it and return 1."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, help="run this seed alone, as NETFW_FUZZ_SEED does")
    parser.add_argument("--rulesets", type=int, default=RULESETS_OF_A_SEED, help="of each seed")
    options = parser.parse_args()
    if options.seed is None and "NETFW_FUZZ_SEED" in os.environ:
        options.seed = int(os.environ["NETFW_FUZZ_SEED"])
    until = time.monotonic() + 60 * options.minutes
    tally = Tally()
    arenas = [Arena(backend) for backend in Backend]
    try:
        while time.monotonic() < until and not tally.failure:
            number = random.randrange(1 << 32) if options.seed is None else options.seed
            for family in Family:
                if not tally.failure:
                    search(arenas, family, number, options.rulesets, tally, until=until)
            print(f"seed {number}: {tally}", flush=True)
            if options.seed is not None:
                break
    except KeyboardInterrupt:
        print("interrupted")
    finally:
        for arena in arenas:
            arena.__exit__()
    for reason, count in tally.reasons.most_common(10):
        print(f"  undecided {count} times: {reason}")
    if tally.failure:
        print(tally.failure)
        return ExitCode.DIFFERENCES
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
