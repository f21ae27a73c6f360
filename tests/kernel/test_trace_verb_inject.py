"""``netfw trace --inject``, who else writes marks, and what is written for programs."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyroute2 import IPRoute
from scapy.utils import RawPcapNgReader, rdpcap

from netfw.cli.main import main
from netfw.compiler.pipeline import compile_policy
from netfw.errors import CapabilityError, UsageError
from netfw.host.injection import Injection
from netfw.host.live_namespace import LiveNamespace
from netfw.host.run import run
from netfw.ir.names import Backend, Family
from netfw.policy.read import load as read_policy
from netfw.render.restore import render_ruleset
from netfw.traverse.notation import parse_packet
from netfw.traverse.observed import ObservedEnd, OutsideChange
from tests.data_schema import fitting
from tests.kernel.following import follow, load
from tests.kernel.private_mounts import needs_private_mounts
from tests.kernel.router import Router, forwarded

pytestmark = pytest.mark.kernel

each = pytest.mark.parametrize("family", Family, ids=str)
LINE = {
    Family.IPV4: ("udp 10.1.0.2 -> 10.2.0.2:60", "udp 10.2.0.2:60"),
    Family.IPV6: ("udp fd01::2 -> [fd02::2]:60", "udp [fd02::2]:60"),
}
MARKS = """\
*mangle
-A PREROUTING -p udp -j MARK --set-xmark 0x10000/0xf0000
-A OUTPUT -p udp -j MARK --set-xmark 0x20000/0xf0000
COMMIT
"""
_PROG_LOAD, _SCHED_CLS, _DIRECT_ACTION = 5, 3, 1
QUEUE_READER = """
import socket, struct
def attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\\0" * (-len(data) % 4)
link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
link.bind((0, 0))
def send(kind, attributes):
    body = struct.pack(">BBH", 0, 0, 3) + attributes
    link.send(struct.pack("=IHHII", 16 + len(body), 3 << 8 | kind, 1, 0, 0) + body)
send(2, attribute(1, struct.pack(">BBH", 1, 0, 0)))
send(2, attribute(2, struct.pack(">IB", 0xFFFF, 2)))
print("ready", flush=True)
while True:
    data = link.recv(65536)
    if struct.unpack_from("=H", data, 4)[0] == 3 << 8:
        verdict = struct.pack(">I", 1) + data[24:28]
        send(1, attribute(2, verdict) + attribute(3, struct.pack(">I", 0x55)))
"""


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as made:
        yield made


@contextmanager
def two_hosts() -> Iterator[str]:
    """A host with a cable ``lan`` to a namespace with a name; the host's own name."""
    host, far = f"tvi{os.getpid()}-h", f"tvi{os.getpid()}-f"
    try:
        for name in (host, far):
            run(["ip", "netns", "add", name])
            run(["ip", "-n", name, "link", "set", "lo", "up"])
        cable = f"link add lan netns {host} type veth peer name eth0 netns {far}"
        run(["ip", *cable.split()])
        for name, link, end in ((host, "lan", 1), (far, "eth0", 2)):
            run(["ip", "-n", name, "link", "set", link, "up"])
            run(["ip", "-n", name, "addr", "add", f"10.8.0.{end}/24", "dev", link])
            address = f"fd08::{end}/64"
            run(["ip", "-n", name, "addr", "add", address, "dev", link, "nodad"])
        run(["ip", "-n", host, "link", "add", "dull", "type", "bridge"])
        run(["ip", "-n", host, "link", "set", "dull", "up"])
        yield host
    finally:
        for name in (host, far):
            run(["ip", "netns", "del", name], check=False)


