"""How long rules take to load, each into an empty network namespace of its own."""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.table import Table

from netfw.errors import NetfwError
from netfw.host.namespace import Namespace
from netfw.ir.names import Backend, Family
from tests.bench import rulesets
from tests.bench.child import unwind_when_ended
from tests.bench.policies import BenchRule, Shape, rules_of
from tests.bench.printed import console
from tests.bench.rulesets import Loadable, may_load

RULES = 10_000
ROUNDS = 7
MAKERS: tuple[Callable[[Sequence[BenchRule], Family, str], Loadable], ...] = (
    rulesets.flat_list,
    rulesets.mark_and_return,
    rulesets.one_set,
    rulesets.one_nft_set,
    rulesets.netfw_rules,
)


@dataclass
class Loads:
    """Seconds of each round: by the clock, and of CPU of the programs that load."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    refused: str = ""


def load_table(size: int, rounds: int, shape: Shape) -> Table:
    """A row for each way to write the rules, family and backend; medians."""
    table = Table(title=f"load {size:,} rules ({shape.value}), median of {rounds} rounds")
    table.add_column("IPv", justify="right")
    table.add_column("backend")
    table.add_column("what")
    for name in ("wall s", "least", "most", "CPU s", "÷ flat"):
        table.add_column(name, justify="right", no_wrap=True)
    rules = rules_of(size, shape)
    for family in Family:
        loadables = [make(rules, family, "INPUT") for make in MAKERS]
        for backend in (Backend.LEGACY, Backend.NFT):
            measured = _measure(loadables, backend, family, rounds)
            flat = measured["flat list"].wall
            for name, loads in measured.items():
                cells = _cells(name, loads, statistics.median(flat) if flat else 0.0)
                table.add_row(str(family.value), str(backend), *cells)
            table.add_section()
    return table


def _cells(name: str, loads: Loads, flat: float) -> list[str]:
    if loads.refused:
        return [f"{name}: {loads.refused}"]
    wall = statistics.median(loads.wall)
    figures = (wall, min(loads.wall), max(loads.wall), statistics.median(loads.cpu))
    return [name, *(f"{seconds:.3f}" for seconds in figures), f"{wall / flat:.2f}" if flat else ""]


def _measure(
    loadables: Sequence[Loadable], backend: Backend, family: Family, rounds: int
) -> dict[str, Loads]:
    """Every round loads each of them once, so that a busy moment meets them all alike."""
    measured = {item.name: Loads() for item in loadables if item.runs_on(backend)}
    for _ in range(rounds):
        for item in loadables:
            loads = measured.get(item.name)
            if loads is not None and not loads.refused:
                try:
                    wall, cpu = _load(item, backend, family)
                except NetfwError as error:
                    loads.refused = str(error).rpartition("Error: ")[2].splitlines()[0]
                    continue
                loads.wall.append(wall)
                loads.cpu.append(cpu)
    return measured


def _load(item: Loadable, backend: Backend, family: Family) -> tuple[float, float]:
    with Namespace("load") as namespace:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        item.load(namespace, backend, family)
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def main() -> None:
    """Print the table."""
    unwind_when_ended()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__)
    parser.add_argument("--rules", type=int, default=RULES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    out = console()
    if lacking := may_load():
        out.print(f"load: {lacking}")
        return
    for shape in Shape:
        out.print(load_table(arguments.rules, arguments.rounds, shape))


if __name__ == "__main__":
    main()
