"""Packets forwarded a second, and CPU a packet, through policies of many rules.

On a machine that does nothing else one is the other's inverse. On one that does, the CPU is what
to look at: it leaves out what others had of the processor.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from rich.console import Console
from rich.table import Table

from netfw.errors import NetfwError
from netfw.ir.names import Backend, Family
from tests.bench import rulesets
from tests.bench.aerleon import AerleonMissing
from tests.bench.child import unwind_when_ended
from tests.bench.policies import BenchRule, disjoint_rules
from tests.bench.printed import console
from tests.bench.road import FLOWS, Frames, Passage, Road, frames, keep_to_one_cpu
from tests.bench.rulesets import Loadable, may_load

RULES = 10_000
ROUNDS = 3
REFERENCE = "conntrack + one ipset"
SECONDS = 0.3
"""How long each measurement sends."""
_WARM_UP = 0.03
"""Seconds of the same packets before, for memory that is used for the first time."""
_MOST_NEW = 80_000
"""New connections a measurement: no more than a table of connections holds anywhere."""
_UNMATCHED = (IPv4Network("11.0.0.0/24"), 9)
"""A source that no rule names, and a port."""


@dataclass(frozen=True, slots=True)
class Case:
    """Which packets are sent: of new connections or later ones, and which rule they meet."""

    name: str
    packets: Frames
    replies: Frames | None = None
    """For later packets: those that answer, which make the connections established."""
    allowed: bool = True


@dataclass
class Outcome:
    """The passages of all rounds, or what was wrong."""

    passages: list[Passage] = field(default_factory=list)
    wrong: str = ""

    @property
    def rates(self) -> list[float]:
        """Packets a second, best first."""
        return sorted((p.judged / p.seconds for p in self.passages), reverse=True)

    @property
    def nanoseconds(self) -> float:
        """CPU a packet, the sender's share included; the least of all rounds."""
        return min(p.cpu / max(p.judged, 1) for p in self.passages) * 1e9


Outcomes = dict[tuple[str, Backend, str], Outcome]


def cases(rules: Sequence[BenchRule]) -> list[Case]:
    """New and later packets that the first UDP rule, the last one or none is for."""
    matching = [rule for rule in rules if rule.service.protocol == "udp"]
    early, late = (
        (IPv4Network(rule.source.v4), rule.service.port) for rule in (matching[0], matching[-1])
    )
    return [
        Case("first, early", frames(*early, _MOST_NEW)),
        Case("first, late", frames(*late, _MOST_NEW)),
        Case("first, no hit", frames(*_UNMATCHED, _MOST_NEW), allowed=False),
        Case("later, early", frames(*early, FLOWS), frames(*early, FLOWS, reply=True)),
        Case("later, late", frames(*late, FLOWS), frames(*late, FLOWS, reply=True)),
    ]


def loadables(rules: Sequence[BenchRule]) -> tuple[list[Loadable], list[str]]:
    """Everything to compare, and what is missing with the reason."""
    made, missing = [rulesets.nothing(), rulesets.conntrack_rule("FORWARD")], []
    makers: tuple[Callable[[Sequence[BenchRule], Family, str], Loadable], ...] = (
        rulesets.one_set,
        rulesets.one_nft_set,
        rulesets.flat_list,
        rulesets.ferm_rules,
        rulesets.aerleon_rules,
        rulesets.netfw_rules,
    )
    for make in makers:
        try:
            made.append(make(rules, Family.IPV4, "FORWARD"))
        except (AerleonMissing, FileNotFoundError, subprocess.CalledProcessError) as error:
            missing.append(f"{make.__name__}: {error}")
    return made, missing


def measure(
    wanted: Sequence[Loadable], sent: Sequence[Case], rounds: int, console: Console
) -> Outcomes:
    """All rounds; each takes every ruleset once, so that a busy moment meets them all alike."""
    outcomes: Outcomes = {}
    for number in range(rounds):
        for backend in (Backend.LEGACY, Backend.NFT):
            for item in wanted:
                if item.runs_on(backend):
                    console.log(f"round {number + 1} of {rounds}: {backend}, {item.name}")
                    _measure_one(item, backend, sent, outcomes)
    return outcomes


