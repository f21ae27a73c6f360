"""However a trace ends, nothing of it stays; and two do not get in each other's way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from netfw.cli.main import main
from netfw.errors import ConflictError
from netfw.host.live_namespace import LiveNamespace
from netfw.host.netlink import attribute, open_netfilter, request
from netfw.host.run import run
from netfw.host.wait import wait_until
from netfw.ir.names import Backend, Family
from netfw.traverse.observed import ObservedEnd
from netfw.traverse.packet_filter import parse_filter
from netfw.verify.follow import Follower, Wish
from tests.kernel.following import follow, load, nft, send, tables_of
from tests.kernel.router import Router, forwarded

pytestmark = pytest.mark.kernel

LEGACY = "*mangle\n-A PREROUTING -p udp -j MARK --set-xmark 0x5/0xf\nCOMMIT\n"
NOT_THE_USUAL = ("NONE", "nf_log_ipv6")
"""Packet loggers that no trace would think of by itself."""


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as made:
        load(made, Backend.LEGACY, Family.IPV4, LEGACY)
        for number, name in zip((2, 10), NOT_THE_USUAL, strict=True):
            run(["sysctl", "-qw", f"net.netfilter.nf_log.{number}={name}"], namespace=made.box)
        yield made


def loggers(router: Router) -> tuple[str, ...]:
    names = [f"net.netfilter.nf_log.{number}" for number in (2, 10)]
    return tuple(run(["sysctl", "-n", *names], namespace=router.box).stdout.split())


def begin(router: Router, *words: str) -> subprocess.Popen[str]:
    """A trace in a process of its own, which has begun."""
    argv = [sys.executable, "-m", "netfw", "trace", "udp", "--netns", router.box.path, *words]
    trace = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert trace.stderr is not None
    assert "following" in trace.stderr.readline()
    return trace


def end_of(trace: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = trace.communicate(timeout=20)
    assert "Traceback" not in err
    return trace.returncode, out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_it_tells_what_was_seen_and_leaves_nothing(
    router: Router, number: signal.Signals
) -> None:
    trace = begin(router, "--for", "60s")
    assert "netfw_trace" in tables_of(router)
    assert loggers(router) == ("nfnetlink_log", "nfnetlink_log")
    send(router, forwarded(Family.IPV4))
    assert trace.stdout is not None
    assert trace.stdout.readline().startswith("packet 1: udp 10.1.0.2")
    # the whole group, as a terminal does it
    os.killpg(trace.pid, number)
    code, out = end_of(trace)
    assert code == 0
    assert "1 packets shown" in out
    assert "netfw" not in tables_of(router)
    assert loggers(router) == NOT_THE_USUAL


def test_after_kill_9_the_next_run_takes_away_what_was_left(router: Router) -> None:
    trace = begin(router, "--for", "60s")
    trace.kill()
    trace.communicate()
    assert "netfw_trace" in tables_of(router)
    assert loggers(router) == ("nfnetlink_log", "nfnetlink_log")
    (packet,) = follow(router, [forwarded(Family.IPV4)])
    assert packet.end is ObservedEnd.SENT
    assert "netfw" not in tables_of(router)
    assert loggers(router) == NOT_THE_USUAL


def test_clean_takes_away_what_was_left(
    router: Router, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = begin(router, "--for", "60s")
    trace.kill()
    trace.communicate()
    assert main(["trace", "--clean", "--netns", router.box.path]) == 0
    assert "took away what the trace of process" in capsys.readouterr().out
    assert "netfw" not in tables_of(router)
    assert loggers(router) == NOT_THE_USUAL
    assert main(["trace", "--clean", "--netns", router.box.path]) == 0
    assert "no trace has left anything" in capsys.readouterr().out


def test_table_left_by_kill_9_follows_nothing_once_its_time_is_over(router: Router) -> None:
    trace = begin(router, "--for", "1s")
    trace.kill()
    trace.communicate()

    def is_quiet() -> bool:
        before = matched(router)
        send(router, forwarded(Family.IPV4))
        return matched(router) == before

    assert wait_until(is_quiet, 5)


def matched(router: Router) -> int:
    argv = ["nft", "-j", "list", "counters", "table", "inet", "netfw_trace"]
    found = json.loads(run(argv, namespace=router.box).stdout)["nftables"]
    return sum(one["counter"]["packets"] for one in found if "counter" in one)


def test_value_that_somebody_else_has_set_meanwhile_stays(router: Router) -> None:
    wish = Wish(parse_filter("udp"), seconds=0.2)
    with LiveNamespace(router.box.path) as live, Follower(live, wish) as follower:
        run(["sysctl", "-qw", "net.netfilter.nf_log.2=nf_log_ipv4"], namespace=router.box)
        assert list(follower.packets()) == []
    assert loggers(router) == ("nf_log_ipv4", NOT_THE_USUAL[1])


def test_second_trace_is_refused_and_does_not_disturb_the_first(router: Router) -> None:
    wish = Wish(parse_filter("udp"), count=1, seconds=3)
    with LiveNamespace(router.box.path) as live, Follower(live, wish) as first:
        with pytest.raises(ConflictError, match="another trace runs here"):
            Follower(live, wish)
        with pytest.raises(ConflictError, match="another trace runs here"):
            main_clean(router)
        send(router, forwarded(Family.IPV4))
        (packet,) = first.packets()
        assert packet.end is ObservedEnd.SENT
        assert packet.steps[0].backend == "legacy"
    assert loggers(router) == NOT_THE_USUAL


def main_clean(router: Router) -> None:
    main(["--debug", "trace", "--clean", "--netns", router.box.path])


def test_another_reader_of_the_packet_log_is_one_clear_line(
    router: Router, capsys: pytest.CaptureFixture[str]
) -> None:
    link = open_netfilter(router.box)
    link.send(request(4 << 8 | 1, 4, 0, 0, attribute(1, b"\1")))
    link.recv(65536)
    code = main(["trace", "udp", "--netns", router.box.path])
    link.close()
    assert code == 4
    said = capsys.readouterr().err
    assert "log group 0 of this namespace is taken by another process" in said
    assert "netfw" not in tables_of(router)
    assert loggers(router) == NOT_THE_USUAL


def test_table_of_somebody_else_with_our_name_is_left_alone(
    router: Router, capsys: pytest.CaptureFixture[str]
) -> None:
    nft(router, "table inet netfw_trace {\nchain mine {\naccept\n}\n}\n")
    assert main(["trace", "udp", "--netns", router.box.path]) == 4
    assert "is of somebody else" in capsys.readouterr().err
    assert "netfw_trace" in tables_of(router)


def test_namespace_that_is_gone_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "udp", "--netns", "no-such-namespace"]) == 2
    assert "there is no namespace 'no-such-namespace'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [("explain", "--host", "udp 10.1.0.2 -> 10.2.0.2:53"), ("marks",)],
    ids=["explain", "marks"],
)
def test_what_others_say_of_the_host_is_the_same_while_it_is_traced(
    router: Router, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    words = (*words, "--netns", router.box.path)
    assert main(words) == 0
    before = capsys.readouterr().out
    wish = Wish(parse_filter("udp mark 0x20000/0x20000"), seconds=1)
    with LiveNamespace(router.box.path) as live, Follower(live, wish):
        assert main(words) == 0
    assert capsys.readouterr().out == before


def test_flush_of_the_ruleset_is_said(router: Router) -> None:
    wish = Wish(parse_filter("udp"), seconds=0.3)
    with LiveNamespace(router.box.path) as live, Follower(live, wish) as follower:
        run(["nft", "flush", "ruleset"], namespace=router.box)
        assert list(follower.packets()) == []
        assert "somebody took the trace's table away" in follower.totals().lost
    assert loggers(router) == NOT_THE_USUAL


def test_rate_limit_leaves_packets_out_and_says_so(router: Router) -> None:
    packets = [forwarded(Family.IPV4, port) for port in range(100, 150)]
    wish = Wish(parse_filter("udp"), rate=5, seconds=0.5)
    with LiveNamespace(router.box.path) as live, Follower(live, wish) as follower:
        for number, packet in enumerate(packets, start=1):
            send(router, packet, number)
        shown = list(follower.packets())
        totals = follower.totals()
    assert totals.matched == 50
    assert 5 <= len(shown) == totals.followed < 15


def test_lost_events_make_packets_inconclusive(router: Router) -> None:
    """The smallest buffer that the kernel gives holds a few events of hundreds."""
    wish = Wish(parse_filter("udp"), rate=0, seconds=0.5)
    with LiveNamespace(router.box.path) as live, Follower(live, wish) as follower:
        follower._trace._link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for number in range(1, 100):
            send(router, replace(forwarded(Family.IPV4), source_port=number), number)
        packets = list(follower.packets())
        totals = follower.totals()
    assert "trace events" in totals.lost
    assert totals.matched == 99
    assert len(packets) == 99 or "packets that were followed nothing was seen" in totals.lost
    assert all(packet.unsure for packet in packets)
