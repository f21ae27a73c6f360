"""``make kernels``: netfw's verifications and tests on stock kernels, and a table of results.

python -m tests.vm --kernel 6.1 --kernel newest --iptables own --iptables bullseye
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

from tests.bench.child import unwind_when_ended
from tests.vm.cache import cache_folder
from tests.vm.findings import Findings, read_findings
from tests.vm.kernel import NEWEST, SUITES, fetch_kernel
from tests.vm.machine import choose_accelerator, missing_program, run_in
from tests.vm.python_files import ROOT, python_in_guest
from tests.vm.root import OWN, ROOTS, root_archive
from tests.vm.table import markdown
from tests.vm.unavailable import Unavailable

REPORTS = ("order.json", "router.json", "tests.xml")
OUT = ROOT / "tests/out/kernels"
PATIENCE = 5400.0
"""Seconds for one guest: a few minutes on an idle machine with software emulation."""


def main() -> int:
    """0: everything agreed; 1: something differed; 4: something could not be run or said."""
    parser = argparse.ArgumentParser(prog="make kernels", description=__doc__)
    parser.add_argument("--kernel", action="append", help=f"default: {', '.join(SUITES)}")
    parser.add_argument(
        "--iptables", action="append", choices=sorted(ROOTS), help="default: own, and all with 6.1"
    )
    parser.add_argument(
        "--table", action="store_true", help="run nothing, print the table of what was run before"
    )
    parser.add_argument("--verify", action="store_true", help="the verifications alone, no tests")
    options = parser.parse_args()
    unwind_when_ended()
    if options.table:
        return _finish(_kept())
    problem = missing_program()
    if problem:
        print(f"kernels: skipped: {problem}", file=sys.stderr)
        return 4
    found: list[Findings] = []
    unavailable = False
    for series, root in _combinations(options.kernel, options.iptables):
        try:
            found.append(_try(series, root, verify_only=options.verify))
        except Unavailable as error:
            unavailable = True
            print(f"kernels: {series} with iptables of {root}: not run: {error}", file=sys.stderr)
    status = _finish(found)
    return status or (4 if unavailable else 0)


def _kept() -> list[Findings]:
    """What lies in ``tests/out/kernels``, from the oldest kernel to the newest."""
    found = []
    for folder in OUT.iterdir() if OUT.is_dir() else ():
        if folder.is_dir():
            files = {path.name: path.read_bytes() for path in folder.iterdir()}
            found.append(read_findings(files, _asked(folder)))
    return sorted(
        found, key=lambda one: ([*map(int, re.findall(r"\d+", one.kernel))], one.iptables)
    )


def _asked(folder: Path) -> list[str]:
    """The reports that the guest was asked for."""
    return (folder / "asked").read_text().split()


def _finish(found: list[Findings]) -> int:
    """Print the table and all problems; 0, 1 or 4."""
    if not found:
        return 4
    OUT.mkdir(parents=True, exist_ok=True)
    text = markdown(found)
    (OUT / "table.md").write_text(text)
    print(text)
    for one in found:
        for line in (*one.problems, *one.unknown):
            print(f"{one.kernel}, iptables {one.iptables}: {line}")
    statuses = {one.status for one in found}
    return 1 if 1 in statuses else max(statuses)


def _combinations(kernels: list[str] | None, roots: list[str] | None) -> list[tuple[str, str]]:
    """Every kernel with this machine's own iptables; those of other releases with two of them."""
    if kernels or roots:
        return [(each, root) for each in kernels or SUITES for root in roots or [OWN]]
    combinations = [(each, OWN) for each in SUITES]
    combinations += [("5.10", "bullseye"), (NEWEST, "trixie")]
    return combinations


def _try(series: str, root: str, *, verify_only: bool) -> Findings:
    """One kernel with one root tree; its reports go to ``tests/out/kernels``."""
    began = time.monotonic()
    kernel = fetch_kernel(series)
    accelerator = choose_accelerator(kernel)
    print(f"kernels: {kernel.release}, iptables of {root}: {accelerator.name}", end="", flush=True)
    print(f" ({accelerator.reason})", flush=True)
    archive = root_archive(root)
    command = (
        f"cd {ROOT}; export PYTHONPATH={ROOT} HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis\n"
        f"{python_in_guest()} -m tests.vm.guest /out{' --verify' if verify_only else ''}"
    )
    try:
        ran = run_in(kernel, [archive], command, patience=PATIENCE)
    finally:
        archive.unlink(missing_ok=True)
    folder = OUT / f"{series}-{root}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "asked").write_text("\n".join(REPORTS[:2] if verify_only else REPORTS))
    for name, content in {**ran.files, "console.txt": ran.output.encode()}.items():
        Path(folder, name).write_bytes(content)
    found = read_findings(ran.files, _asked(folder))
    if ran.status:
        found.problems.append(f"the guest's program ended with status {ran.status}")
    print(
        f"kernels: {kernel.release}: {found.verdict}, {time.monotonic() - began:.0f} s", flush=True
    )
    return found


if __name__ == "__main__":
    cache_folder()
    sys.exit(main())
