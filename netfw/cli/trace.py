"""``netfw trace 'FILTER'``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import TYPE_CHECKING

from netfw.cli.policy_file import add_variables, read_policy
from netfw.cli.seconds import seconds
from netfw.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from netfw.host.injection import Injection
    from netfw.host.packet_comments import PacketComments
    from netfw.ir.mark import MaskedWord
    from netfw.ir.origin import Origin
    from netfw.traverse.observed import ObservedPacket
    from netfw.traverse.packet_filter import PacketFilter
    from netfw.traverse.sketch import Sketch
    from netfw.verify.follow import Follower

_RATE = 100
_MOST_RATE = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "filter",
        metavar="FILTER",
        nargs="?",
        help="such as 'tcp 198.51.100.7 -> 203.0.113.1:443 in eth0', of which any part may be "
        "left out; 'any' is every packet",
    )
    parser.add_argument(
        "--netns", metavar="NAME|PID|PATH", help="another network namespace of this host"
    )
    parser.add_argument("--count", type=_count, default=0, metavar="N", help="end after N packets")
    parser.add_argument(
        "--for",
        dest="seconds",
        type=seconds,
        default=10.0,
        metavar="TIME",
        help="how long packets are followed (default: 10s)",
    )
    parser.add_argument(
        "--rate",
        type=_rate,
        default=_RATE,
        metavar="N",
        help="follow at most N packets a second, 0 for all (default: %(default)s)",
    )
    parser.add_argument(
        "--mark",
        metavar="VALUE[/MASK]",
        help="show packets alone that have this mark anywhere on their way",
    )
    parser.add_argument(
        "--dropped", action="store_true", help="show packets alone that did not get through"
    )
    parser.add_argument(
        "--inject",
        metavar="PACKET",
        help="send a packet, written as for explain, and follow it",
    )
    parser.add_argument(
        "--pcapng",
        metavar="FILE",
        help="write the packets' headers with their timelines as comments, for Wireshark",
    )
    parser.add_argument(
        "--policy", metavar="FILE", help="the policy whose lines rules of netfw's come from"
    )
    add_variables(parser)
    parser.add_argument(
        "--clean",
        action="store_true",
        help="take away what a trace left behind that was ended by force, and end",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Follow packets; 0 where all was seen, 1 where packets surprised, 4 where events are
    missing."""
    from netfw.host.live_namespace import LiveNamespace

    if arguments.clean:
        return _clean(arguments)
    sketch = _injected(arguments)
    wanted = None if sketch is not None and arguments.filter is None else _filter(arguments)
    mark = _mark(arguments.mark)
    origin_of = _origins(arguments)
    if wanted is not None and wanted.is_everything:
        bound = f"at most {arguments.rate} a second" if arguments.rate else "without a limit"
        print(f"warning: this filter means every packet; {bound} are followed", file=sys.stderr)
    from netfw.traverse.packet_filter import filter_of
    from netfw.verify.follow import Follower, Wish

    ending = _Ending()
    with ExitStack() as stack:
        namespace = stack.enter_context(LiveNamespace(arguments.netns or ""))
        injection, cookie, count = None, 0, arguments.count
        if sketch is not None:
            from netfw.host.injection import Injection

            injection = stack.enter_context(Injection(namespace, sketch))
            if wanted is None:
                wanted = filter_of(injection.packet)
                cookie, count = injection.number, 1
        assert wanted is not None
        wish = Wish(
            wanted,
            count,
            arguments.seconds,
            arguments.rate,
            mark,
            arguments.dropped,
            cookie,
        )
        written = None
        if arguments.pcapng is not None:
            from netfw.host.packet_comments import PacketComments

            written = stack.enter_context(PacketComments(arguments.pcapng))
        follower = stack.enter_context(Follower(namespace, wish, origin_of))
        ending.end(follower)
        if injection is not None:
            _send(injection, follower)
        packets = _show(follower, written, as_json=arguments.json)
    return _finish(follower, packets, as_json=arguments.json)


