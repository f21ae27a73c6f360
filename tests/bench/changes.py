"""What a change of a host costs, and with ``--applies`` what becomes of traffic meanwhile.

Everything happens in namespaces that stand for hosts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from netfw.compiler.pipeline import compile_policy
from netfw.host.loader import take
from netfw.host.namespace import Namespace
from netfw.ir.names import Backend, Family
from netfw.plan.own import Own
from netfw.plan.own_of import own_of
from netfw.plan.plan import plan
from netfw.policy.read import load
from tests.bench.child import unwind_when_ended
from tests.bench.policies import BenchRule, Shape, netfw_policy, rules_of
from tests.bench.printed import console
from tests.bench.rulesets import may_load
from tests.kernel.changed_host import ChangedHost
from tests.kernel.changing import change_under_traffic
from tests.kernel.policy_pairs import MOVED, PAIRS
from tests.kernel.traffic_host import TrafficHost

RULES = 10_000
_MORE = "      - allow: tcp/9\n        from: [192.0.2.9]\n"
_PARTS = ("read", "compile", "wish", "history", "plan", "try out", "guard", "write", "read back")


def cost_table(size: int) -> Table:
    """The first change, and one of one rule: seconds by part.

    ``alone`` is what iptables-restore and ipset restore need for the same, loaded anew into an
    empty namespace: for the first change all that is loaded, for one rule the table that changes
    with its sets. The last column is what remains without reading and compiling the policy (up to
    the text of its rules, ``wish``), beside that.
    """
    table = Table(title=f"changes of {size:,} rules, both families, seconds")
    for name in ("rules", "backend", "change"):
        table.add_column(name, no_wrap=True)
    for name in (*_PARTS, "all", "alone", "÷ alone"):
        table.add_column(name, justify="right")
    rules = rules_of(size, Shape.DIFFERENT)
    for what, text in (("sets", _folding(rules)), ("chains", _not_folding(rules))):
        for backend in Backend:
            loads = {"first": _alone(backend, text, *Family)}
            loads["one rule"] = _alone(backend, text, Family.IPV4)
            for change, spent in zip(loads, _spend(backend, text), strict=True):
                figures = [*(spent.get(part, 0.0) for part in _PARTS), spent["all"], loads[change]]
                cells = [f"{seconds:.2f}" for seconds in figures]
                applied = spent["all"] - sum(spent[part] for part in ("read", "compile", "wish"))
                table.add_row(what, str(backend), change, *cells, f"{applied / loads[change]:.1f}")
        table.add_section()
    return table


def _alone(backend: Backend, text: str, *families: Family) -> float:
    """Seconds that the programs need which load the rules and sets of these families."""
    whole = own_of(compile_policy(load(text, "bench.yaml")), {})
    steps = [step for each in families for step in plan(Own(), whole.of_family(each)).steps]
    with Namespace("alone") as box:
        began = time.perf_counter()
        for step in steps:
            take(step, backend, box)
        return time.perf_counter() - began


def _folding(rules: list[BenchRule]) -> str:
    return "".join(netfw_policy(rules, Shape.DIFFERENT, [4, 6]))


def _not_folding(rules: list[BenchRule]) -> str:
    """Allow and deny in turn, so that no two rules that stand together become one."""
    lines = netfw_policy(rules, Shape.DIFFERENT, [4, 6])
    numbers = itertools.count()
    return "".join(
        line.replace("allow", "deny") if "- allow" in line and next(numbers) % 2 else line
        for line in lines
    )


def _spend(backend: Backend, text: str) -> Iterator[dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder, ChangedHost(backend, Path(folder)) as host:
        files = [host.write_policy(text, "first.yaml"), host.write_policy(text + _MORE, "2.yaml")]
        done = subprocess.run(
            [
                *("nsenter", f"--net={host.box.path}"),
                *(sys.executable, "-m", "tests.bench.change_parts", *files),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env=host.environment,
            check=True,
        )
        yield from map(json.loads, done.stdout.splitlines())


def traffic_table(applies: int) -> Table:
    """So many changes in all, shared among the pairs and both backends."""
    pairs = (*PAIRS, MOVED)
    times = max(2, -(-applies // (2 * len(pairs))))
    table = Table(title="traffic through changes")
    for name in ("backend", "to and from", "changes", "s", "lost", "of", "got through", "of"):
        table.add_column(name, justify="left" if name in ("backend", "to and from") else "right")
    for backend in Backend:
        for pair in pairs:
            with (
                tempfile.TemporaryDirectory() as folder,
                TrafficHost(backend, Path(folder)) as host,
            ):
                changed = change_under_traffic(host, pair, times)
            lost, leaked = changed.traffic.lost, changed.traffic.leaked
            figures = (*(f"{count:,}" for count in (*lost, *leaked)),)
            made, seconds = str(changed.made), f"{changed.seconds:.0f}"
            table.add_row(str(backend), pair.name, made, seconds, *figures)
    return table


def main() -> None:
    """Print the tables."""
    unwind_when_ended()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.changes", description=__doc__)
    parser.add_argument("--rules", type=int, default=RULES)
    parser.add_argument("--applies", type=int, default=0, help="changes under traffic, in all")
    arguments = parser.parse_args()
    printed = console()
    if lacking := may_load():
        printed.print(f"changes: {lacking}")
        return
    if arguments.applies:
        printed.print(traffic_table(arguments.applies))
    else:
        printed.print(cost_table(arguments.rules))


if __name__ == "__main__":
    main()
