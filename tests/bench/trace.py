"""What a trace keeps up with, and what it costs packets that it does not mean."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from ipaddress import IPv4Network
from pathlib import Path

from rich.table import Table

from netfw.host.iptables import restore
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_trace import LiveTrace
from netfw.host.packets import PacketBuilder
from netfw.ir.names import Backend, Family
from netfw.traverse.packet_filter import parse_filter
from tests.bench.child import unwind_when_ended
from tests.bench.printed import console
from tests.bench.road import FLOWS, Frames, Passage, Road, frames, keep_to_one_cpu
from tests.kernel.router import Router, all_tables, forwarded

SECONDS = 10
RATES = (1_000, 2_000, 4_000)
ROUNDS = 5
_BURST = 0.3
_SETTLE = 0.3
_TICK = 0.01
"""Seconds between two handfuls of packets."""
RULES = all_tables(
    raw="-A PREROUTING -p udp -j MARK --set-xmark 0x10000/0xf0000",
    mangle="-A PREROUTING -p udp -j CONNMARK --save-mark --nfmask 0xf0000 --ctmask 0xf0000",
    filter="-A FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT",
)


def main() -> None:
    """Measure and print."""
    unwind_when_ended()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    out = console()
    out.print(kept_up(arguments.seconds))
    out.print(cost(arguments.rounds))


def kept_up(seconds: int) -> Table:
    """Packets that the filter means, at several rates: how many were followed, what was lost."""
    table = Table(title=f"netfw trace --rate 0 --json, forwarded UDP for {seconds} s")
    for name in (
        "backend",
        "sent/s",
        "sent",
        "matched",
        "shown",
        "unsure",
        "lost",
        "CPU",
        "ready",
        "MiB",
    ):
        table.add_column(name, justify="left" if name == "backend" else "right")
    for backend in Backend:
        for rate in RATES:
            table.add_row(backend.value, f"{rate:,}", *_one_rate(backend, rate, seconds))
    return table


def _one_rate(backend: Backend, rate: int, seconds: int) -> list[str]:
    with Router() as router, tempfile.TemporaryDirectory() as folder:
        restore(router.box, backend, Family.IPV4, RULES)
        file = Path(folder, "out.json")
        argv = [sys.executable, "-m", "netfw", "trace", "udp", "--rate", "0", "--json"]
        argv += ["--for", f"{seconds + 3}s", "--netns", router.box.path]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with file.open("w") as written:
            trace = subprocess.Popen(argv, stdout=written, stderr=subprocess.PIPE, text=True)
        assert trace.stderr is not None
        trace.stderr.readline()
        sent = _send(router, rate, seconds)
        # the last ones may still wait in the cable's queue
        time.sleep(_SETTLE)
        ended = time.perf_counter()
        trace.terminate()
        trace.communicate()
        late = time.perf_counter() - ended
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found = json.loads(file.read_text())
    unsure = sum(packet["inconclusive"] is not None for packet in found["packets"])
    shown = f"{len(found['packets']):,}"
    lost = found["lost"] or "nothing"
    memory = f"{after.ru_maxrss // 1024}"
    return [
        f"{sent:,}",
        f"{found['matched']:,}",
        shown,
        f"{unsure:,}",
        lost,
        f"{cpu:.1f} s",
        f"+{late:.1f} s",
        memory,
    ]


def _send(router: Router, rate: int, seconds: int) -> int:
    """Send packets at a rate, a handful at a time; how many."""
    builder = PacketBuilder()
    packets = [builder.build(forwarded(Family.IPV4), number) for number in range(1, 10_001)]
    sent, began = 0, time.perf_counter()
    while (now := time.perf_counter() - began) < seconds:
        while sent < now * rate:
            router.left.send(Family.IPV4, packets[sent % len(packets)])
            sent += 1
        router.right.arrived()
        time.sleep(_TICK)
    return sent


def cost(rounds: int) -> Table:
    """CPU of forwarded packets beside a trace that means others."""
    keep_to_one_cpu()
    sent = frames(IPv4Network("10.7.0.0/24"), 9, FLOWS)
    filters = ("udp dport 53", "tcp 192.0.2.0/24 -> 203.0.113.1:443", "udp in eth9")
    best: dict[str, list[Passage]] = {}
    for _ in range(rounds):
        with Road() as road:
            best.setdefault("no trace", []).append(_drive(road, sent))
            for wanted in filters:
                with (
                    LiveNamespace(road.router.path) as live,
                    LiveTrace(live, parse_filter(wanted), rate=100, seconds=60),
                ):
                    best.setdefault(wanted, []).append(_drive(road, sent))
    table = Table(title="UDP packets that the filter does not mean, forwarded without rules")
    for name in ("trace", "packets/s", "CPU a packet", "more"):
        table.add_column(name, justify="left" if name == "trace" else "right")
    least = {
        name: min(one.cpu / max(one.judged, 1) for one in passages) * 1e9
        for name, passages in best.items()
    }
    for name, passages in best.items():
        rate = max(one.judged / one.seconds for one in passages)
        more = least[name] - least["no trace"]
        table.add_row(name, f"{rate:,.0f}", f"{least[name]:,.0f} ns", f"{more:+,.0f} ns")
    return table


def _drive(road: Road, sent: Frames) -> Passage:
    road.drive(sent, _BURST / 10, once=False)
    road.settle()
    return road.drive(sent, _BURST, once=False)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", os.getcwd())
    main()