def _send(injection: Injection, follower: Follower) -> None:
    refused = injection.send()
    completed = ", ".join(injection.completed)
    follower.notes.append(f"sent {injection.packet} (completed: {completed})")
    if refused:
        follower.notes.append(refused)


def _injected(arguments: argparse.Namespace) -> Sketch | None:
    """The packet that is to be sent, as it was described."""
    from netfw.traverse.notation import NotationError, parse_packet

    if arguments.inject is None:
        return None
    try:
        return parse_packet(arguments.inject)
    except NotationError as error:
        raise UsageError.at(f"--inject:{error.column}", str(error), error.hint) from None


class _Ending:
    """SIGTERM, SIGHUP and Ctrl-C end the trace: what was seen is told, and nothing stays.

    They interrupt nothing, so that what has been loaded is always known to whom takes it away.
    """

    def __init__(self) -> None:
        self._follower: Follower | None = None
        self._has_come = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)

    def end(self, follower: Follower) -> None:
        """This is what ends, also where a signal has come already."""
        self._follower = follower
        follower.ended = self._has_come

    def _note(self, _: int, __: FrameType | None) -> None:
        self._has_come = True
        if self._follower is not None:
            self._follower.ended = True


def _show(
    follower: Follower, written: PacketComments | None, *, as_json: bool
) -> list[ObservedPacket]:
    from netfw.report.glyphs import UNICODE, glyphs_for
    from netfw.report.trace import packet_lines

    glyphs = glyphs_for(sys.stdout)
    packets = []
    if not as_json:
        print("following; Ctrl-C ends it", file=sys.stderr, flush=True)
    for packet in follower.packets():
        packets.append(packet)
        if written is not None:
            comment = "\n".join(packet_lines(packet, UNICODE))
            written.add(packet.headers, packet.length, packet.time, comment)
        if not as_json:
            for line in packet_lines(packet, glyphs):
                print(line)
            sys.stdout.flush()
    return packets


def _finish(follower: Follower, packets: list[ObservedPacket], *, as_json: bool) -> int:
    from netfw.report.trace import total_lines, trace_json

    totals = follower.totals()
    if as_json:
        sys.stdout.write(trace_json(packets, totals))
    else:
        for line in total_lines(totals):
            print(line)
    if totals.lost or any(packet.unsure for packet in packets):
        return int(ExitCode.HOST)
    if any(packet.surprises for packet in packets):
        return int(ExitCode.DIFFERENCES)
    return int(ExitCode.OK)


def _clean(arguments: argparse.Namespace) -> int:
    from netfw.host.live_namespace import LiveNamespace
    from netfw.host.live_trace import check_privilege, clear_leftover

    with LiveNamespace(arguments.netns or "") as namespace:
        check_privilege(namespace)
        print(clear_leftover(namespace) or "no trace has left anything behind")
    return int(ExitCode.OK)


def _filter(arguments: argparse.Namespace) -> PacketFilter:
    from netfw.traverse.notation import NotationError
    from netfw.traverse.packet_filter import parse_filter

    if arguments.filter is None or not arguments.filter.strip():
        raise UsageError.at("netfw trace", "say which packets", "'any' means every packet")
    try:
        return parse_filter(arguments.filter)
    except NotationError as error:
        raise UsageError.at(f"FILTER:{error.column}", str(error), error.hint) from None


def _mark(text: str | None) -> MaskedWord | None:
    from netfw.traverse.packet_filter import parse_mark

    if text is None:
        return None
    try:
        return parse_mark(text)
    except ValueError as error:
        raise UsageError.at("--mark", str(error), "such as 0x40000/0xf0000") from None


def _origins(arguments: argparse.Namespace) -> Callable[[str], Origin | None]:
    """What leads from comments to a policy: the one that is given, or that was applied here."""
    if arguments.policy is not None:
        from netfw.compiler.pipeline import compile_policy

        return compile_policy(read_policy(arguments.policy, arguments)).source_map.origin_of
    return lambda _: None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= _MOST_RATE:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 to {_MOST_RATE}")
    return int(text)


def _rate(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > _MOST_RATE:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0 to {_MOST_RATE}")
    return int(text)
