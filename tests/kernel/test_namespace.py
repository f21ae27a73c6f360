"""Namespaces, cables and programs inside them, on the running kernel."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from netfw.errors import CapabilityError, HostError, NetfwBug
from netfw.host.capability import probe_backend
from netfw.host.iptables import restore, save
from netfw.host.namespace import Namespace
from netfw.host.network import Network
from netfw.host.run import run
from netfw.host.wait import wait_until
from netfw.ir.names import Backend, Family, TableName
from tests.kernel.router import Router, all_tables

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parent.parent.parent


def interfaces() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def test_a_call_runs_inside_and_we_stay_outside():
    before = os.stat("/proc/self/ns/net").st_ino
    with Namespace() as namespace:
        assert namespace.call(interfaces) == ["lo"]
        assert os.stat("/proc/self/ns/net").st_ino == before
        assert os.stat(namespace.path).st_ino != before


def test_a_socket_that_a_call_hands_out_stays_inside():
    with Namespace() as namespace:
        inside = namespace.call(socket.socket)
        # the interface is down there, so not even 127.0.0.1 can be reached
        with inside, pytest.raises(OSError, match="unreachable"):
            inside.connect(("127.0.0.1", 1))


def test_what_a_call_raises_is_raised_here():
    def fail() -> None:
        raise ValueError("from inside")

    with Namespace() as namespace, pytest.raises(ValueError, match="from inside"):
        namespace.call(fail)


def test_a_closed_namespace_is_not_entered():
    namespace = Namespace()
    namespace.close()
    with pytest.raises(NetfwBug):
        namespace.call(interfaces)


def test_the_machines_own_namespace_is_not_entered():
    with Namespace() as namespace:
        os.dup2(os.open("/proc/self/ns/net", os.O_RDONLY), namespace.descriptor)
        with pytest.raises(NetfwBug, match="machine's own"):
            namespace.call(interfaces)


CHILD = """
import os, sys, threading
from types import SimpleNamespace
from tests.kernel.router import Router, all_tables
from netfw.host.iptables import restore
from netfw.host.network import Network
from netfw.ir.names import Backend, Family

outside = SimpleNamespace(namespace=SimpleNamespace(descriptor=os.open(sys.argv[1], os.O_RDONLY)))
with Router() as router, Network(router.box) as network:
    network.add_cable("tell", "02:00:00:00:02:01", outside, "tale", "02:00:00:00:02:02")
    text = all_tables(filter="-A INPUT -j DROP\\n" * 5000)
    while True:
        restore(router.box, Backend.LEGACY, Family.IPV4, text)
        restore(router.box, Backend.NFT, Family.IPV4, text)
        print("loaded", flush=True)
"""


def test_namespaces_are_gone_when_their_process_is_killed():
    """The end of a cable goes when the namespace of its other end goes."""
    with Namespace("watch") as watch:
        command = [sys.executable, "-c", CHILD, watch.path]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "loaded\n"
            assert "tale" in watch.call(interfaces)
            child.send_signal(signal.SIGKILL)
        assert wait_until(lambda: "tale" not in watch.call(interfaces), 10)


def test_a_router_says_nothing_by_itself_but_what_groups_it_listens_to():
    heard: list[tuple[Family, bytes]] = []

    def listen() -> bool:
        heard.extend(router.left.arrived() + router.right.arrived())
        return False

    with Router() as router:
        wait_until(listen, 0.3)
    unspecified, all_listeners = bytes(16), bytes.fromhex("ff02") + bytes(13) + b"\x16"
    for family, packet in heard:
        assert family is Family.IPV6
        assert (packet[8:24], packet[24:40]) == (unspecified, all_listeners)


def test_refusals_of_the_kernel_name_what_was_wanted():
    with Namespace("box") as namespace, Network(namespace) as network:
        network.add_address("lo", Family.IPV4, 1, 24)
        with pytest.raises(HostError, match=r"box: address 0\.0\.0\.1/24 of lo") as refused:
            network.add_address("lo", Family.IPV4, 1, 24)
        assert "exists" in str(refused.value)
        with pytest.raises(HostError, match=r"eth7: .* has no such interface"):
            network.bring_up("eth7")


def test_a_missing_program_is_named_with_its_package():
    for namespace in (None, Namespace()):
        with pytest.raises(CapabilityError) as refused:
            run(["ip9tables-nft-save"], namespace=namespace)
        assert str(refused.value) == (
            "ip9tables-nft-save: this program is not installed\n"
            "  hint: install the package iptables"
        )


def test_a_failing_program_is_told_with_its_command_line():
    with pytest.raises(HostError, match=r"sh -c 'echo no >&2; exit 3': exit status 3: no"):
        run(["sh", "-c", "echo no >&2; exit 3"])


def test_a_program_that_hangs_is_ended():
    with pytest.raises(HostError, match=r"still running after 0\.1 seconds"):
        run(["sleep", "10"], timeout=0.1)


@pytest.mark.parametrize("backend", Backend, ids=str)
@pytest.mark.parametrize("family", Family, ids=str)
def test_this_machine_can_load_every_table_and_trace(backend, family):
    capability = probe_backend(backend, family)
    assert capability.can_trace, capability
    assert TableName.FILTER not in capability.missing_tables


@pytest.mark.parametrize("backend", Backend, ids=str)
def test_what_is_loaded_can_be_saved(backend):
    with Namespace() as namespace:
        restore(namespace, backend, Family.IPV6, all_tables(filter="-A INPUT -s fd00::/8 -j DROP"))
        assert "-A INPUT -s fd00::/8 -j DROP\n" in save(namespace, backend, Family.IPV6)


@pytest.mark.parametrize("backend", Backend, ids=str)
def test_a_refused_line_is_shown(backend):
    text = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 70000 -j DROP\nCOMMIT\n"
    with Namespace() as namespace, pytest.raises(HostError) as refused:
        restore(namespace, backend, Family.IPV4, text)
    fault = str(refused.value)
    assert "invalid port/service `70000' specified" in fault
    assert "line 3: -A INPUT -p tcp --dport 70000 -j DROP" in fault
    assert "--help" not in fault


@pytest.mark.parametrize("rule", ["ct state new accept", "ip saddr { 192.0.2.1, 192.0.2.9 } drop"])
def test_rules_that_iptables_cannot_show_are_an_error(rule):
    with Namespace() as namespace:
        run(["nft", "add table ip filter"], namespace=namespace)
        run(
            ["nft", "add chain ip filter INPUT { type filter hook input priority 0; }"],
            namespace=namespace,
        )
        run(["nft", f"add rule ip filter INPUT {rule}"], namespace=namespace)
        with pytest.raises(HostError, match="cannot show"):
            save(namespace, Backend.NFT, Family.IPV4)


def test_loads_in_two_namespaces_do_not_wait_for_each_other():
    """Each has its own lock: while one is held, the other is free."""
    import fcntl

    with Namespace() as one, Namespace() as other:
        with open(one.lock_path, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = threading.Event()

            def load() -> None:
                restore(one, Backend.LEGACY, Family.IPV4, all_tables())
                done.set()

            waiting = threading.Thread(target=load)
            waiting.start()
            restore(other, Backend.LEGACY, Family.IPV4, all_tables())
            assert not done.is_set()
        waiting.join()
        assert done.is_set()
