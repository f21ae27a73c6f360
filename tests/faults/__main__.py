"""``python -m tests.faults``: every fault, on both backends, and what came of them. Needs root."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from netfw.ir.names import Backend
from tests.faults.series import all_kills, try_faults
from tests.faults.traps import traps
from tests.faults.trial import Outcome


@dataclass
class Row:
    """A line of the table: faults of one kind."""

    kind: str
    injected: int = 0
    survived: int = 0
    old: int = 0
    new: int = 0
    missed: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count a fault."""
        if not outcome.is_reached:
            self.missed += 1
            return
        self.injected += 1
        self.survived += not outcome.problems
        self.old += outcome.end == "old"
        self.new += outcome.end == "new"

    def __str__(self) -> str:
        return (
            f"{self.kind:<50} {self.injected:>8} {self.survived:>8} {self.old:>5} {self.new:>5}"
            f" {self.injected - self.old - self.new:>7} {self.missed:>6}"
        )


def main() -> int:
    """Run what is asked for; 1 where a host did not come through."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--backend", choices=["nft", "legacy", "all"], default="all")
    parser.add_argument("--part", choices=["kills", "traps", "all"], default="all")
    parser.add_argument("--only", default="", help="faults whose names match this expression")
    parser.add_argument("--every", type=int, default=1, help="every n-th of each kind")
    parser.add_argument("--list", action="store_true", help="name them and do nothing")
    arguments = parser.parse_args()
    backends = [one for one in Backend if arguments.backend in (one.value, "all")]
    start = time.monotonic()
    with ProcessPoolExecutor(len(backends)) as pool:
        asked = [
            pool.submit(
                run, one, arguments.part, arguments.only, arguments.every, is_list=arguments.list
            )
            for one in backends
        ]
        print_table([row for each in asked for row in each.result()])
        rows = [row for each in asked for row in each.result()]
    print(f"{time.monotonic() - start:.0f} s")
    return int(any(row.survived < row.injected for row in rows))


def run(backend: Backend, part: str, only: str, every: int, *, is_list: bool) -> list[Row]:
    """Try the faults of one backend, and say what came of each."""
    chosen, numbers = [], dict[str, int]()
    faults = [*traps(backend)] if part != "kills" else []
    faults += all_kills(backend) if part != "traps" else []
    for fault in faults:
        if not re.search(only, str(fault)):
            continue
        number = numbers[fault.kind] = numbers.get(fault.kind, -1) + 1
        if number % every == 0:
            chosen.append(fault)
    if is_list:
        print("\n".join(f"{backend} {fault}" for fault in chosen), flush=True)
        return []
    rows: dict[str, Row] = {}

    def tell(outcome: Outcome) -> None:
        sign = "-" if not outcome.is_reached else "✗" if outcome.problems else "✓"
        print(
            f"{sign} {backend} {outcome.fault}: status {outcome.status}, {outcome.end},"
            f" guard {outcome.seconds:.1f} s",
            flush=True,
        )
        for problem in outcome.problems:
            print("\n    ".join(["  problem:", *problem.strip().splitlines()]), flush=True)
        if outcome.problems:
            print("\n    ".join(["  said:", *outcome.said.strip().splitlines()]), flush=True)
        rows.setdefault(outcome.fault.kind, Row(outcome.fault.kind)).add(outcome)

    try_faults(backend, chosen, tell)
    return [*rows.values()]


def print_table(rows: Iterable[Row]) -> None:
    """Both backends together."""
    found: dict[str, Row] = {}
    for row in rows:
        one = found.setdefault(row.kind, Row(row.kind))
        for name in ("injected", "survived", "old", "new", "missed"):
            setattr(one, name, getattr(one, name) + getattr(row, name))
    total = Row("together")
    for row in found.values():
        for name in ("injected", "survived", "old", "new", "missed"):
            setattr(total, name, getattr(total, name) + getattr(row, name))
    head = f"{'fault':<50} {'injected':>8} {'survived':>8} {'old':>5} {'new':>5}"
    print(f"{head} {'between':>7} {'missed':>6}")
    for row in (*found.values(), total):
        print(row)


if __name__ == "__main__":
    sys.exit(main())
