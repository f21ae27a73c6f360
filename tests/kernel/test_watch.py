"""A watch tells what somebody changes, mends it if wished, and leaves alone what others decide."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from netfw.ir.names import Backend, Family
from tests.kernel.changed_host import POLICY, ChangedHost
from tests.kernel.test_life_of_a_change import FAIL2BAN, MORE

pytestmark = pytest.mark.kernel
STEERED = (
    POLICY + "steer:\n  - {from: [10.0.0.0/25], table: 200, via: {out: wan, gateway: 192.0.2.1}}\n"
)
_PATIENCE = 60.0


class Watched:
    """A running ``netfw watch --json``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._reports: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._reports.put(json.loads(line))

    def next(self, event: str) -> dict[str, Any]:
        """The next report of this kind; others before it are passed over."""
        until = time.monotonic() + _PATIENCE
        seen = []
        while True:
            try:
                found = self._reports.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no '{event}', but {seen}") from None
            if found["event"] == event:
                return found
            seen.append(found)

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing is told for this long."""
        try:
            self._reports.get(timeout=seconds)
        except queue.Empty:
            return True
        return False


@contextmanager
def watching(host: ChangedHost, *words: str) -> Iterator[Watched]:
    with subprocess.Popen(
        host.argv("watch", "--json", *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=host.environment,
        cwd=host.folder,
    ) as process:
        watched = Watched(process)
        try:
            watched.next("watching")
            yield watched
        finally:
            if process.poll() is None:
                process.terminate()
                assert process.wait(_PATIENCE) == 0


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ChangedHost]:
    with ChangedHost(Backend.NFT, tmp_path) as made:
        yield made


def processor_time(process: subprocess.Popen[str]) -> int:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_what_somebody_changes_is_told_with_the_program_that_did_it(host: ChangedHost) -> None:
    host.apply(STEERED)
    with watching(host) as watched:
        host.sh("iptables-nft -A NETFW-IN-wan -p udp -j ACCEPT")
        told = watched.next("drift")
        (line,) = told["drift"]
        assert line["missing"] is False
        assert line["place"] == "filter NETFW-IN-wan"
        assert told["by"][0].startswith("iptables")
        host.sh("iptables-nft -D NETFW-IN-wan -p udp -j ACCEPT")
        watched.next("well")
        rule = host.sh("ip rule | grep 'lookup 200' | head -1").split(":")[0]
        host.sh(f"ip rule del preference {rule}")
        assert {one["place"] for one in watched.next("drift")["drift"]} == {"routing"}


def test_a_watch_that_waits_takes_no_time_of_the_processor(host: ChangedHost) -> None:
    host.apply(POLICY)
    with watching(host) as watched:
        assert watched.is_silent(1)
        before = processor_time(watched.process)
        # neither other tables of nf_tables nor other routes wake it
        host.sh("nft add table inet other; nft add chain inet other mine")
        host.sh("ip route add 198.51.100.0/24 via 192.0.2.1; ip route del 198.51.100.0/24")
        assert watched.is_silent(3)
        assert processor_time(watched.process) - before <= 2


def test_what_others_do_beside_netfw_is_no_drift(host: ChangedHost) -> None:
    host.apply(POLICY)
    with watching(host, "--repair") as watched:
        host.load(Backend.NFT, FAIL2BAN, families=[Family.IPV4])
        assert watched.is_silent(3)


def test_a_repair_brings_back_rules_sets_and_routing(host: ChangedHost) -> None:
    host.apply(STEERED)
    good = host.saved()
    with watching(host, "--repair") as watched:
        host.sh("iptables-nft -F NETFW-IN-wan; ip6tables-nft -F NETFW-INPUT")
        watched.next("repaired")
        host.ip("route flush table 200")
        watched.next("repaired")
        assert host.saved() == good
    assert host.status()["well"] is True


def test_a_change_that_waits_is_not_fought(host: ChangedHost) -> None:
    host.apply(POLICY)
    with watching(host, "--repair") as watched:
        host.apply(MORE, "--confirm", "120s")
        held = host.saved()
        assert "waits to be confirmed" in watched.next("under_way")["text"]
        host.sh("iptables-nft -A NETFW-IN-wan -p udp -j ACCEPT")
        assert watched.next("not_repaired")["text"] == "a change is under way"
        host.netfw("confirm")
        watched.next("repaired")
        assert host.saved() == held


def test_who_repairs_it_again_and_again_is_named_and_left_to_it(host: ChangedHost) -> None:
    host.apply(POLICY)
    with watching(host, "--repair") as watched:
        for _ in range(5):
            host.sh("iptables-nft -A NETFW-IN-wan -p udp -j ACCEPT")
            watched.next("repaired")
        host.sh("iptables-nft -A NETFW-IN-wan -p udp -j ACCEPT")
        assert watched.process.wait(_PATIENCE) == 4
        assert watched.process.stderr is not None
        said = watched.process.stderr.read()
        assert "repaired 5 times within 60 seconds" in said
        assert "rules were changed last by iptables" in said


def test_what_the_kernel_does_not_tell_is_looked_at_once_in_a_while(tmp_path: Path) -> None:
    with ChangedHost(Backend.LEGACY, tmp_path) as host:
        host.apply(POLICY)
        with watching(host, "--every", "2s") as watched:
            host.sh("iptables-legacy -A NETFW-IN-wan -p udp -j ACCEPT")
            assert watched.next("drift")["by"] == []


def test_a_route_comes_back_with_its_interface(host: ChangedHost) -> None:
    """What waits for an interface is loaded when that is there, without a question."""
    host.apply(STEERED)
    with watching(host, "--repair") as watched:
        host.ip("link set eth0 down")
        assert "not possible yet: routing" in watched.next("not_repaired")["text"]
        host.ip("link set eth0 up")
        watched.next("repaired")
        assert "192.0.2.1 dev eth0" in host.sh("ip route show table 200")


def test_what_cannot_be_looked_at_now_is_looked_at_later(host: ChangedHost) -> None:
    host.apply(POLICY)
    with watching(host, "--every", "2s") as watched:
        host.sh("iptables-nft -A NETFW-IN-wan -p udp -j ACCEPT")
        watched.next("drift")
        confirmed = host.state / "confirmed.json"
        text = confirmed.read_text()
        confirmed.write_text("{}")
        host.sh("iptables-nft -D NETFW-IN-wan -p udp -j ACCEPT")
        assert str(confirmed) in watched.next("unseen")["text"]
        confirmed.write_text(text)
        watched.next("well")
