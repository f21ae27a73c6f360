"""``netfw doctor --probe``: packets in a twin show what a finding says, and only what is so."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from netfw.cli.main import main
from netfw.doctor.diagnosis import diagnose
from netfw.doctor.finding import Finding
from netfw.doctor.host_state import HostState
from netfw.doctor.probing import Demonstration, Outcome
from netfw.errors import ExitCode
from netfw.host.iptables import restore
from netfw.host.live_namespace import LiveNamespace
from netfw.host.namespace import Namespace
from netfw.host.network import Network
from netfw.host.observe import read_state
from netfw.host.run import run
from netfw.host.twin_settings import write_settings
from netfw.host.wait import wait_until
from netfw.ir.names import Backend, Family
from netfw.traverse.packet_filter import PacketFilter
from netfw.verify.demonstrate import demonstrate
from netfw.verify.follow import Follower, Wish
from tests.data_schema import fitting
from tests.kernel.router import Router

pytestmark = pytest.mark.kernel

LATE = "*filter\n:FORWARD DROP\n-A FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT\nCOMMIT\n"
BROKEN = (
    "*mangle\n"
    "-A PREROUTING -i left -j MARK --set-xmark 0x10000/0xf0000\n"
    "-A PREROUTING -p udp -j MARK --set-xmark 0x1/0xffffffff\n"
    "COMMIT\n"
)
REPAIRED = BROKEN.replace("0x1/0xffffffff", "0x1/0xff")


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as made:
        for address, family in (("10.2.0.2", 4), ("fd02::2", 6)):
            route = ["ip", f"-{family}", "route", "add", "default", "via", address]
            run([*route, "dev", "right"], namespace=made.box)
        yield made


def look(router: Router, *codes: str) -> tuple[HostState, tuple[Finding, ...]]:
    with LiveNamespace(router.box.path) as live:
        state = read_state(live)
    return state, diagnose(state, codes).findings


def probe(router: Router, state: HostState, *findings: Finding) -> tuple[Demonstration, ...]:
    with LiveNamespace(router.box.path) as live:
        return demonstrate(live, state, findings).all


@pytest.mark.parametrize(
    ("backend", "family"),
    [
        (Backend.NFT, Family.IPV4),
        (Backend.LEGACY, Family.IPV6),
        pytest.param(Backend.NFT, Family.IPV6, marks=pytest.mark.long),
        pytest.param(Backend.LEGACY, Family.IPV4, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_a_fault_is_shown_and_is_not_shown_on_a_host_without_it(
    router: Router, backend: Backend, family: Family
) -> None:
    """The same finding, of the rules as they were: what is seen decides, not what is claimed."""
    restore(router.box, backend, family, BROKEN + LATE)
    state, (finding,) = look(router, "mark-overwritten")
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.SHOWN
    assert "mark 0x10000 -> 0x1 at" in one.said
    (packet,) = one.packets
    assert packet.end.is_drop

    restore(router.box, backend, family, REPAIRED + LATE)
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.NOT_SHOWN
    assert "left the bits alone: mark 0x10000 -> 0x10001" in one.said
    assert one.packets[0].detail == "right"


def test_a_host_that_a_twin_cannot_copy_is_inconclusive(router: Router) -> None:
    """What tc does where the packet comes in may set any mark."""
    restore(router.box, Backend.NFT, Family.IPV4, BROKEN + LATE)
    run(["tc", "qdisc", "add", "dev", "left", "clsact"], namespace=router.box)
    state, (finding,) = look(router, "mark-overwritten")
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.INCONCLUSIVE
    assert "the symptom was seen" in one.said
    assert "what tc does at left" in one.said


def test_what_no_packet_can_show_is_not_probed(router: Router) -> None:
    text = (
        "*mangle\n-A PREROUTING -p udp -j CONNMARK --set-xmark 0x10000/0xf0000\n"
        "-A PREROUTING -m connmark --mark 0x30000/0x10000 -j ACCEPT\nCOMMIT\n"
    )
    restore(router.box, Backend.NFT, Family.IPV4, text)
    state, (finding,) = look(router, "mark-test-never-true")
    (one,) = probe(router, state, finding)
    assert (one.outcome, one.sent) == (Outcome.NOT_PROBED, 0)
    assert "connection mark" in one.said


ANSWERS = ("answers-unmarked", "pings-unmarked", "udp-answers-unmarked")


def test_what_the_host_answers_is_answered_in_the_twin_too(router: Router) -> None:
    """To a connection, a ping and a question that come in by the other uplink."""
    settings = ("net.ipv4.tcp_fwmark_accept", "net.ipv4.fwmark_reflect")
    with Network(router.box) as network:
        for name in settings:
            network.set_sysctl(name, 0)
    for line in (
        "route add default via 10.1.0.2 dev left table 100",
        "rule add pref 500 fwmark 0x1/0xff table 100",
    ):
        run(["ip", *line.split()], namespace=router.box)
    text = "*mangle\n-A PREROUTING -i left -j MARK --set-xmark 0x1/0xff\nCOMMIT\n"
    restore(router.box, Backend.NFT, Family.IPV4, text)
    with services(router):
        state, findings = look(router, *ANSWERS)
        shown = probe(router, state, *findings)
        assert sorted(one.finding.code for one in shown) == list(ANSWERS)
        for one in shown:
            assert one.outcome is Outcome.SHOWN, one.said
            came, answer = one.packets
            assert (came.mark, answer.mark, answer.detail) == (1, 0, "right")
        with Network(router.box) as network:
            for name in settings:
                network.set_sysctl(name, 1)
        # no sysctl helps a socket of UDP
        cured = probe(router, state, *(one for one in findings if "udp" not in one.code))
    for one in cured:
        assert one.outcome is Outcome.NOT_SHOWN
        assert "the answer was sent by left, mark 0x1" in one.said


@contextmanager
def services(router: Router) -> Iterator[None]:
    """One of TCP and one of UDP."""
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    made = router.box.call(lambda: [socket.socket(socket.AF_INET, kind) for kind in kinds])
    with made[0], made[1]:
        for one in made:
            one.bind(("0.0.0.0", 8022))
        made[0].listen(1)
        yield


def test_packets_for_the_lan_are_shown_on_the_uplink(router: Router) -> None:
    for line in (
        "route add default via 10.2.0.2 dev right table 100",
        "rule add pref 500 fwmark 0x1 table 100",
    ):
        run(["ip", *line.split()], namespace=router.box)
    text = "*mangle\n-A OUTPUT -p udp -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n"
    restore(router.box, Backend.NFT, Family.IPV4, text)
    state, (finding,) = look(router, "lan-by-uplink")
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.SHOWN
    assert "sent by right, not by left" in one.said
    run(["ip", "route", "add", "10.1.0.0/24", "dev", "left", "table", "100"], namespace=router.box)
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.NOT_SHOWN


def test_a_rule_without_a_selector_is_shown_to_take_what_is_marked(router: Router) -> None:
    run(
        ["ip", "route", "add", "default", "via", "10.1.0.2", "dev", "left", "table", "100"],
        namespace=router.box,
    )
    run(["ip", "rule", "add", "pref", "500", "fwmark", "0", "table", "100"], namespace=router.box)
    text = "*mangle\n-A OUTPUT -p udp -j MARK --set-xmark 0x1/0xf\nCOMMIT\n"
    restore(router.box, Backend.NFT, Family.IPV4, text)
    state, (finding,) = look(router, "selector-lost")
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.SHOWN
    assert "took a packet with mark 0x1; sent by left" in one.said


SECOND_UPLINK = (
    "route add default via 10.1.0.2 dev left table 100",
    "rule add pref 500 fwmark 0x1/0xff table 100",
)


def test_answers_of_a_server_behind_the_host_are_sent_as_it_would(router: Router) -> None:
    """In by the second uplink, translated, and back from the server without the mark."""
    for line in (*SECOND_UPLINK, "route add 10.2.0.0/24 dev right table 100"):
        run(["ip", *line.split()], namespace=router.box)
    rules = (
        "*mangle\n-A PREROUTING -i left -j MARK --set-xmark 0x1/0xff\n{}COMMIT\n*nat\n"
        "-A PREROUTING -i left -p udp -m udp --dport 53 -j DNAT --to-destination 10.2.0.2\n"
        "COMMIT\n"
    )
    restore(router.box, Backend.NFT, Family.IPV4, rules.format(""))
    state, (finding,) = look(router, "forwarded-answers-unmarked")
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.SHOWN, one.said
    came, answer = one.packets
    assert (came.mark, came.detail) == (1, "right")
    assert (answer.title[:13], answer.mark, answer.detail) == ("udp 10.2.0.2:", 0, "right")
    cure = (
        "-A PREROUTING -i left -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff\n"
        "-A PREROUTING ! -i left -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff\n"
    )
    restore(router.box, Backend.NFT, Family.IPV4, rules.format(cure))
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.NOT_SHOWN
    assert one.packets[1].detail == "left"


def test_a_rule_about_the_way_back_is_shown_to_drop_answers(router: Router) -> None:
    for line in SECOND_UPLINK:
        run(["ip", *line.split()], namespace=router.box)
    rules = "*raw\n-A PREROUTING -m rpfilter{} --invert -j DROP\nCOMMIT\n"
    restore(router.box, Backend.NFT, Family.IPV4, rules.format(""))
    state, (finding,) = look(router, "rpfilter-rule-ignores-mark")
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.SHOWN, one.said
    assert one.packets[1].end.is_drop
    restore(router.box, Backend.NFT, Family.IPV4, rules.format(" --loose"))
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.NOT_SHOWN, one.said


def test_an_accept_is_shown_to_be_overruled(router: Router) -> None:
    nft = (
        "table inet other {{\nchain forward {{\ntype filter hook forward priority 5\n"
        "policy {}\n}}\n}}\n"
    )
    text = "*mangle\n-A PREROUTING -i left -j MARK --set-xmark 0x1/0x1\nCOMMIT\n"
    text += "*filter\n-A FORWARD -m mark --mark 0x1/0x1 -j ACCEPT\nCOMMIT\n"
    restore(router.box, Backend.NFT, Family.IPV4, text)
    run(["nft", "-f", "-"], namespace=router.box, stdin=nft.format("drop"))
    state, (finding,) = look(router, "accept-overruled")
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.SHOWN, one.said
    assert "dropped by a rule: nft inet other forward policy" in one.said
    run(["nft", "-f", "-"], namespace=router.box, stdin=nft.format("accept"))
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.NOT_SHOWN


@pytest.mark.parametrize(
    "lines",
    [
        "-A PREROUTING -i left -j MARK --set-xmark 0x20/0x20\n"
        "-A PREROUTING -j MARK --set-xmark 0x30/0x10\n",
        ":twice - [0:0]\n-A PREROUTING -j twice\n-A FORWARD -j twice\n"
        "-A twice -j MARK --set-xmark 0x8/0x0\n",
    ],
    ids=["set before", "twice"],
)
def test_bits_that_are_turned_over_are_shown_to_be_off(router: Router, lines: str) -> None:
    restore(router.box, Backend.NFT, Family.IPV4, f"*mangle\n{lines}COMMIT\n")
    state, (finding,) = look(router, "mark-toggled")
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.SHOWN, one.said
    assert "was there before the rule and is gone behind it" in one.said


def test_a_tunnel_wraps_packets_in_the_twin_as_on_the_host(router: Router) -> None:
    """The packet that carries another one is the kernel's, and has its mark."""
    for line in (
        "link add vx0 type vxlan id 7 remote 10.2.0.2 local 10.2.0.1 dstport 4789",
        "address add 10.77.0.1/24 dev vx0",
        "link set vx0 up",
        "route add 192.0.2.0/24 via 10.77.0.2",
    ):
        run(["ip", *line.split()], namespace=router.box)
    rules = (
        "*mangle\n-A PREROUTING -i left -j MARK --set-xmark 0x4000/0x4000\n{}COMMIT\n"
        "*nat\n-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE\nCOMMIT\n"
    )
    restore(router.box, Backend.NFT, Family.IPV4, rules.format(""))
    state, (finding,) = look(router, "tunnel-keeps-mark")
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.SHOWN, one.said
    # what the kernel itself sends by the tunnel is wrapped, too, and may be among them
    carrier = one.packets[1]
    assert (carrier.mark, carrier.detail) == (0x4000, "right")
    assert carrier.title.endswith("-> 10.2.0.2:4789")
    cleared = "-A POSTROUTING -o vx0 -j MARK --set-xmark 0x0/0x4000\n"
    restore(router.box, Backend.NFT, Family.IPV4, rules.format(cleared))
    (one,) = probe(router, state, finding)
    assert one.outcome is Outcome.NOT_SHOWN


