"""Benchmarks that are ended before they have measured everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netfw.host.wait import wait_until

ROOT = Path(__file__).parents[2]
A_PART = [sys.executable, "-m", "tests.bench.growth"]
BEGINNING = "from tests.bench.child import run, unwind_when_ended\nunwind_when_ended()\n"
OF_PARTS = f"{BEGINNING}run({A_PART!r})\n"
THAT_SPENDS = f"""\
{BEGINNING}
from tempfile import TemporaryDirectory
from tests.bench.spent import spend
with TemporaryDirectory() as folder:
    spend(["sleep", "600"], f"{{folder}}/printed")
"""
BENCHMARKS = {
    "a part": A_PART,
    "all parts": [sys.executable, "-c", OF_PARTS],
    "one that spends": [sys.executable, "-c", THAT_SPENDS],
}


def _with_word_in_environment(word: str) -> list[str]:
    """The processes, by number and name, that have inherited something from us."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if word.encode() in (process / "environ").read_bytes():
                    found.append(f"{process.name} {(process / 'comm').read_text().strip()}")
            except OSError:
                continue
    return found


@pytest.mark.parametrize("argv", BENCHMARKS.values(), ids=list(BENCHMARKS))
def test_one_that_is_ended_leaves_no_folder_and_no_process(tmp_path: Path, argv: list[str]):
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as bench:
        assert wait_until(lambda: any(tmp_path.glob("*/*")), 60)
        bench.send_signal(signal.SIGTERM)
        assert bench.wait() == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
    assert wait_until(lambda: not _with_word_in_environment(str(tmp_path)), 10)


FORKED = f"""\
{BEGINNING}
import os, signal, time
ready, say = os.pipe()
try:
    child = os.fork()
    if child == 0:
        os.write(say, b"x")
        time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
finally:
    print("unwound", flush=True)
"""


def test_a_process_that_was_forked_off_is_ended_without_unwinding_what_is_ours():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{128 + signal.SIGTERM}\nunwound\n"
