"""Prints a table of figures, each measured here and now."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from rich.table import Table

from netfw.compiler.pipeline import compile_policy
from netfw.facts.iptables_save import parse_ruleset
from netfw.host.packets import PacketBuilder, build_with_scapy
from netfw.ir.names import Backend, Family
from netfw.policy.read import load
from netfw.render.restore import render_ruleset
from netfw.traverse.walk import Walker
from netfw.verify.probe import Probe
from netfw.verify.progress import NoProgress
from netfw.verify.result import Run
from netfw.verify.session import run_task
from netfw.verify.verify import order_tasks, policy_task
from tests.bench.child import run, unwind_when_ended
from tests.bench.printed import console

EXAMPLE = Path(__file__).parents[2] / "netfw" / "examples" / "router.yaml"
T = TypeVar("T")
PACKETS = 10_000
RULES = 10_000


def main() -> None:
    """Measure and print everything."""
    unwind_when_ended()
    out = console()
    out.print(verification_table())
    out.print(parts_table())
    for part in ("growth", "peers", "load", "forwarding", "changes", "doctor", "trace", "fleet"):
        run([sys.executable, "-m", f"tests.bench.{part}"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    out.print(f"peak memory of this process: {peak} MiB")


def verification_table() -> Table:
    """Packets a second through build, inject, trace, walk and compare, and the parts' shares."""
    table = Table(title=f"netfw verify, {PACKETS} packets a run")
    for name in ("subject", "backend", "family", "packets/s", "events/s", "result"):
        table.add_column(name, justify="left" if name in ("subject", "backend") else "right")
    for part in ("build", "inject", "walk", "trace", "compare"):
        table.add_column(part, justify="right")
    policy = load(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name)
    for backend in Backend:
        for family in Family:
            for task in (
                next(order_tasks(backend, family)),
                policy_task(policy, backend, family),
            ):
                many = replace(task, probes=list(multiply(task.probes)), trace_buffer=1 << 28)
                table.add_row(*_row(run_task(many, NoProgress())))
    return table


def multiply(probes: Sequence[Probe]) -> Iterator[Probe]:
    """The first packets of connections again and again, each from a source port of its own.

    What the policy says is left out: it was said of another source port.
    """
    firsts = [
        probe
        for probe in probes
        if probe.wave == 0 and probe.packet.source_port and probe.packet.quoted is None
    ]
    for number in range(1, PACKETS + 1):
        probe = firsts[number % len(firsts)]
        packet = replace(probe.packet, source_port=1024 + number)
        yield replace(probe, number=number, packet=packet, expected=None)


def _row(run: Run) -> list[str]:
    times = run.times
    parts = (times.build, times.inject, times.walk, times.trace, times.compare)
    total = sum(parts)
    return [
        run.subject,
        run.backend,
        str(run.family),
        f"{len(run.comparisons) / total:,.0f}",
        f"{run.events / total:,.0f}",
        run.missing or run.result.value,
        *(f"{part / total:.0%}" for part in parts),
    ]


def parts_table() -> Table:
    """Single parts, by themselves."""
    table = Table(title="parts")
    for name in ("what", "figure"):
        table.add_column(name)
    task = next(order_tasks(Backend.NFT, Family.IPV4))
    packet = task.probes[0].packet
    builder, walker = PacketBuilder(), Walker(task.ruleset, task.layout.facts())
    builder.build(packet, 1)
    numbers = range(1, 5001)
    table.add_row(
        "packets built from templates",
        _rate(lambda: [builder.build(packet, n) for n in numbers], 5000),
    )
    table.add_row(
        "packets built by scapy alone",
        _rate(lambda: [build_with_scapy(packet, n) for n in range(1, 301)], 300),
    )
    packets = [replace(packet, source_port=1024 + n) for n in numbers]
    table.add_row("walks", _rate(lambda: [walker.walk(p) for p in packets], 5000))
    policy_text = large_policy()
    seconds, policy = _timed(lambda: load(policy_text, "large.yaml"))
    table.add_row(f"policy of {RULES:,} rules read", f"{seconds:.2f} s")
    seconds, compiled = _timed(lambda: compile_policy(policy))
    table.add_row("… compiled, both families", f"{seconds:.2f} s")
    ruleset = compiled.rulesets[Family.IPV4]
    seconds, text = _timed(lambda: render_ruleset(ruleset))
    table.add_row(f"… {ruleset.rule_count:,} IPv4 rules rendered", f"{seconds:.2f} s")
    seconds, _ = _timed(lambda: parse_ruleset(text, Family.IPV4))
    table.add_row("… parsed again", f"{seconds:.2f} s")
    table.add_row("CPU of netfw --version", f"{version_cpu() * 1000:.0f} ms")
    return table


def large_policy() -> str:
    """A policy of many rules for one endpoint."""
    lines = ["version: 1", "endpoints:", "  wan: {host: eth0}", "policies:", "  - name: many"]
    lines += ["    at: wan", "    ingress:"]
    for number in range(RULES):
        port = 1024 + number % 50_000
        source = f"10.{number >> 8 & 255}.{number & 255}.0/24"
        lines += [f"      - allow: tcp/{port}", f"        from: {source}"]
    return "\n".join(lines) + "\n"


def version_cpu() -> float:
    """CPU seconds of ``netfw --version``, the mean of ten."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(10):
        subprocess.run(
            [sys.executable, "-m", "netfw", "--version"], check=True, stdout=subprocess.DEVNULL
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent / 10


def _rate(work: Callable[[], object], count: int) -> str:
    seconds, _ = _timed(work)
    return f"{count / seconds:,.0f}/s"


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    main()