def test_a_bridge_passes_packets_on_in_the_twin_as_on_the_host() -> None:
    """By no hook of IP, or by those where br_netfilter has it so."""
    with Namespace("bridge") as box, LiveNamespace(box.path) as live:
        for line in (
            "link add br0 type bridge",
            "link set br0 up",
            "link add v1 type veth peer name w1",
            "link add v2 type veth peer name w2",
            *(f"link set {name} up" for name in ("v1", "v2", "w1", "w2")),
            *(f"link set {name} master br0" for name in ("v1", "v2")),
        ):
            run(["ip", *line.split()], namespace=box)
        text = "*mangle\n-A FORWARD -p udp -j MARK --set-xmark 0x1/0x1\nCOMMIT\n"
        restore(box, Backend.NFT, Family.IPV4, text)
        call = "net/bridge/bridge-nf-call-iptables"
        for value, outcome in (("0", Outcome.SHOWN), ("1", Outcome.NOT_SHOWN)):
            write_settings(box, {call: value})
            if value == "0":
                state = read_state(live)
                findings = diagnose(state, ("bridged-unseen",)).findings
            (one,) = demonstrate(live, state, findings).all
            assert one.outcome is outcome, one.said
    assert "it came by nft mangle" in one.said


def test_the_verb_prints_what_was_seen_and_its_exit_code_stays(
    router: Router, capsys: pytest.CaptureFixture[str]
) -> None:
    restore(router.box, Backend.NFT, Family.IPV4, BROKEN + LATE)
    words = ["doctor", "--netns", router.box.path, "mark-overwritten"]
    assert main(words) == ExitCode.DIFFERENCES
    assert "in a twin" not in capsys.readouterr().out
    assert main([*words, "--probe"]) == ExitCode.DIFFERENCES
    printed = capsys.readouterr().out
    assert "  shown in a twin: 0x10000 was there before the rule and is gone behind it" in printed
    assert "nft mangle PREROUTING rule 2: continue, mark 0x10000" in printed
    assert "1 shown" in printed
    assert main([*words, "--probe", "--json"]) == ExitCode.DIFFERENCES
    data = fitting("doctor", json.loads(capsys.readouterr().out))
    assert data["probe"]["shown"] == 1
    assert data["findings"][0]["probe"]["outcome"] == "shown"
    assert main(["doctor", "--free", "--probe"]) == ExitCode.USAGE


