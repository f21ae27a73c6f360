"""Prints what doctor says of the broken, repaired and clean hosts: hits, misses, false alarms.

Run it as root: ``python -m tests.kernel.mark_table``. It makes namespaces of its own, and takes
them down.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from netfw.doctor.diagnosis import diagnose
from netfw.doctor.probing import Outcome
from netfw.host.live_namespace import LiveNamespace
from netfw.host.namespace import Namespace
from netfw.host.observe import read_state
from netfw.host.run import run
from netfw.verify.demonstrate import demonstrate
from tests.kernel.mark_cases import MARK_CASES, MarkCase, built, diagnosis, findings_of
from tests.kernel.test_clean_hosts import FIREWALLD, GOLDEN, KUBERNETES, RULESETS, restored


def main() -> int:
    """Print both tables; 1 where something was missed or a false alarm."""
    bad = 0
    print(
        "| broken host | finding | broken | shown in a twin | repaired | besides, when repaired |"
    )
    print("|---|---|---|---|---|---|")
    for case in MARK_CASES:
        hit, shown, silent, besides = _case(case)
        bad += (hit != "hit") + (shown != "shown") + (silent == "false alarm")
        said = (case.name, f"`{case.code}`", hit, shown, silent, besides)
        print(f"| {' | '.join(said)} |", flush=True)
    print()
    print("| hosts on which nothing is wrong | looked at | with errors | warnings |")
    print("|---|---|---|---|")
    for name, texts in _clean():
        looked = errors = 0
        warnings: dict[str, int] = {}
        for family, text in texts:
            with Namespace("table") as host:
                if not _load(host, family, text):
                    continue
                found = diagnosis(host.path)
            looked += 1
            errors += bool(found["errors"])
            for one in found["findings"]:
                if one["severity"] == "warning":
                    warnings[one["code"]] = warnings.get(one["code"], 0) + 1
        bad += errors
        said = ", ".join(f"{count} `{code}`" for code, count in sorted(warnings.items())) or "none"
        print(f"| {name} | {looked} | {errors} | {said} |", flush=True)
    return int(bool(bad))


def _case(case: MarkCase) -> tuple[str, str, str, str]:
    prefix = f"mt{os.getpid() % 100000}{case.name[:2]}"
    with tempfile.TemporaryDirectory() as folder:
        with built(case, f"{prefix}b", Path(folder), repaired=False) as namespace:
            hits = findings_of(case, diagnosis(namespace, "--probe"))
            with LiveNamespace(namespace) as live:
                state = read_state(live)
        hit = "hit" if hits else "miss"
        shown = hits[0]["probe"]["outcome"] if hits else ""
        if case.repaired_at is None:
            return hit, shown, "repairs nothing", ""
        with built(case, f"{prefix}f", Path(folder), repaired=True) as namespace:
            found = diagnosis(namespace)["findings"]
            # what was found on the broken host, claimed of the repaired one
            claimed = diagnose(state, (case.code,)).findings
            with LiveNamespace(namespace) as live:
                still = demonstrate(live, state, claimed).count(Outcome.SHOWN)
    if still:
        shown += ", and so it is when repaired"
    codes = sorted({f"`{one['code']}` ({one['severity']})" for one in found})
    alarm = any(one["code"] == case.code for one in found)
    return hit, shown, "false alarm" if alarm else "silent", ", ".join(codes)


def _clean() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    yield "an empty namespace", [("", "")]
    yield "Kubernetes (kube-proxy)", [("iptables", KUBERNETES)]
    yield "firewalld", [("nft", FIREWALLD)]
    golden = sorted(GOLDEN.glob("*/expected.v4.rules"))
    yield "netfw's golden policies", [("iptables", path.read_text()) for path in golden]
    for kind in ("docker", "calico", "firehol", "awall"):
        files = sorted(path for path in (RULESETS / kind).rglob("*") if path.is_file())
        texts = [path.read_text(errors="replace") for path in files]
        yield f"{kind} rulesets", [("either", text) for text in texts]


def _load(host: Namespace, family: str, text: str) -> bool:
    if not family:
        return True
    if family == "nft":
        run(["nft", "-f", "-"], namespace=host, stdin=text)
        return True
    names = ("iptables", "ip6tables") if family == "either" else (family,)
    return any(restored(host, name, text) for name in names)


if __name__ == "__main__":
    sys.exit(main())
