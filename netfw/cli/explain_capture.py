"""``netfw explain --pcap FILE``: the packets of a capture, one after the other."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netfw.errors import ExitCode, FactError, UsageError
from netfw.traverse.connection import AssumedConntrack, Conntrack, Tuple, tuple_of
from netfw.traverse.sketch import CompletionError, Sketch
from netfw.traverse.traversal import End
from netfw.traverse.wire import is_fragment, read_packet

if TYPE_CHECKING:
    from netfw.host.capture import Frame
    from netfw.ir.match import ConnectionState
    from netfw.ir.names import Family
    from netfw.traverse.account import Account, Scene

SceneFor = Callable[["Family", Callable[[], Conntrack]], "Scene | None"]
"""Makes what packets of a family are explained against; None where there are no such rules."""


_NO_WAY = "packet whose way is not known"
_UNREADABLE = "packet that cannot be read"


@dataclass(frozen=True, slots=True)
class Said:
    """What the command line says of all packets: interfaces, mark, and state (None: tracked)."""

    came_by: str = ""
    leaves_by: str = ""
    mark: int = 0
    state: ConnectionState | None = None


@dataclass(frozen=True, slots=True)
class _Explained:
    """A frame, and its account, or why there is none."""

    frame: Frame
    account: Account | None
    why_not: str = ""
    detail: str = ""
    """More of why there is none, which is not counted with others."""


def explain_capture(
    name: str, said: Said, scene_for: SceneFor, *, chosen: int | None, as_json: bool
) -> int:
    """Print a line for each packet of a file, or the whole way of one."""
    from netfw.host.capture import read_capture

    reader = _Capture(said, scene_for)
    explained: list[_Explained] = []
    cut: FactError | None = None
    try:
        for frame in read_capture(name):
            explained.append(reader.explain(frame))
            if chosen == frame.number:
                break
    except FactError as error:
        if not explained or chosen is not None:
            raise
        # what was read before the cut is told all the same
        cut = error
    if chosen is not None:
        if not explained or explained[-1].frame.number != chosen:
            raise UsageError.at(
                "--packet", f"there is no frame {chosen}", f"{name} has {len(explained)}"
            )
        explained = explained[-1:]
    if as_json:
        sys.stdout.write(_json(explained))
    else:
        for line in _whole_way(explained[0]) if chosen is not None else _lines(explained):
            print(line)
    if cut is not None:
        raise cut
    accounts = [one.account for one in explained if one.account is not None]
    known = all(account.traversal.end is not End.UNDECIDED for account in accounts)
    known = known and all(one.why_not != _NO_WAY for one in explained)
    missing = chosen is not None and not accounts
    return int(ExitCode.OK if known and not missing else ExitCode.HOST)


class _Capture:
    """Explains frame after frame, with the connections that they make."""

    def __init__(self, said: Said, scene_for: SceneFor) -> None:
        self._said = said
        self._scene_for = scene_for
        self._scenes: dict[Family, Scene | None] = {}
        self._begun: dict[Tuple, bool] = {}

    def explain(self, frame: Frame) -> _Explained:
        """The account of a frame; none for what is no packet that rules see."""
        if frame.packet is None:
            return _Explained(frame, None, frame.what)
        said = self._said
        try:
            packet = read_packet(frame.packet, said.came_by, said.mark)
            fragment = is_fragment(frame.packet)
        except ValueError as error:
            return _Explained(frame, None, _UNREADABLE, str(error))
        if fragment:
            # connection tracking may put the parts together before any rule sees them
            return _Explained(frame, None, f"{packet.family} fragment")
        sketch = Sketch(packet, leaves_by=said.leaves_by, state=said.state)
        key = tuple_of(packet)
        if self._begun.setdefault(key, key.inverted() in self._begun):
            sketch = _back(sketch)
        scene = self._scene(packet.family)
        if scene is None:
            return _Explained(frame, None, f"{packet.family} packet, of whose family no rules are")
        try:
            return _Explained(frame, scene.explain(sketch))
        except CompletionError as error:
            return _Explained(frame, None, _NO_WAY, str(error))

    def _scene(self, family: Family) -> Scene | None:
        if family not in self._scenes:
            state = self._said.state
            self._scenes[family] = self._scene_for(
                family, Conntrack if state is None else lambda: AssumedConntrack(state)
            )
        return self._scenes[family]


def _back(sketch: Sketch) -> Sketch:
    """An answer goes the other way: out where the first packet came in."""
    packet = sketch.packet
    if not sketch.has_way:
        return sketch
    back = f"back out by {packet.in_interface}" if packet.in_interface else "back in"
    return replace(
        sketch,
        packet=replace(packet, in_interface=sketch.leaves_by),
        leaves_by=packet.in_interface,
        completed=(f"{back}, as an answer", *sketch.completed),
    )


def _lines(explained: list[_Explained]) -> Iterator[str]:
    from netfw.report.explanation import account_line

    width = len(str(explained[-1].frame.number)) if explained else 1
    others: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for one in explained:
        number = f"{one.frame.number:>{width}}"
        if one.account is None:
            others[one.why_not] += 1
            yield f"{number} {_why_not(one)}"
        else:
            ends[one.account.traversal.end.value] += 1
            yield f"{number} {account_line(one.account)}"
    yield f"{len(explained)} frames: {_counted(ends + others) or 'none'}"


def _why_not(one: _Explained) -> str:
    return f"{one.why_not}: {one.detail}" if one.detail else one.why_not


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _whole_way(one: _Explained) -> Iterator[str]:
    from netfw.report.explanation import account_lines
    from netfw.report.glyphs import glyphs_for

    if one.account is None:
        yield f"{one.frame.number} {_why_not(one)}"
    else:
        yield from account_lines(one.account, glyphs_for(sys.stdout))


def _json(explained: list[_Explained]) -> str:
    from netfw.report.explanation import account_data

    others = Counter(one.why_not for one in explained if one.account is None)
    data = {
        "schema": 1,
        "frames": len(explained),
        "packets": [
            {"number": one.frame.number, **account_data(one.account)}
            for one in explained
            if one.account is not None
        ],
        "not_explained": dict(others),
    }
    return json.dumps(data, indent=1) + "\n"
