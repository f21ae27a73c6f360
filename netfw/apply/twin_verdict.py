"""What became of a packet in a twin, against what the policy says of it."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.apply.rehearsal import Check, Topic
from netfw.apply.twin_packets import Shot
from netfw.compiler.source_map import SourceMap
from netfw.errors import FactError, HostError
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_scene import LiveScene
from netfw.host.sighting import Sighting
from netfw.host.twin import Twin
from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.ir.net import format_address
from netfw.render.rule import render_rule
from netfw.traverse.account import Account
from netfw.traverse.connection import AssumedConntrack
from netfw.traverse.packet import Packet
from netfw.traverse.sketch import CompletionError, Sketch
from netfw.traverse.traversal import End
from netfw.verify.probe import Expected
from netfw.verify.result import Result

_BY_RULE = (End.DROPPED, End.REJECTED, End.QUEUED)


@dataclass(frozen=True, slots=True)
class Fate:
    """Where a packet was seen, if it was; ``refused`` says why it could not be sent."""

    sighting: Sighting | None
    refused: str = ""

    @property
    def got_through(self) -> bool:
        """Whether it was delivered, or left."""
        return self.sighting is not None

    def __str__(self) -> str:
        if self.sighting is None:
            return "it does not get through"
        where = self.sighting.interface
        return f"it leaves by {where}" if where else "it is delivered to this host"


class TwinVerdict:
    """Judges the packets of one family by what became of them in a twin.

    The rules are read when it is made: after the change.
    """

    def __init__(self, twin: Twin, family: Family, origins: SourceMap) -> None:
        self._twin, self._origins = twin, origins
        self._scene = _scene_of(twin.view, family)

    def judge(self, shot: Shot, fate: Fate, rival: Fate | None = None) -> Check:
        """What a packet shows; ``rival`` is what became of the other of its kind where nothing
        of ours was there."""
        topic = Topic.ASSERTION if shot.is_asserted else Topic.PACKET
        result, reason = self._judge(shot, fate, rival)
        what = f"{shot.packet} ({shot.route})"
        return Check(topic, what, result, reason, shot.origin)

    def _judge(self, shot: Shot, fate: Fate, rival: Fate | None) -> tuple[Result, str]:
        packet, route = shot.packet, shot.route
        doubts = self._twin.doubts(packet.family, route.came_by, route.leaves_by)
        if doubts:
            return Result.INCONCLUSIVE, f"the twin lacks {'; '.join(doubts)}"
        if fate.refused or (rival is not None and rival.refused):
            said = fate.refused or (rival.refused if rival is not None else "")
            return Result.INCONCLUSIVE, f"it could not be sent: {said}"
        account = self._account(packet, route.leaves_by)
        if self._depends_on_order(account):
            assert account is not None
            return Result.INCONCLUSIVE, account.traversal.detail
        if shot.expected is Expected.NOT_COVERED:
            if rival is None:
                return Result.INCONCLUSIVE, "nothing is known of how it fares without netfw"
            if _is_like(fate, rival):
                return Result.AGREE, ""
            said = f"the policy does not speak of it, and without netfw {rival}"
            return Result.DIFFER, f"{said}, but now {fate}{self._why(account)}"
        if fate.got_through is (shot.expected is Expected.DENIED):
            return self._contradicts(shot, fate, account)
        return self._agrees(shot, fate, account)

    def _contradicts(self, shot: Shot, fate: Fate, account: Account | None) -> tuple[Result, str]:
        stopped = account is not None and account.traversal.end is End.STOPPED
        if stopped and not fate.got_through:
            assert account is not None
            return Result.INCONCLUSIVE, f"no rule has a say in it: {account.traversal.detail}"
        says = "an assertion says" if shot.is_asserted else "the policy says"
        return Result.DIFFER, f"{says} {shot.expected.value}, but {fate}{self._why(account)}"

    def _agrees(self, shot: Shot, fate: Fate, account: Account | None) -> tuple[Result, str]:
        if fate.sighting is None:
            if account is not None and account.traversal.end is End.STOPPED:
                # that it does not get through says nothing of the rules
                detail = account.traversal.detail
                return Result.INCONCLUSIVE, f"it does not come as far as the rules: {detail}"
            return Result.AGREE, ""
        seen = fate.sighting
        if seen.interface != shot.route.leaves_by:
            to = format_address(shot.packet.family, seen.addressing.destination)
            if shot.is_asserted:
                return Result.INCONCLUSIVE, f"it takes another way: {fate}, to {to}"
        return Result.AGREE, ""

    def _depends_on_order(self, account: Account | None) -> bool:
        """Whether the twin's order of both backends, which may be another one than the host's,
        may have decided."""
        if self._scene is None or not self._scene.has_both_backends or account is None:
            return False
        return account.traversal.end is End.UNDECIDED

    def _account(self, packet: Packet, leaves_by: str) -> Account | None:
        if self._scene is None:
            return None
        try:
            return self._scene.explain(Sketch(packet, leaves_by=leaves_by))
        except (CompletionError, FactError):
            return None

    def _why(self, account: Account | None) -> str:
        """Which rule it was, as far as that is known; a clause to go behind a sentence."""
        if account is None:
            return ""
        traversal, index = account.traversal, account.deciding
        if index is None:
            return f" ({traversal.detail})" if traversal.end is End.UNDECIDED else ""
        step, rule = traversal.steps[index], account.rules[index]
        if rule is None:
            return f" (chain policy of {step.table} {step.chain})"
        text = f"{step.table} {step.chain}: {render_rule(rule, account.packet.family)}"
        origin = self._origins.origin_of(rule.comment or "")
        return f" ({text}; {origin})" if origin is not None else f" ({text})"


def _scene_of(view: LiveNamespace, family: Family) -> LiveScene | None:
    """None where there are rules that netfw cannot read: then nobody says which one it was."""
    try:
        return LiveScene.read(view, family, lambda: AssumedConntrack(ConnectionState.NEW))
    except (HostError, FactError):
        return None


def _is_like(one: Fate, other: Fate) -> bool:
    """Whether both fared alike: in the same direction, with the same addresses."""
    if one.sighting is None or other.sighting is None:
        return one.sighting is other.sighting
    return (
        one.sighting.interface == other.sighting.interface
        and one.sighting.addressing.destination == other.sighting.addressing.destination
    )
