"""What doctor reads of a live namespace: each place where a mark is written or read is found."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from netfw.cli.main import main
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import Stage, System
from netfw.errors import ExitCode
from netfw.host.iptables import restore
from netfw.host.live_namespace import LiveNamespace
from netfw.host.namespace import Namespace
from netfw.host.netlink import ACK, attribute, open_netfilter, request
from netfw.host.observe import read_state
from netfw.host.run import run
from netfw.ir.names import Backend, Family
from tests.data_schema import fitting

pytestmark = pytest.mark.kernel

SO_MARK = 36
each_backend = pytest.mark.parametrize("backend", Backend, ids=str)
each_family = pytest.mark.parametrize("family", Family, ids=str)
CLOBBERED = """\
*mangle
:PREROUTING ACCEPT [0:0]
:steer - [0:0]
-A PREROUTING -i lan -j MARK --set-xmark 0x10000/0xf0000
-A PREROUTING -p tcp -j steer
-A steer -j MARK --set-xmark 0x1/0xffffffff
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -m mark --mark 0x10000/0xf0000 -j ACCEPT
COMMIT
"""


@pytest.fixture
def box() -> Iterator[Namespace]:
    with Namespace("doctor") as made:
        run(["ip", "link", "set", "lo", "up"], namespace=made)
        yield made


def _read(box: Namespace) -> HostState:
    with LiveNamespace(box.path) as live:
        return read_state(live)


def _of(state: HostState, system: System) -> list[MarkUse]:
    return [use for use in state.uses if use.spot.system is system]


def _nft(box: Namespace, text: str) -> None:
    run(["nft", "-f", "-"], stdin=text, namespace=box)


def _legacy_tables(box: Namespace) -> list[str]:
    files = ("ip_tables_names", "ip6_tables_names")
    root = Path("/proc/thread-self/net")
    return [
        name
        for file in files
        for name in box.call(lambda file=file: (root / file).read_text()).split()
    ]


@each_backend
@each_family
def test_rules_of_each_backend_and_family_are_found_where_they_stand(
    box: Namespace, backend: Backend, family: Family
) -> None:
    restore(box, backend, family, CLOBBERED)
    uses = _of(_read(box), System.of_backend(backend))
    assert {(use.spot.family, use.spot.chain, use.spot.number) for use in uses} == {
        (family, "PREROUTING", 1),
        (family, "steer", 1),
        (family, "FORWARD", 1),
    }
    (steer,) = [use for use in uses if use.spot.chain == "steer"]
    (passage,) = steer.passages
    assert (passage.stage, passage.priority, passage.first) == (Stage.PREROUTING, -150, (2, 1))
    assert steer.is_conditional
    assert steer.effects[0].is_whole


@each_backend
def test_the_line_of_a_spot_is_that_of_the_listing(box: Namespace, backend: Backend) -> None:
    restore(box, backend, Family.IPV4, CLOBBERED)
    program = f"iptables-{backend}-save"
    lines = run([program], namespace=box).stdout.split("\n")
    for use in _of(_read(box), System.of_backend(backend)):
        assert lines[use.spot.line - 1] == use.spot.text


def test_looking_makes_no_table_in_either_backend(box: Namespace) -> None:
    before = run(["nft", "list", "ruleset"], namespace=box).stdout
    state = _read(box)
    assert _legacy_tables(box) == []
    assert run(["nft", "list", "ruleset"], namespace=box).stdout == before == ""
    assert state.uses == ()


def test_native_tables_are_read_bit_by_bit_and_iptables_own_are_not_read_twice(
    box: Namespace,
) -> None:
    restore(box, Backend.NFT, Family.IPV4, CLOBBERED)
    _nft(
        box,
        "table inet mine { map by { type ipv4_addr : mark; elements = { 10.0.0.1 : 0x5 }; }\n"
        "chain sub { meta mark set mark and 0xfffffff0 or 0x3; }\n"
        "chain pre { type filter hook prerouting priority -160;\n"
        "ct mark and 0xff == 0x7 meta mark set ct mark and 0xff00\n"
        "tcp dport 80 jump sub\n"
        "meta mark set ip saddr map @by\n"
        "meta mark { 1, 2 } accept; }\n}",
    )
    state = _read(box)
    assert [(table.family, table.name) for table in state.tables] == [("inet", "mine")]
    sub, restored, mapped, asked = _of(state, System.NFTABLES)
    assert (sub.effects[0].keep, sub.effects[0].xor) == (0xFFFFFFF0, 0x3)
    assert sub.passages[0].first == (2, 1)
    assert (restored.effects[0].keep, restored.effects[0].mixed) == (0, 0xFF00)
    assert (restored.tests[0].word, restored.tests[0].value) == (Word.CONNECTION, 0x7)
    assert mapped.effects[0].opaque == 0xFFFFFFFF
    assert (asked.tests[0].value, asked.tests[0].mask) == (None, 0xFFFFFFFF)
    assert "meta mark" in asked.spot.text
    assert asked.spot.handle


def test_a_table_of_nft_by_the_name_of_one_of_iptables_is_native(box: Namespace) -> None:
    _nft(
        box,
        "table ip mangle { chain mine { type filter hook prerouting priority -150;\n"
        "ip saddr { 192.0.2.1, 192.0.2.9 } meta mark set 0x5; }\n}",
    )
    state = _read(box)
    (use,) = state.uses
    assert (use.spot.system, use.spot.table) == (System.NFTABLES, "ip mangle")


def test_ebtables_and_arptables_are_read_as_the_kernel_has_them(box: Namespace) -> None:
    """nft 1.0.6 shows ``xt target MARK`` of arptables; and what its --set-mark sets is toggled:
    arptables 1.8.9 leaves the mask 0."""
    for words in (
        "ebtables -t nat -A PREROUTING --mark 0x4/0xff -j mark --mark-set 0x5",
        "ebtables -t nat -A PREROUTING ! --mark /0xf0 -j mark --mark-and 0x5",
        "ebtables -t nat -A PREROUTING -j mark --mark-xor 0x6",
        "ebtables -t nat -A PREROUTING -j mark --mark-or 0x3",
        "arptables -A INPUT -j MARK --or-mark 0x8",
        "arptables -A INPUT -j MARK --set-mark 0x4",
    ):
        run(words.split(), namespace=box)
    uses = _of(_read(box), System.NFTABLES)
    assert [tuple(map(str, use.tests)) for use in uses[:2]] == [("0x4/0xff",), ("0x0/0xf0",)]
    assert [str(use.effects[0]) for use in uses] == [
        "0x5/0xffffffff",
        "0x0/0xfffffffa",
        "0x6/0x0",
        "0x3/0x3",
        "0x8/0x8",
        "0x4/0x0",
    ]
    assert uses[0].passages[0].stage is Stage.BRIDGE
    assert not uses[4].passages[0].shares_way(uses[0].passages[0])


def test_a_queue_has_a_reader_whose_program_is_named(box: Namespace) -> None:
    restore(
        box,
        Backend.NFT,
        Family.IPV4,
        "*mangle\n-A PREROUTING -j NFQUEUE --queue-num 7\nCOMMIT\n",
    )
    with open_netfilter(box) as link:
        bind = attribute(1, b"\1\0\0\2")
        link.send(request(3 << 8 | 2, ACK, 0, 7, bind))
        link.recv(1 << 12)
        state = _read(box)
    assert [reader.queue for reader in state.queues] == [7]
    (use,) = state.uses
    assert use.owner == state.queues[0].owner
    assert use.owner.endswith(f"[{os.getpid()}]")
    assert use.effects[0].opaque == 0xFFFFFFFF


def test_policies_of_ipsec_ask_for_marks(box: Namespace) -> None:
    words = "ip xfrm policy add src 10.0.0.0/8 dst 192.0.2.0/24 dir out mark 0x10 mask 0xf0"
    run(words.split(), namespace=box)
    (use,) = _of(_read(box), System.XFRM)
    assert str(use.tests[0]) == "0x10/0xf0"
    assert use.spot.text == "policy 10.0.0.0/8 -> 192.0.2.0/24, mark 0x10/0xf0"


@each_family
def test_routing_rules_read_marks_with_their_masks(box: Namespace, family: Family) -> None:
    ip = ["ip", f"-{family.value}", "rule", "add"]
    run([*ip, "pref", "500", "fwmark", "0x10000/0xf0000", "table", "77"], namespace=box)
    run([*ip, "not", "pref", "600", "fwmark", "0xca6c", "table", "78"], namespace=box)
    masked, inverted = _of(_read(box), System.ROUTING)
    assert str(masked.tests[0]) == "0x10000/0xf0000"
    assert masked.spot.text == "500: from all fwmark 0x10000/0xf0000 lookup 77"
    assert str(inverted.tests[0]) == "not 0xca6c/0xffffffff"
    assert inverted.spot.text == "600: not from all fwmark 0xca6c lookup 78"
    assert {passage.stage for passage in masked.passages} == {
        Stage.ROUTING,
        Stage.OUTPUT_ROUTING,
        Stage.OUTPUT,
    }


def test_sockets_tell_their_mark_and_their_program(box: Namespace) -> None:
    made = box.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    with made:
        made.setsockopt(socket.SOL_SOCKET, SO_MARK, 0x80000)
        made.bind(("127.0.0.1", 0))
        made.listen()
        state = _read(box)
        (found,) = [one for one in state.sockets if one.mark]
        assert (found.protocol, found.state) == ("tcp", "LISTEN")
        assert found.local == f"127.0.0.1:{made.getsockname()[1]}"
        assert found.owner.endswith(f"[{os.getpid()}]")
        assert found.may_mark
        (use,) = _of(state, System.SOCKET)
        assert use.effects[0].xor == 0x80000


def test_connections_are_summed_up_by_mark(box: Namespace) -> None:
    restore(
        box,
        Backend.NFT,
        Family.IPV4,
        "*mangle\n-A OUTPUT -p udp -m udp --dport 9 -j CONNMARK --set-xmark 0x7/0xffffffff\n"
        "COMMIT\n",
    )
    sender = box.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    others = [box.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in "ab"]
    for one in (sender, *others):
        with one:
            one.sendto(b"x", ("127.0.0.1", 9))
    found = {one.mark: one for one in _read(box).connections}
    assert found[0x7].count == 3
    assert found[0x7].example.startswith("udp 127.0.0.1:")
    assert found[0x7].example.endswith("-> 127.0.0.1:9")


def test_sets_say_which_marks_a_rule_may_set(box: Namespace) -> None:
    run(["ipset", "create", "by", "hash:ip", "skbinfo"], namespace=box)
    run(["ipset", "add", "by", "10.0.0.1", "skbmark", "0x10/0xf0"], namespace=box)
    restore(
        box,
        Backend.LEGACY,
        Family.IPV4,
        "*mangle\n-A PREROUTING -j SET --map-set by src --map-mark\nCOMMIT\n",
    )
    state = _read(box)
    assert [str(mark) for mark in state.sets[0].marks] == ["0x10/0xf0"]
    (use,) = state.uses
    assert use.written(Word.PACKET) == 0xF0


def test_bridges_and_the_sysctls_that_matter_are_read(box: Namespace) -> None:
    run(["ip", "link", "add", "br9", "type", "bridge", "nf_call_iptables", "1"], namespace=box)
    run(["ip", "link", "add", "d0", "type", "veth"], namespace=box)
    run(["ip", "link", "set", "d0", "master", "br9"], namespace=box)
    state = _read(box)
    bridge, port = state.link("br9"), state.link("d0")
    assert bridge is not None
    assert bridge.filters_bridged
    assert port is not None
    assert port.master == "br9"
    assert state.setting("net/ipv4/fwmark_reflect") == 0
    assert state.interface_setting(Family.IPV4, "d0", "src_valid_mark") == (0, 0)
    assert "net/ipv4/conf/br9/rp_filter" in state.sysctls


@each_backend
def test_doctor_names_the_rule_and_a_mask_cures_it(
    box: Namespace, backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    restore(box, backend, Family.IPV4, CLOBBERED)
    words = ["doctor", "--netns", box.path, "--json", "mark-overwritten"]
    assert main(words) == ExitCode.DIFFERENCES
    (found,) = fitting("doctor", json.loads(capsys.readouterr().out))["findings"]
    guilty = found["evidence"][0]
    assert (guilty["system"], guilty["chain"]) == (f"iptables-{backend}", "steer")
    restore(box, backend, Family.IPV4, CLOBBERED.replace("0x1/0xffffffff", "0x1/0xff"))
    assert main(words) == ExitCode.OK


def test_marks_draws_the_ledger_of_another_namespace(
    box: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    restore(box, Backend.LEGACY, Family.IPV6, CLOBBERED)
    assert main(["marks", "--netns", box.path]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "iptables-legacy IPv6 filter FORWARD rule 1 (0)" in out
    assert main(["marks", "--netns", box.path, "--json"]) == ExitCode.OK
    data = fitting("marks", json.loads(capsys.readouterr().out))
    bit = data["bits"]["packet"][16]
    assert [data["uses"][use]["place"]["chain"] for use in bit["readers"]] == ["FORWARD"]


def test_a_namespace_that_is_gone_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--netns", "netfw-no-such"]) == ExitCode.USAGE
    assert "there is no namespace 'netfw-no-such'" in capsys.readouterr().err
