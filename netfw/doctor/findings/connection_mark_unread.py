"""A mark is kept with the connection, and nobody takes it from there."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, effects_on
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import ConnectionMarks, RoutingRule
from netfw.doctor.place import Spot, System
from netfw.doctor.probing import NoProbing
from netfw.doctor.steering import bits_of, spot_of, steering_rules

CODE = "connection-mark-unread"
TITLE = "connections keep a mark that no rule restores or asks for"
EXPLANATION = """\
'CONNMARK --save-mark' keeps a packet's mark with its connection, for the packets that follow and
for the answers. Without a rule that restores it (or asks for it with -m connmark) they never get
it: only packets that a rule marks by itself are marked. A firewall that loads its rules anew,
the restore rule last, leaves connections in that state for a moment, and the flows go another
way.

Restore it in mangle PREROUTING (and in OUTPUT for this host's own packets), before the rules that
ask for the mark.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each rule that saves bits which nobody reads; else connections whose mark routing would
    read, if somebody restored it."""
    read = 0
    for use in state.readers(Word.CONNECTION):
        read |= use.read(Word.CONNECTION)
    is_said = False
    for use in state.kinds_of_writers(Word.CONNECTION):
        saved = 0
        for effect in effects_on(use, Word.CONNECTION):
            saved |= effect.mixed
        if use.spot.system in RULES and saved and not saved & read:
            is_said = True
            yield _unread(use, saved)
    if is_said:
        return
    for one in state.connections:
        rule = next((each for each in steering_rules(state) if _is_kept(each, one, read)), None)
        if rule is not None:
            yield _unrestored(one, rule)


def _is_kept(rule: RoutingRule, one: ConnectionMarks, read: int) -> bool:
    bits = bits_of(rule)
    same_family = rule.rule.family is one.family and not rule.rule.invert
    return same_family and one.mark & bits == bits and not bits & read


def _unread(use: MarkUse, saved: int) -> Finding:
    return Finding(
        CODE,
        Severity.WARNING,
        f"{use.spot} saves {saved:#x} of the packet mark to the connection, and no rule restores "
        "or asks for it",
        (use.spot,),
        "later packets of the connection, and the answers, do not get the mark",
        (f"-t mangle -A PREROUTING -j CONNMARK --restore-mark --mask {saved:#x}",),
    )


def _unrestored(one: ConnectionMarks, rule: RoutingRule) -> Finding:
    mask = bits_of(rule) if rule.rule.mark is None else rule.rule.mark.mask
    kept = Spot(
        System.CONNTRACK, one.family, text=f"{one.count} with mark {one.mark:#x}: {one.example}"
    )
    return Finding(
        CODE,
        Severity.WARNING,
        f"{one.count} connection{'s have' if one.count > 1 else ' has'} mark {one.mark:#x}, which "
        f"{spot_of(rule)} would read, and no rule restores it to packets",
        (kept, spot_of(rule)),
        "packets of these connections are routed as if they had no mark",
        (f"-t mangle -A PREROUTING -j CONNMARK --restore-mark --mask {mask:#x}",),
    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("it is about the mark of connections, and trace events carry the packet's")