def test_a_trace_that_runs_on_the_host_is_in_nobodys_way(router: Router) -> None:
    restore(router.box, Backend.LEGACY, Family.IPV4, BROKEN + LATE)
    with (
        LiveNamespace(router.box.path) as live,
        Follower(live, Wish(PacketFilter(), count=1)) as follower,
    ):
        state, (finding,) = look(router, "mark-overwritten")
        (one,) = probe(router, state, finding)
        assert one.outcome is Outcome.SHOWN, one.said
        follower.endings = 2
        assert list(follower.packets()) == []


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_the_host_is_as_it_was_also_where_somebody_interrupts(
    router: Router, is_interrupted: bool
) -> None:
    """Ctrl-C when the twin stands, or an end of its own: rules, loggers, links are as before."""
    restore(router.box, Backend.LEGACY, Family.IPV4, BROKEN)
    restore(router.box, Backend.NFT, Family.IPV4, LATE)
    before = _everything(router)
    verb = subprocess.Popen(
        [sys.executable, "-m", "netfw", "doctor", "--netns", router.box.path, "--probe"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # a shell that starts something in the background switches it off
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    if is_interrupted:
        assert wait_until(lambda: _namespaces_of(verb.pid) > 2, 30)
        verb.send_signal(signal.SIGINT)
    assert verb.wait(30) == (130 if is_interrupted else ExitCode.DIFFERENCES)
    assert _everything(router) == before


def _namespaces_of(process: int) -> int:
    """How many network namespaces a process holds open."""
    found = 0
    for one in Path(f"/proc/{process}/fd").iterdir():
        # a descriptor may be gone before it is looked at
        with suppress(OSError):
            found += one.readlink().name.startswith("net:[")
    return found


def _everything(router: Router) -> tuple[str, ...]:
    commands = (
        ["nft", "list", "ruleset"],
        ["iptables-legacy-save"],
        ["sh", "-c", "ip -o link | cut -d: -f2"],
        ["sh", "-c", "cat /proc/sys/net/netfilter/nf_log/*"],
    )
    found = []
    for argv in commands:
        printed = run(argv, namespace=router.box).stdout
        # comments have the time of day
        found.append("".join(line for line in printed.splitlines(True) if line[0] != "#"))
    return tuple(found)


@pytest.mark.parametrize("right", ["all", "sys_admin"])
def test_without_privilege_one_line_says_so(router: Router, right: str) -> None:
    """Without any, rules may not be read; without this one, no twin can be made."""
    restore(router.box, Backend.NFT, Family.IPV4, BROKEN + LATE)
    words = ["setpriv", f"--bounding-set=-{right}", f"--inh-caps=-{right}"]
    done = run(
        [*words, sys.executable, "-m", "netfw", "doctor", "--probe"],
        namespace=router.box,
        check=False,
    )
    assert done.status == ExitCode.HOST
    assert done.stdout == ""
    assert "run as root" in done.stderr
    assert len(done.stderr.splitlines()) == 2