def _measure_one(
    item: Loadable, backend: Backend, sent: Sequence[Case], outcomes: Outcomes
) -> None:
    with Road() as road:
        try:
            item.load(road.router, backend, Family.IPV4)
        except NetfwError as error:
            for case in sent:
                outcomes[item.name, backend, case.name] = Outcome(wrong=str(error)[:60])
            return
        for case in sent:
            outcome = outcomes.setdefault((item.name, backend, case.name), Outcome())
            road.drive(case.packets, _WARM_UP, once=False)
            road.settle()
            road.forget_connections()
            if case.replies is not None:
                road.send(case.packets)
                road.settle()
                road.send(case.replies, back=True)
                road.settle()
            passage = road.drive(case.packets, SECONDS, once=case.replies is None)
            road.settle()
            outcome.passages.append(passage)
            outcome.wrong = outcome.wrong or _fault(item, case, passage)


def _fault(item: Loadable, case: Case, passage: Passage) -> str:
    """Rules that let through what they must not, or the reverse, are not worth timing."""
    if case.allowed or not item.drops:
        # the last packet may be between both counters
        return "" if passage.arrived >= passage.judged * 0.99 > 0 else "packets were dropped"
    return "packets passed" if passage.arrived else ""


def rates_table(outcomes: Outcomes, sent: Sequence[Case], backend: Backend) -> Table:
    """A row for each ruleset: packets a second, beside those of the reference."""

    def cell(outcome: Outcome, reference: Outcome | None) -> str:
        best, worst = outcome.rates[0], outcome.rates[-1]
        ratio = f"{best / reference.rates[0]:.2f}" if reference else "-"
        return f"{best / 1000:,.1f} {ratio} -{1 - worst / best:.0%}"

    title = f"{backend}: 1,000 packets/s, best round  ÷ {REFERENCE}  worst round"
    return _table(title, outcomes, sent, backend, cell)


def cpu_table(outcomes: Outcomes, sent: Sequence[Case], backend: Backend) -> Table:
    """A row for each ruleset: nanoseconds of CPU a packet, beside those of the reference."""

    def cell(outcome: Outcome, reference: Outcome | None) -> str:
        ratio = f"{outcome.nanoseconds / reference.nanoseconds:.2f}" if reference else "-"
        return f"{outcome.nanoseconds:,.0f}  {ratio}"

    title = f"{backend}: ns of CPU a packet, the sender's share included  ÷ {REFERENCE}"
    return _table(title, outcomes, sent, backend, cell)


def _table(
    title: str,
    outcomes: Outcomes,
    sent: Sequence[Case],
    backend: Backend,
    cell: Callable[[Outcome, Outcome | None], str],
) -> Table:
    table = Table(title=title)
    table.add_column("rules")
    for case in sent:
        table.add_column(case.name, justify="right", no_wrap=True)
    for name in dict.fromkeys(name for name, of, _ in outcomes if of is backend):
        cells = []
        for case in sent:
            outcome = outcomes[name, backend, case.name]
            reference = outcomes.get((REFERENCE, backend, case.name))
            if reference is not None and reference.wrong:
                reference = None
            cells.append(outcome.wrong or cell(outcome, reference))
        table.add_row(name, *cells)
    return table


def main() -> None:
    """Measure and print a table for each backend."""
    unwind_when_ended()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.forwarding", description=__doc__)
    parser.add_argument("--rules", type=int, default=RULES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    out = console()
    if lacking := may_load():
        out.print(f"forwarding: {lacking}")
        return
    rules = disjoint_rules(arguments.rules)
    wanted, missing = loadables(rules)
    for line in missing:
        out.print(f"missing: {line}")
    sent = cases(rules)
    keep_to_one_cpu()
    outcomes = measure(wanted, sent, arguments.rounds, Console(stderr=True))
    out.print(f"forwarded IPv4 UDP through {arguments.rules:,} rules, one processor")
    for backend in (Backend.LEGACY, Backend.NFT):
        out.print(rates_table(outcomes, sent, backend))
        out.print(cpu_table(outcomes, sent, backend))


if __name__ == "__main__":
    main()
