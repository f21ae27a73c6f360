"""Broken hosts of ../shared/mark-cases: built by their own scripts, looked at, taken down.

Nothing of them is kept here: a copy of a script with ``keep`` at another place is made in a
temporary folder for the repaired state, or where a case has no such place.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netfw.cli.main import main
from netfw.errors import ExitCode
from netfw.host.live_namespace import LiveNamespace
from netfw.host.observe_connections import read_connections
from netfw.host.wait import wait_until
from tests.data_schema import fitting

CASES = Path(__file__).parents[3] / "shared" / "mark-cases"
_MOST_TRIES = 5


@dataclass(frozen=True)
class MarkCase:
    """A broken host: the namespace where the fault sits, the code that it must get, and words
    of the rule or setting that is to blame. ``broken_at`` is text of the script's line before
    which the fault is there, where the script says it nowhere; ``repaired_at`` that of the last
    line of the repair. None: the script repairs nothing."""

    name: str
    code: str
    guilty: tuple[str, ...]
    namespace: str = "r"
    broken_at: str = ""
    repaired_at: str | None = "# FIX"
    service: int = 0
    """The port of a service that the fault is about; the script does not wait for it."""
    old_mark: int = 0
    """The mark of a connection that the fault is about; the script does not wait for it."""


MARK_CASES = (
    MarkCase("01-unmasked-set-mark-clobbers", "mark-overwritten", ("PREROUTING", "0x1")),
    MarkCase("02-value-outside-mask", "mark-test-never-true", ("FORWARD", "0x30000/0x10000")),
    MarkCase("03-test-before-set", "mark-read-too-early", ("gate", "drop"), repaired_at="\nN\n"),
    MarkCase("05-nat-table-first-packet-only", "mark-in-nat", ("nat", "PREROUTING")),
    MarkCase(
        "06-nft-output-filter-chain-no-reroute",
        "mark-not-rerouted",
        ("inet pbr", "output"),
        repaired_at="\nN\n",
    ),
    MarkCase("07-output-reroute-wrong-source", "rerouted-source", ("mangle", "OUTPUT")),
    MarkCase("09-unmasked-connmark-restore", "mark-restored-whole", ("mangle", "restore-mark")),
    MarkCase("10-rp-filter-needs-src-valid-mark", "rp-filter-ignores-mark", ("src_valid_mark",)),
    MarkCase("12-overlapping-bit-accepts", "mark-of-others-decides", ("KUBE-NWPLCY-TAIL",), "h"),
    MarkCase("14-mark-lost-across-netns", "mark-never-set", ("fwmark", "preference 500")),
    MarkCase("15-tunnel-outer-inherits-mark", "tunnel-keeps-mark", ("vx0",)),
    MarkCase("17-ip-rule-priority", "ip-rule-shadowed", ("preference 40000",)),
    MarkCase("18-legacy-and-nft-both-loaded", "mark-overwritten", ("legacy", "PREROUTING")),
    MarkCase("19-decimal-hex-octal", "digit-twins", ("0x2710", "0x10000")),
    MarkCase(
        "21-old-flows-keep-connmark",
        "stale-connection-marks",
        ("0x2",),
        broken_at="# FIX",
        old_mark=0x2,
    ),
    MarkCase(
        "23-accepted-socket-unmarked",
        "answers-unmarked",
        ("tcp_fwmark_accept",),
        repaired_at="# FIX 1",
        service=8022,
    ),
    MarkCase(
        "25-bridged-traffic-not-marked",
        "bridged-unseen",
        ("FORWARD", "br0"),
        "s",
    ),
    MarkCase("27-early-accept-skips-mark-rule", "mark-rule-unreached", ("fw", "ACCEPT")),
    MarkCase("30-so-mark-eperm", "mark-never-set", ("preference 500",), repaired_at=None),
    MarkCase(
        "32-tools-misreport-the-mark", "mark-overwritten", ("OUTPUT", "0x5"), "h", repaired_at=None
    ),
)


def are_there() -> bool:
    """Whether the scripts are beside this project."""
    return CASES.is_dir()


@contextlib.contextmanager
def built(case: MarkCase, prefix: str, folder: Path, *, repaired: bool) -> Iterator[str]:
    """The namespace of a case as it is broken, or repaired; everything is gone afterwards."""
    script = _script(case, folder, repaired=repaired)
    try:
        _run(script, prefix, folder)
        tries = 1
        while not repaired and not _has_old_connection(case, f"{prefix}{case.namespace}"):
            # on a busy machine the script changes the policy before its client has begun
            if tries == _MOST_TRIES:
                raise RuntimeError(f"{case.name}: no old connection in {tries} tries")
            tries += 1
            _clean(case, prefix)
            _run(script, prefix, folder)
        if repaired and "conntrack -D" in script.read_text() and not shutil.which("conntrack"):
            _forget_connections(f"{prefix}{case.namespace}")
        if case.service:
            _await_service(f"{prefix}{case.namespace}", case.service)
        yield f"{prefix}{case.namespace}"
    finally:
        _clean(case, prefix)


def _clean(case: MarkCase, prefix: str) -> None:
    """Take down whatever the script has left up."""
    subprocess.run(
        [CASES / f"{case.name}.sh", prefix],
        env={**os.environ, "CLEAN": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


def _run(script: Path, prefix: str, folder: Path) -> None:
    """Run a script with KEEP=1; what it leaves running has a file to write to, not a pipe."""
    said = folder / "said"
    with said.open("w") as to:
        running = subprocess.Popen(
            ["bash", str(script), prefix],
            env={**os.environ, "KEEP": "1"},
            stdout=to,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        status = running.wait(60)
    # one of them keeps what its client hears in a file of that name
    Path(f"/tmp/rm21.{running.pid}").unlink(missing_ok=True)
    text = said.read_text()
    if status or "broken state left up" not in text:
        raise RuntimeError(f"{script.name} built no host: {text}")


def _await_service(namespace: str, port: int) -> None:
    def listens() -> bool:
        listed = ["ip", "netns", "exec", namespace, "ss", "-Hltn", f"sport = :{port}"]
        return bool(subprocess.run(listed, capture_output=True, check=True).stdout)

    assert wait_until(listens, 10)


def _has_old_connection(case: MarkCase, namespace: str) -> bool:
    """Whether the connection is there that the fault is about, if it is about one."""
    if not case.old_mark:
        return True
    with LiveNamespace(namespace) as inside:
        return case.old_mark in [one.mark for one in read_connections(inside)]


def _forget_connections(namespace: str) -> None:
    """What ``conntrack -D`` does, where that program is not installed."""
    from pyroute2 import NFCTSocket

    def forget() -> None:
        with NFCTSocket() as conntrack:
            conntrack.flush()

    with LiveNamespace(namespace) as inside:
        inside.call(forget)


def _script(case: MarkCase, folder: Path, *, repaired: bool) -> Path:
    """The script of a case, or a copy of it that stops behind the repair."""
    original = CASES / f"{case.name}.sh"
    if not repaired and not case.broken_at:
        return original
    text = original.read_text().replace('$(dirname "$0")', str(CASES))
    lines = text.splitlines()
    if repaired:
        assert case.repaired_at is not None
        text = _kept_behind(lines, case.repaired_at)
    else:
        at = next(n for n, line in enumerate(lines) if case.broken_at in line)
        text = "\n".join([*lines[:at], "keep", *lines[at:]])
    copy = folder / original.name
    copy.write_text(text + "\n")
    return copy


def _kept_behind(lines: list[str], mark: str) -> str:
    """The script without its ``keep``, and with one behind the last line of its repair.

    A repair is a line with a mark, or a here document that ends with a line ``N``.
    """
    was = lines.index("keep") if "keep" in lines else len(lines)
    wanted = mark.strip("\n")
    rest = [*lines[:was], *lines[was + 1 :]]
    if wanted == "N":
        at = max(n for n, line in enumerate(rest) if line == "N")
    else:
        at = max(n for n, line in enumerate(rest) if wanted in line)
    return "\n".join([*rest[: at + 1], "keep", *rest[at + 1 :]])


def diagnosis(namespace: str, *options: str) -> dict[str, Any]:
    """What ``netfw doctor --json`` says of a namespace; in this process, since an interpreter and
    its modules cost more than the diagnosis."""
    said, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
        status = main(["doctor", "--netns", namespace, "--json", *options])
    if status not in (ExitCode.OK, ExitCode.DIFFERENCES):
        raise RuntimeError(f"netfw doctor: {errors.getvalue()}")
    found: dict[str, Any] = fitting("doctor", json.loads(said.getvalue()))
    return found


def findings_of(case: MarkCase, found: dict[str, Any]) -> list[dict[str, Any]]:
    """The findings of the expected code that name what is to blame."""
    return [
        one
        for one in found["findings"]
        if one["code"] == case.code
        and all(re.search(re.escape(word), json.dumps(one)) for word in case.guilty)
    ]
