"""What doctor reads around a namespace: other namespaces behind veth links, systemd-networkd."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netfw.doctor.diagnosis import diagnose
from netfw.doctor.host_state import HostState
from netfw.host.iptables import restore
from netfw.host.live_namespace import LiveNamespace
from netfw.host.namespace import Namespace
from netfw.host.observe import read_state
from netfw.host.observe_services import read_marked_services, read_networkd
from netfw.host.run import run
from netfw.host.wait import wait_until
from netfw.ir.names import Backend, Family
from tests.kernel.private_mounts import needs_private_mounts

pytestmark = pytest.mark.kernel
ASKS = """*mangle
:FORWARD ACCEPT [0:0]
-A FORWARD -m mark --mark 0x40/0xf0 -j ACCEPT
COMMIT
"""
SETS = """*mangle
:OUTPUT ACCEPT [0:0]
-A OUTPUT -j MARK --set-xmark 0x40/0xf0
COMMIT
"""


@pytest.fixture
def box() -> Iterator[Namespace]:
    with Namespace("near") as made:
        yield made


@pytest.fixture
def other() -> Iterator[Namespace]:
    """A namespace that a process lives in, as in that of a container."""
    with Namespace("far") as made:
        running = made.call(lambda: subprocess.Popen(["sleep", "60"]))
        try:
            yield made
        finally:
            running.kill()
            running.wait(5)


def _read(box: Namespace) -> HostState:
    with LiveNamespace(box.path) as live:
        return read_state(live)


def _join(box: Namespace, other: Namespace) -> None:
    add = ["ip", "link", "add", "cont0", "type", "veth", "peer", "name", "eth0"]
    run([*add, "netns", other.path], namespace=box)


@pytest.mark.parametrize("backend", Backend, ids=str)
@pytest.mark.parametrize("family", Family, ids=str)
def test_a_mark_that_a_container_sets_is_found_behind_the_link(
    box: Namespace, other: Namespace, backend: Backend, family: Family
) -> None:
    restore(box, backend, family, ASKS)
    restore(other, backend, family, SETS)
    assert not diagnose(_read(box), ("mark-set-elsewhere",)).findings
    _join(box, other)
    state = _read(box)
    (one,) = diagnose(state, ("mark-set-elsewhere",)).findings
    assert "cont0" in one.problem
    assert "OUTPUT" in str(one.evidence[1])
    assert not [each for each in state.not_read if "namespace" in each.what]


def test_a_native_rule_of_a_container_is_found_as_well(box: Namespace, other: Namespace) -> None:
    restore(box, Backend.NFT, Family.IPV4, ASKS)
    chain = "chain c { type route hook output priority -150; meta mark set 0x40\n}"
    rules = f"table inet t {{ {chain}\n}}\n"
    run(["nft", "-f", "-"], namespace=other, stdin=rules)
    _join(box, other)
    assert diagnose(_read(box), ("mark-set-elsewhere",)).findings


def test_other_namespaces_are_not_looked_into_where_no_mark_is_missing(
    box: Namespace, other: Namespace
) -> None:
    restore(other, Backend.NFT, Family.IPV4, SETS)
    _join(box, other)
    assert not _read(box).neighbours


def test_networkd_is_seen_in_the_namespace_where_it_runs(
    box: Namespace, other: Namespace, tmp_path: Path
) -> None:
    program = tmp_path / "systemd-networkd"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    with LiveNamespace(box.path) as live, LiveNamespace(other.path) as elsewhere:
        assert read_networkd(live, tmp_path) is None
        running = box.call(lambda: subprocess.Popen([program, "60"]))
        try:
            assert wait_until(lambda: read_networkd(live, tmp_path) is not None, 5.0)
            found = read_networkd(live, tmp_path)
            assert found is not None
            assert found.is_running
            assert found.manages_foreign_rules
            assert read_networkd(elsewhere, tmp_path) is None
            parts = tmp_path / "etc/systemd/networkd.conf.d"
            parts.mkdir(parents=True)
            (parts / "a.conf").write_text("[Network]\nManageForeignRoutingPolicyRules=no\n")
            found = read_networkd(live, tmp_path)
            assert found is not None
            assert not found.manages_foreign_rules
            assert found.files == (str(parts / "a.conf"),)
        finally:
            running.kill()
            running.wait(5)


def test_networkd_takes_away_rules_by_mark_of_ip_rule(box: Namespace, tmp_path: Path) -> None:
    program = tmp_path / "systemd-networkd"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    run(["ip", "rule", "add", "fwmark", "7", "lookup", "100"], namespace=box)
    run(["ip", "rule", "add", "fwmark", "8", "lookup", "100", "protocol", "static"], namespace=box)
    running = box.call(lambda: subprocess.Popen([program, "60"]))
    try:
        assert wait_until(lambda: _read(box).networkd is not None, 5.0)
        state = _read(box)
    finally:
        running.kill()
        running.wait(5)
    if state.networkd is not None and not state.networkd.manages_foreign_rules:
        pytest.skip("this host's networkd is configured to leave foreign rules alone")
    (one,) = diagnose(state, ("networkd-removes-rules",)).findings
    assert len(one.evidence) == 1
    assert "fwmark 0x7" in one.evidence[0].text


def test_a_kernel_without_ipvs_has_no_services_of_it(box: Namespace) -> None:
    with LiveNamespace(box.path) as live:
        assert read_marked_services(live) == ()


def test_this_kernel_has_what_its_rules_need(box: Namespace) -> None:
    """Rules with MARK and CONNMARK load, so none of their options is missing."""
    restore(box, Backend.NFT, Family.IPV4, SETS)
    assert "NETFILTER_XT_MARK" not in _read(box).kernel_lacks


@needs_private_mounts
@pytest.mark.parametrize("is_locked", [True, False])
def test_whether_sysctls_can_be_written_is_what_a_process_there_sees(*, is_locked: bool) -> None:
    lock = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys" * is_locked
    script = f"{lock or 'true'} && echo ready && exec sleep 60"
    argv = ["unshare", "--net", "--mount", "sh", "-c", script]
    running = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        with LiveNamespace(str(running.pid)) as live:
            assert read_state(live).settings_are_read_only is is_locked
    finally:
        running.kill()
        running.communicate()
