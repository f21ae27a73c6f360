"""Compiling, side by side: netfw, ferm and Aerleon on the same policies.

All three print or write rules to files and touch no rule of this machine: ``ferm --remote`` runs
no other program, Aerleon knows no way to load rules.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.table import Table

from tests.bench.aerleon import AerleonMissing, aclgen, aerleon_command, write_aerleon
from tests.bench.child import unwind_when_ended
from tests.bench.policies import (
    FAMILIES,
    BenchRule,
    Shape,
    ferm_policy,
    netfw_policy,
    rules_of,
)
from tests.bench.printed import console
from tests.bench.spent import PATIENCE, Spent, best_of

SIZES = (10, 1_000, 10_000, 100_000)
FERM = "ferm"
_ROUNDS = {10: 3, 1_000: 3, 10_000: 2, 100_000: 1}


@dataclass
class Tool:
    """A tool with a way to write its policies.

    ``prepare`` writes the policy into an empty folder and returns the command, which puts rules
    on standard output or under ``out`` of that folder. ``missing`` says why it cannot be run.
    """

    name: str
    prepare: Callable[[Path, Sequence[BenchRule], Shape, Sequence[int]], list[str]]
    only_both: bool = False
    missing: str = ""
    last: dict[str, float] = field(default_factory=dict)
    """Seconds for the size before, by shape and families."""


def tools() -> list[Tool]:
    """What there is on this machine, and what there is not, with the reason."""
    ferm_missing = "" if shutil.which("ferm") else "not installed (the package ferm)"
    aerleon_missing, program = "", Path()
    try:
        program = aclgen()
    except AerleonMissing as error:
        aerleon_missing = str(error)
    return [
        Tool("netfw", _netfw),
        Tool(FERM, partial(_ferm, apart=False), missing=ferm_missing),
        Tool("ferm, two blocks", partial(_ferm, apart=True), True, ferm_missing),
        Tool("Aerleon .pol", partial(_aerleon, program, yaml=False), missing=aerleon_missing),
        Tool("Aerleon YAML", partial(_aerleon, program, yaml=True), missing=aerleon_missing),
    ]


def _netfw(
    folder: Path, rules: Sequence[BenchRule], shape: Shape, families: Sequence[int]
) -> list[str]:
    policy = _written(folder / "policy.yaml", netfw_policy(rules, shape, families))
    family = [] if len(families) > 1 else ["--family", str(families[0])]
    return [sys.executable, "-m", "netfw", "compile", *family, policy]


def _ferm(
    folder: Path,
    rules: Sequence[BenchRule],
    shape: Shape,
    families: Sequence[int],
    *,
    apart: bool,
) -> list[str]:
    lines = ferm_policy(rules, shape, families, apart=apart)
    return ["ferm", "--remote", _written(folder / "ferm.conf", lines)]


def _aerleon(
    program: Path,
    folder: Path,
    rules: Sequence[BenchRule],
    shape: Shape,
    families: Sequence[int],
    *,
    yaml: bool,
) -> list[str]:
    write_aerleon(folder, rules, families, yaml=yaml)
    return aerleon_command(program, folder)


def _written(path: Path, lines: Iterable[str]) -> str:
    with path.open("w") as file:
        file.writelines(lines)
    return str(path)


def peers_table(shape: Shape, sizes: Sequence[int], present: Sequence[Tool]) -> Table:
    """A row for each size, each number of families and each tool."""
    table = Table(title=f"compile: source net + protocol + destination port, {shape.value}")
    table.add_column("rules", justify="right")
    table.add_column("IPv", justify="right")
    table.add_column("by")
    for name in ("CPU s", "wall s", "MiB", "lines out", "÷ ferm"):
        table.add_column(name, justify="right", no_wrap=True)
    for size in sizes:
        rules = rules_of(size, shape)
        for families in FAMILIES:
            wanted = [tool for tool in present if not tool.only_both or len(families) > 1]
            rows = [(tool, _measure(tool, rules, shape, families)) for tool in wanted]
            ferm = min(
                (cost.cpu for tool, (cost, _) in rows if cost and tool.name.startswith(FERM)),
                default=0.0,
            )
            for tool, (cost, said) in rows:
                cells = _cells(tool.name, cost, said, ferm)
                table.add_row(f"{size:,}", "+".join(map(str, families)), *cells)
            table.add_section()
    return table


def _cells(name: str, cost: Spent | None, said: str, ferm: float) -> list[str]:
    """The last is the ratio of CPU to that of ferm in its faster way."""
    if cost is None:
        return [f"{name}: {said}"]
    ratio = f"{cost.cpu / ferm:.2f}" if ferm else ""
    return [name, f"{cost.cpu:.2f}", f"{cost.wall:.2f}", str(cost.peak), said, ratio]


def _measure(
    tool: Tool, rules: Sequence[BenchRule], shape: Shape, families: Sequence[int]
) -> tuple[Spent | None, str]:
    """What it cost and how many rules came out, or nothing and the reason."""
    if tool.missing:
        return None, tool.missing
    key, size = f"{shape} {families}", len(rules)
    expected = tool.last.get(key, 0.0) * 10
    if expected > PATIENCE and size > 10_000:
        return None, f"left out: about {expected:,.0f} s"
    with tempfile.TemporaryDirectory(prefix="netfw-bench-") as name:
        folder = Path(name)
        command = tool.prepare(folder, rules, shape, families)
        printed = folder / "printed"
        cost = best_of(_ROUNDS.get(size, 1), command, str(printed))
        if cost.code is None:
            return None, f"more than {PATIENCE} s"
        if cost.code != 0:
            return None, f"exit code {cost.code}"
        tool.last[key] = cost.wall
        lines, lacking = _outcome(
            {net for rule in rules for net in rule.source.of(families)},
            [printed, *sorted((folder / "out").glob("*.ipt"))],
        )
    return (None, f"{lacking:,} networks did not come out") if lacking else (cost, f"{lines:,}")


def _outcome(nets: set[str], files: Iterable[Path]) -> tuple[int, int]:
    """How many rules and members of sets were written, and how many networks are in none."""
    made, lacking = 0, {_short(net) for net in nets}
    for path in files:
        with path.open() as file:
            for line in file:
                if line.startswith(("-A ", "add ")):
                    made += 1
                    lacking.difference_update(
                        _short(word.partition(",")[0]) for word in line.split()
                    )
    return made, len(lacking)


def _short(net: str) -> str:
    """A single address without its prefix length, as some write it and some do not."""
    return net.removesuffix("/128") if ":" in net else net.removesuffix("/32")


def main() -> None:
    """Print a table for each shape."""
    unwind_when_ended()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="RULES")
    parser.add_argument("--shapes", choices=[s.name.lower() for s in Shape], nargs="+")
    arguments = parser.parse_args()
    out, present = console(), tools()
    for shape in Shape:
        if not arguments.shapes or shape.name.lower() in arguments.shapes:
            out.print(peers_table(shape, arguments.sizes, present))


if __name__ == "__main__":
    main()
