"""Whoever applies a policy at a terminal is asked whether they are still connected."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netfw.ir.names import Backend
from tests.kernel.changed_host import POLICY, ChangedHost

pytestmark = pytest.mark.kernel
MORE = POLICY.replace("[http, https]", "[http, https, smtp]")
CONTROL_C = b"\x03"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ChangedHost]:
    with ChangedHost(Backend.NFT, tmp_path) as made:
        made.apply(POLICY)
        yield made


def apply_at_terminal(host: ChangedHost, answer: bytes, *words: str) -> tuple[int, str]:
    """Apply at a terminal of its own, and answer the question; status and what was printed."""
    command = host.argv("apply", host.write_policy(MORE), "--no-rehearse", *words)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=host.environment,
        cwd=host.folder,
    )
    os.close(theirs)
    said = b""
    try:
        while True:
            said += os.read(ours, 4096)
            if said.endswith(b"to keep it: ") and answer:
                os.write(ours, answer)
                answer = b""
    except OSError:
        pass  # nobody holds the other end any longer
    finally:
        os.close(ours)
    return process.wait(30), said.decode()


def test_who_says_yes_keeps_the_change(host: ChangedHost) -> None:
    status, said = apply_at_terminal(host, b"yes\n")
    assert status == 0, said
    assert "still connected? Type yes within 60 seconds" in said
    assert "change 2 is kept" in said
    assert host.status()["change"]["number"] == 2


@pytest.mark.parametrize("answer", [b"no\n", CONTROL_C], ids=["no", "control-c"])
def test_who_says_anything_else_has_it_undone_at_once(host: ChangedHost, answer: bytes) -> None:
    before = host.saved()
    status, said = apply_at_terminal(host, answer)
    assert status == 5, said
    assert "change 2 is undone" in said
    assert host.saved() == before


def test_who_says_nothing_has_it_undone_in_the_end(host: ChangedHost) -> None:
    before = host.saved()
    status, said = apply_at_terminal(host, b"", "--confirm", "2s")
    assert status == 5, said
    assert host.saved() == before


def test_who_does_not_want_to_be_asked_is_not(host: ChangedHost) -> None:
    status, said = apply_at_terminal(host, b"", "--yes")
    assert status == 0
    assert "still connected" not in said
