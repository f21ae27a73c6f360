"""What a rollout to many hosts costs, beside tasks of ansible.builtin.iptables that do the same.

The hosts are namespaces of this machine, so that the time of all hosts is in the figures too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import yaml
from rich.table import Table

from tests.bench.child import unwind_when_ended
from tests.bench.printed import console
from tests.fleet.lab import Lab, why_no_lab

HOSTS, PEER_HOSTS, RULES, FORKS = 50, 2, 100, 20


class Run(NamedTuple):
    """One run of a playbook: seconds by the clock, those of CPU that the controller spent, MiB of
    its largest process, and how many hosts changed."""

    seconds: float
    cpu: float
    peak: int
    changed: int


def fleet_table(hosts: int, peer_hosts: int, rules: int) -> Table:
    """A row for each run."""
    table = Table(title=f"{rules} rules a host, {FORKS} forks")
    table.add_column("playbook")
    for name in ("hosts", "changed", "wall s", "s a host", "CPU s", "MiB"):
        table.add_column(name, justify="right", no_wrap=True)

    def add(what: str, count: int, run: Run) -> None:
        table.add_row(
            what,
            str(count),
            str(run.changed),
            f"{run.seconds:.1f}",
            f"{run.seconds / count:.2f}",
            f"{run.cpu:.1f}",
            str(run.peak),
        )

    for count, lines in ((hosts, _netfw_runs), (peer_hosts, _iptables_runs)):
        if count:
            with tempfile.TemporaryDirectory(prefix="netfw-bench-") as folder:
                names = [f"h{number}" for number in range(1, count + 1)]
                with Lab(Path(folder), names) as lab:
                    for what, run in lines(lab, rules):
                        add(what, count, run)
    return table


def _netfw_runs(lab: Lab, rules: int) -> list[tuple[str, Run]]:
    folder = lab.folder / "policies" / "common"
    folder.mkdir(parents=True)

    def write(first_port: int) -> None:
        lines = [
            f"      - {{allow: tcp/{first_port if number == 0 else 2000 + number}, "
            f"from: 198.51.100.{number % 200}}}\n"
            for number in range(rules)
        ]
        head = "version: 1\nendpoints: {wan: {host: eth0}}\npolicies:\n"
        text = f"{head}  - name: many\n    at: wan\n    ingress:\n{''.join(lines)}"
        (folder / "rules.yaml").write_text(text, encoding="utf-8")

    count = len(lab.hosts)
    # the first of a batch waits for the last one to be confirmed
    all_at_once = {
        "netfw_serial": count,
        "netfw_apply_rehearse": False,
        "netfw_apply_confirm": 60 + 20 * count,
    }
    lab.write_inventory({"netfw_repository": str(lab.folder / "policies")})
    write(2000)
    runs = [("netfw.netfw.apply, the first time", _play(lab, "netfw.netfw.apply", all_at_once))]
    runs.append(("netfw.netfw.apply, no changes", _play(lab, "netfw.netfw.apply", all_at_once)))
    write(1999)
    runs.append(
        ("netfw.netfw.apply, one changed rule", _play(lab, "netfw.netfw.apply", all_at_once))
    )
    return runs


def _iptables_runs(lab: Lab, rules: int) -> list[tuple[str, Run]]:
    path = lab.folder / "iptables.yml"

    def write(first_port: int) -> None:
        rule = {
            "chain": "INPUT",
            "protocol": "tcp",
            "source": "198.51.100.{{ item % 200 }}",
            "destination_port": f"{{{{ {first_port} if item == 0 else 2000 + item }}}}",
            "jump": "ACCEPT",
        }
        tasks: list[dict[str, object]] = [
            {
                "name": "Allow",
                "ansible.builtin.iptables": rule,
                "loop": f"{{{{ range({rules}) | list }}}}",
            }
        ]
        if first_port != 2000:
            gone = {**rule, "source": "198.51.100.0", "destination_port": 2000, "state": "absent"}
            tasks.append({"name": "No longer", "ansible.builtin.iptables": gone})
        play = {"hosts": "all", "gather_facts": False, "tasks": tasks}
        path.write_text(yaml.safe_dump([play]), encoding="utf-8")

    lab.write_inventory({})
    write(2000)
    name = "ansible.builtin.iptables"
    runs = [(f"{name}, the first time", _play(lab, str(path), {}))]
    runs.append((f"{name}, no changes", _play(lab, str(path), {})))
    write(1999)
    runs.append((f"{name}, one changed rule", _play(lab, str(path), {})))
    return runs


def _play(lab: Lab, playbook: str, extra: dict[str, object]) -> Run:
    record = lab.folder / "record.jsonl"
    record.unlink(missing_ok=True)
    argv = lab.argv(
        *("ansible-playbook", "--inventory", str(lab.folder / "inventory.yml")),
        *("--forks", str(FORKS), "--extra-vars", json.dumps(extra), playbook),
    )
    with (lab.folder / "output").open("w+b") as output:
        start = time.monotonic()
        process = subprocess.Popen(
            argv,
            cwd=lab.folder,
            env={**lab.environment, "NETFW_TEST_RECORD": str(record)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        _, status, spent = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        output.seek(0)
        if process.returncode != 0:
            sys.exit(f"{playbook} failed:\n{output.read().decode()[-4000:]}")
    totals: dict[str, dict[str, int]] = {}
    for line in record.read_text(encoding="utf-8").splitlines():
        totals = json.loads(line).get("totals", totals)
    changed = sum(1 for each in totals.values() if each["changed"])
    return Run(seconds, spent.ru_utime + spent.ru_stime, spent.ru_maxrss // 1024, changed)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fleet", description=__doc__)
    parser.add_argument("--hosts", type=int, default=HOSTS, help="hosts of netfw's playbook")
    parser.add_argument(
        "--peer-hosts", type=int, default=PEER_HOSTS, help="hosts of the iptables tasks; 0: none"
    )
    parser.add_argument("--rules", type=int, default=RULES)
    arguments = parser.parse_args()
    unwind_when_ended()
    why = why_no_lab()
    if why:
        console().print(f"a fleet is not measured: {why}")
        return
    with contextlib.suppress(KeyboardInterrupt):
        console().print(fleet_table(arguments.hosts, arguments.peer_hosts, arguments.rules))


if __name__ == "__main__":
    main()