@needs_private_mounts
@each
def test_packet_is_sent_in_by_the_far_end_of_a_cable(
    family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    source, own = ("10.8.0.2", "10.8.0.1") if family is Family.IPV4 else ("fd08::2", "[fd08::1]")
    with two_hosts() as host:
        rules = "*filter\n-A INPUT -p udp --dport 53 -j DROP\nCOMMIT\n"
        program = "iptables-restore" if family is Family.IPV4 else "ip6tables-restore"
        run(["ip", "netns", "exec", host, program], stdin=rules)
        words = ["trace", "--inject", f"udp {source} -> {own}:53 in lan", "--netns", host]
        code = main([*words, "--json"])
    found = fitting("trace", json.loads(capsys.readouterr().out))
    assert code == 0
    (packet,) = found["packets"]
    assert (packet["in"], packet["end"]) == ("lan", "dropped by a rule")
    assert packet["timeline"][-1]["text"] == "-p udp -m udp --dport 53 -j DROP"
    assert packet["prediction"] == "as seen"


@needs_private_mounts
def test_what_cannot_be_sent_is_one_clear_line() -> None:
    with two_hosts() as host, LiveNamespace(host) as live:
        for line, problem in (
            ("udp 10.8.0.2 -> 10.8.0.1:53 in dull", "its other end is not on this machine"),
            ("udp 10.8.0.2 -> 10.8.0.1:53 in wan", "this host has no interface wan"),
            ("udp 10.8.0.1 -> 10.8.0.1:53 in lo", "was sent by this host"),
            ("udp 10.8.0.2 -> 10.8.0.1:53 in lan mark 5", "no mark before it comes in"),
            ("udp 10.8.0.1 -> 10.8.0.2:53 state established", "what connection tracking says"),
            ("udp 192.0.2.1:53", "no route to 192.0.2.1"),
        ):
            with pytest.raises((UsageError, CapabilityError), match=problem):
                Injection(live, parse_packet(line))


@each
@pytest.mark.parametrize("backend", Backend, ids=str)
def test_packet_of_this_host_is_sent_and_followed(
    router: Router, backend: Backend, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    load(router, backend, family, MARKS)
    line = f"{LINE[family][1]} mark 0x7"
    assert main(["trace", "--inject", line, "--netns", router.box.path]) == 0
    out = capsys.readouterr().out
    assert "it begins with mark 0x7, which no rule wrote" in out
    assert f"{backend} mangle OUTPUT rule 1: continue, mark 0x7" in out
    assert "0x20007" in out
    assert "sent by right" in out
    assert "prediction: as seen" in out


POLICY = """\
version: 1
endpoints:
  uplink: {host: right}
policies:
  - name: public
    at: uplink
    egress:
      - allow: udp/60
"""


@each
def test_rules_of_netfw_lead_to_the_lines_of_the_policy(
    router: Router, family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    compiled = compile_policy(read_policy(POLICY, str(file)))
    load(router, Backend.NFT, family, render_ruleset(compiled.rulesets[family]))
    words = ["--policy", str(file), "--netns", router.box.path]
    assert main(["trace", "--inject", LINE[family][1], *words]) == 0
    out = capsys.readouterr().out
    assert f"{file}:8:9 public/allow-" in out
    assert "sent by right" in out
    assert "prediction: as seen" in out


@each
def test_pcapng_holds_packets_with_their_timelines(
    router: Router, family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(router, Backend.NFT, family, MARKS)
    file = tmp_path / "trace.pcapng"
    words = ["--netns", router.box.path, "--pcapng", str(file)]
    assert main(["trace", "--inject", LINE[family][1], *words]) == 0
    capsys.readouterr()
    (packet,) = rdpcap(str(file))
    assert packet.dport == 60
    with RawPcapNgReader(str(file)) as reader:
        (_, about) = next(iter(reader))
    comments = getattr(about, "comments", None) or [about.comment]
    assert b"nft mangle OUTPUT rule 1: continue" in comments[0]


def test_file_that_cannot_be_written_is_one_clear_line(
    router: Router, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["trace", "udp", "--netns", router.box.path, "--pcapng", "/nowhere/trace.pcapng"]
    assert main(words) == 4
    assert "/nowhere/trace.pcapng: cannot be written" in capsys.readouterr().err


@each
def test_process_behind_a_queue_is_named_as_writer(router: Router, family: Family) -> None:
    text = "*mangle\n-A PREROUTING -p udp -j NFQUEUE --queue-num 3\nCOMMIT\n"
    load(router, Backend.NFT, family, text)
    reader = subprocess.Popen(
        ["nsenter", f"--net={router.box.path}", sys.executable, "-c", QUEUE_READER],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        (packet,) = follow(router, [forwarded(family)])
    finally:
        reader.kill()
        reader.communicate()
    (change,) = [entry for entry in packet.entries if isinstance(entry, OutsideChange)]
    assert (change.mark_before, change.mark_after) == (0, 0x55)
    assert "the process behind NFQUEUE" in change.writers[0]
    assert "queue 3: python" in change.writers[0]
    assert packet.end is ObservedEnd.SENT


def mark_by_ebpf(router: Router, interface: str, mark: int) -> None:
    """Let a program of tc give every packet that comes in a mark; skips where there is no eBPF."""
    instructions = struct.pack(
        "<BBhiBBhiBBhiBBhi",
        *(0xB7, 0x02, 0, mark),  # r2 = mark
        *(0x63, 0x21, 8, 0),  # *(u32 *)(r1 + 8) = r2, which is __sk_buff's mark
        *(0xB7, 0x00, 0, 0),  # r0 = TC_ACT_OK
        *(0x95, 0x00, 0, 0),  # exit
    )
    code, licence = (ctypes.create_string_buffer(data) for data in (instructions, b"GPL"))
    attributes = struct.pack(
        "=IIQQIIQII",
        *(_SCHED_CLS, len(instructions) // 8, ctypes.addressof(code), ctypes.addressof(licence)),
        *(0, 0, 0, 0, 0),
    )
    buffer = ctypes.create_string_buffer(attributes, 128)
    library = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 321, "aarch64": 280}.get(platform.machine(), -1)
    program = library.syscall(number, _PROG_LOAD, ctypes.byref(buffer), 128)
    if program < 0:
        pytest.skip(f"no eBPF here: {os.strerror(ctypes.get_errno())}")

    def attach() -> None:
        with IPRoute() as link:
            index = socket.if_nametoindex(interface)
            link.tc("add", "clsact", index)
            link.tc(
                "add-filter",
                "bpf",
                index,
                parent=0xFFFFFFF2,
                fd=program,
                name="mark",
                flags=_DIRECT_ACTION,
                prio=1,
            )

    router.box.call(attach)
    os.close(program)


@each
def test_tc_filter_is_named_where_a_packet_comes_with_a_mark(
    router: Router, family: Family
) -> None:
    mark_by_ebpf(router, "left", 68)
    (packet,) = follow(router, [forwarded(family)])
    (change,) = [entry for entry in packet.entries if isinstance(entry, OutsideChange)]
    assert (change.mark_before, change.mark_after, change.between) == (0, 68, "")
    assert change.writers[0].startswith("a tc filter or its eBPF at left")


def test_translation_is_told(router: Router) -> None:
    text = "*nat\n-A PREROUTING -p udp --dport 60 -j DNAT --to 10.2.0.9:61\nCOMMIT\n"
    load(router, Backend.NFT, Family.IPV4, text)
    (packet,) = follow(router, [forwarded(Family.IPV4, 60)])
    assert packet.translated == "udp 10.1.0.2:40000 -> 10.2.0.9:61"
    assert packet.prediction == "as seen"


def test_everything_is_warned_of(router: Router, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "any", "--for", "1s", "--netns", router.box.path]) == 0
    assert "warning: this filter means every packet; at most 100 a second" in (
        capsys.readouterr().err
    )


def test_json_has_its_schema_and_what_was_not_followed(
    router: Router, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["trace", "tcp", "--for", "1s", "--netns", router.box.path, "--json"]
    assert main(words) == 0
    found = fitting("trace", json.loads(capsys.readouterr().out))
    assert found["schema"] == 1
    assert (found["packets"], found["matched"], found["lost"]) == ([], 0, None)
