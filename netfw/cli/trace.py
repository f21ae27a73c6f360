"""``netfw trace 'FILTER'``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from netfw.cli.policy_file import add_variables, read_policy
from netfw.cli.seconds import seconds
from netfw.errors import ExitCode, HostError, UsageError

if TYPE_CHECKING:
    from netfw.host.injection import Injection
    from netfw.host.packet_comments import PacketComments
    from netfw.ir.mark import MaskedWord
    from netfw.ir.origin import Origin
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

    with ExitStack() as stack:
        ending = stack.enter_context(_Ending())
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
        result = _show(follower, written, as_json=arguments.json)
    return _finish(follower, result, as_json=arguments.json)


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

    They interrupt nothing, so that what has been loaded is always known to whom takes it away; a
    second one ends the telling. A context manager that gives the signals back.
    """

    def __init__(self) -> None:
        self._follower: Follower | None = None
        self._count = 0
        self._before = {
            number: signal.signal(number, self._note)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }

    def end(self, follower: Follower) -> None:
        """This is what ends, also where a signal has come already."""
        self._follower = follower
        follower.endings = self._count

    def _note(self, _: int, __: FrameType | None) -> None:
        self._count += 1
        if self._follower is not None:
            self._follower.endings = self._count

    def __enter__(self) -> _Ending:
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class _Result:
    """What the exit code depends on."""

    unsure: bool = False
    surprised: bool = False


def _show(follower: Follower, written: PacketComments | None, *, as_json: bool) -> _Result:
    """Print packets as their ways end; none is kept."""
    from netfw.report.glyphs import UNICODE, glyphs_for
    from netfw.report.trace import JSON_HEAD, packet_json, packet_lines

    glyphs = glyphs_for(sys.stdout)
    result = _Result()
    print("following; Ctrl-C ends it", file=sys.stderr, flush=True)
    if as_json:
        sys.stdout.write(JSON_HEAD)
    for packet in follower.packets():
        result.unsure = result.unsure or bool(packet.unsure)
        result.surprised = result.surprised or bool(packet.surprises)
        if written is not None:
            comment = "\n".join(packet_lines(packet, UNICODE))
            written.add(packet.headers, packet.length, packet.time, comment)
        if as_json:
            sys.stdout.write(packet_json(packet))
        else:
            sys.stdout.write("\n".join([*packet_lines(packet, glyphs), ""]))
        if not follower.is_behind:
            sys.stdout.flush()
    return result


def _finish(follower: Follower, result: _Result, *, as_json: bool) -> int:
    from netfw.report.trace import json_tail, total_lines

    totals = follower.totals()
    if as_json:
        sys.stdout.write(json_tail(totals))
    else:
        for line in total_lines(totals):
            print(line)
    if totals.lost or result.unsure:
        return int(ExitCode.HOST)
    return int(ExitCode.DIFFERENCES if result.surprised else ExitCode.OK)


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
    if arguments.netns is not None:
        # what was applied was applied to this host itself
        return lambda _: None
    from netfw.host.history import entry_numbers, read_entry
    from netfw.host.state_folder import StateFolder

    try:
        state = StateFolder()
        numbers = entry_numbers(state)
        entry = read_entry(state, numbers[-1]) if numbers else None
    except HostError:
        entry = None
    return (lambda _: None) if entry is None else entry.origins.origin_of


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= _MOST_RATE:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 to {_MOST_RATE}")
    return int(text)


def _rate(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > _MOST_RATE:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0 to {_MOST_RATE}")
    return int(text)
