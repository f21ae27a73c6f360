"""How time and memory of the commands that look at all packets grow with the rules."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from tests.bench.child import child, unwind_when_ended
from tests.bench.printed import console

SIZES = (100, 1_000, 10_000, 100_000)
PACKET = "tcp 198.51.100.7 -> 203.0.113.1:443 in eth0"
DIFF_AT_MOST = 10_000
"""To compare two policies of more rules takes minutes."""


def growth_table() -> Table:
    """A row for each number of rules: seconds of CPU and peak memory of each command's process."""
    table = Table(title="CPU seconds / MiB, the start of the interpreter included")
    table.add_column("rules", justify="right")
    for what in ("compile", "prove", "check", "diff", "check --rules", "explain --rules"):
        table.add_column(what, justify="right")
    with tempfile.TemporaryDirectory(prefix="netfw-bench-") as folder:
        for size in SIZES:
            table.add_row(f"{size:,}", *_figures(Path(folder), size))
    return table


def policy_of(rules: int, first_port: int = 1024) -> str:
    """A policy of many different rules for one endpoint."""
    lines = ["version: 1", "endpoints:", "  wan: {host: eth0}", "policies:", "  - name: many"]
    lines += ["    at: wan", "    ingress:"]
    for number in range(rules):
        port = first_port + number % 50_000
        source = f"{10 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.0/24"
        lines += [f"      - allow: tcp/{port}", f"        from: {source}"]
    return "\n".join(lines) + "\n"


def saved_rules(rules: int) -> str:
    """The same as iptables-save prints it, in one flat chain."""
    lines = ["*filter", ":INPUT DROP [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"]
    for number in range(rules):
        source = f"{10 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.0/24"
        lines.append(
            f"-A INPUT -s {source} -p tcp -m tcp --dport {1024 + number % 50_000} "
            '-m comment --comment "one of many" -j ACCEPT'
        )
    return "\n".join([*lines, "COMMIT", ""])


def _figures(folder: Path, size: int) -> list[str]:
    old, new, saved = folder / "old.yaml", folder / "new.yaml", folder / "saved.txt"
    old.write_text(policy_of(size))
    new.write_text(policy_of(size, first_port=1025))
    saved.write_text(saved_rules(size))
    commands: list[list[str]] = [
        ["compile", str(old)],
        ["prove", str(old)],
        ["check", str(old)],
        ["diff", str(old), str(new)],
        ["check", "--rules", str(saved)],
        ["explain", "--rules", str(saved), PACKET],
    ]
    return [
        "-" if command[0] == "diff" and size > DIFF_AT_MOST else _spent(command)
        for command in commands
    ]


def _spent(command: Sequence[str]) -> str:
    argv = [sys.executable, "-m", "netfw", *command]
    with child(argv, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    # 1: there are differences or findings, which is what was asked for
    if process.returncode not in (0, 1):
        return f"exit code {process.returncode}"
    return f"{usage.ru_utime + usage.ru_stime:.2f} / {usage.ru_maxrss // 1024}"


if __name__ == "__main__":
    unwind_when_ended()
    # on its own: a process begins with the peak memory of the one that starts it
    console().print(growth_table())
