"""What runs in every guest: the verifications and the tests that say something about a kernel.

    python -m tests.vm.guest /out [--short | --verify | --tests] [--all | --few]

Writes ``environment.json``, ``order.json``, ``router.json`` and ``tests.xml`` into the folder. It
says what it found and judges nothing: whoever reads the reports does that.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.vm.python_files import ROOT

RULESETS = "6"
"""Random rulesets for each backend and family in the comparison of model and kernel."""
_FEW = ["tests/kernel/test_trace.py", "tests/kernel/test_kernel_facts.py"]
_SHORT = [("--backend", "nft", "--family", "6"), ("--backend", "legacy", "--family", "4")]


def main() -> int:
    """Run everything; 0 where all of it could be run, whatever was found."""
    parser = argparse.ArgumentParser(prog="tests.vm.guest")
    parser.add_argument("out", type=Path)
    parser.add_argument("--verify", action="store_true", help="the verifications alone, no tests")
    parser.add_argument("--tests", action="store_true", help="the tests alone, no verification")
    parser.add_argument("--few", action="store_true", help="trace readers and facts alone")
    parser.add_argument("--all", action="store_true", help="all kernel tests")
    parser.add_argument("--short", action="store_true", help="a part of the documented order")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(exist_ok=True)
    (out / "environment.json").write_text(json.dumps(_environment()))
    if options.short:
        for number, words in enumerate(_SHORT):
            _verify(out / f"order-{number}.json", *words)
        return 0
    if not options.tests:
        _verify(out / "order.json")
        _verify(out / "router.json", str(ROOT / "netfw/examples/router.yaml"))
    if options.verify:
        return 0
    marker = "kernel and not long" if options.all else "every_kernel"
    argv = [sys.executable, "-m", "pytest", "-q", "-m", marker, "-p", "no:cacheprovider"]
    argv += [f"--junit-xml={out / 'tests.xml'}", "--tb=short"]
    argv += _FEW if options.few else ["tests/kernel", "tests/golden"]
    _run(argv)
    return 0


def _verify(report: Path, *words: str) -> None:
    _run([sys.executable, "-m", "netfw", "verify", "--json", str(report), *words])


def _run(argv: list[str]) -> None:
    print("+", *argv, flush=True)
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "NETFW_FUZZ_RULESETS": RULESETS}
    done = subprocess.run(argv, cwd=ROOT, env=settings, check=False)
    print(f"  exit status {done.returncode}", flush=True)


def _environment() -> dict[str, str]:
    done = subprocess.run(["iptables", "--version"], capture_output=True, text=True, check=False)
    return {"kernel": os.uname().release, "iptables": done.stdout.strip()}


if __name__ == "__main__":
    sys.exit(main())
