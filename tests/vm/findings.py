"""What the reports out of a guest say: counts, what differed, and which named refinements showed.

A report that is missing is a failure, never a pass: the guest writes one for everything it was
asked.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Findings:
    """One guest. ``runs`` are verifications by subject, backend and family, with packets that
    agree and all packets; ``tests`` the outcomes of tests by word; ``problems`` whatever was not
    as it should be, and ``unknown`` what nobody can say, one line each; ``skipped`` what was not
    run, with the reason.
    """

    kernel: str = ""
    iptables: str = ""
    runs: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    refinements: Counter[str] = field(default_factory=Counter)
    tests: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """0: everything agreed; 1: something did not; 4: nobody can say of something."""
        if self.problems:
            return 1
        return 0 if self.runs and not self.unknown else 4

    @property
    def verdict(self) -> str:
        """The same in words."""
        problems = "problem" if len(self.problems) == 1 else "problems"
        said = [(self.problems, problems), (self.unknown, "inconclusive")]
        counts = [f"{len(lines)} {what}" for lines, what in said if lines]
        return ", ".join(counts) or ("agree" if self.runs else "nothing was run")

    def verified(self, backend: str, family: str) -> tuple[int, int]:
        """Packets that agree, and all, of one backend and family."""
        counts = [pair for (_, by, of), pair in self.runs.items() if (by, of) == (backend, family)]
        return sum(good for good, _ in counts), sum(every for _, every in counts)


def read_findings(files: Mapping[str, bytes], reports: Sequence[str]) -> Findings:
    """Read the reports of a guest; ``reports`` are the names of those that must be there."""
    found = Findings()
    environment = json.loads(files.get("environment.json", b"{}"))
    found.kernel = environment.get("kernel", "")
    version = re.search(r"v(\d\S+)", environment.get("iptables", ""))
    found.iptables = version[1] if version else ""
    for name in reports:
        content = files.get(name)
        if not content:
            found.problems.append(f"{name}: no such report came out of the guest")
        elif name.endswith(".json"):
            _read_verification(found, json.loads(content))
        else:
            _read_tests(found, ElementTree.fromstring(content))
    return found


def _read_verification(found: Findings, data: dict[str, object]) -> None:
    runs = data["runs"]
    assert isinstance(runs, list)
    for run in runs:
        key = (run["subject"], run["backend"], str(run["family"]))
        found.runs[key] = (run["counts"]["agree"], sum(run["counts"].values()))
        where = " ".join(key)
        for probe in run["probes"]:
            found.refinements.update(probe["refinements"])
            for difference in probe["differences"]:
                found.problems.append(f"{where}: {probe['packet']}: {difference['problem']}")
            if probe["result"] == "inconclusive":
                found.unknown.append(f"{where}: {probe['packet']}: {probe['reason']}")
        found.refinements.update(run["kernel_refinements"])
        found.problems += (f"{where}: {text}" for text in run["differences"])
        found.unknown += (
            f"{where}: {text}" for text in (run["missing"], *run["inconclusive"]) if text
        )


def _read_tests(found: Findings, root: ElementTree.Element) -> None:
    for case in root.iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        outcome = "passed"
        for child in case:
            if child.tag in ("failure", "error"):
                outcome = "failed"
                lines = (child.get("message") or child.text or "").strip().splitlines()
                found.problems.append(f"{name}: {lines[0] if lines else child.tag}")
            elif child.tag == "skipped":
                outcome = "skipped"
                found.skipped[child.get("message") or "no reason"] += 1
        found.tests[outcome] += 1
    if not found.tests:
        found.problems.append("no test was run")
