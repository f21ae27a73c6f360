"""Findings shown by packets: sent through a twin of the host, and followed there.

The host is only read. Nothing is said to be shown that the trace did not show.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from netfw.doctor.finding import Finding
from netfw.doctor.findings import FINDINGS
from netfw.doctor.host_state import HostState
from netfw.doctor.probing import (
    Demonstration,
    Demonstrations,
    NoProbing,
    Outcome,
    Probing,
    Scene,
)
from netfw.host.live_namespace import LiveNamespace
from netfw.host.twin import Twin
from netfw.host.twin_devices import BRIDGES, TUNNELS
from netfw.ir.names import Family
from netfw.traverse.observed import ObservedEnd
from netfw.verify.conversing import Conversing, Talk

_MOST = 1000
"""How many conversations there are at most, for all findings together."""
_KINDS: Mapping[Scene, frozenset[str]] = {
    Scene.CABLES: frozenset(),
    Scene.BRIDGES: BRIDGES,
    Scene.TUNNELS: TUNNELS,
}
_SETTINGS = ("net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables")


class Copied(Protocol):
    """What a twin says of itself."""

    def doubts(self, family: Family, *interfaces: str) -> tuple[str, ...]:
        """What it lacks on the way of a packet that passes these interfaces."""


def demonstrate(
    host: LiveNamespace, state: HostState, findings: Sequence[Finding]
) -> Demonstrations:
    """Send packets for each finding through a twin of the host, and say what they show.

    Raises HostError where the host cannot be read, CapabilityError where no namespace can be made
    or packets may not be followed.
    """
    began = time.monotonic()
    probings = [FINDINGS[finding.code].probe(finding, state) for finding in findings]
    most = max(1, _MOST // max(1, len(findings)))
    found: dict[int, Demonstration] = {}
    lacking: list[str] = []
    for scene in Scene:
        talks = {
            number: [Talk(one) for one in probing.conversations[:most]]
            for number, probing in enumerate(probings)
            if isinstance(probing, Probing) and probing.scene is scene
        }
        if not any(talks.values()):
            continue
        with Twin(host, _SETTINGS, _KINDS[scene]) as twin:
            lacking += [each.what for each in twin.lacking]
            with Conversing(host, twin) as conversing:
                conversing.hold([talk for those in talks.values() for talk in those])
                lost = conversing.lost
            for number, those in talks.items():
                probing = probings[number]
                if those and isinstance(probing, Probing):
                    found[number] = judge(findings[number], probing, those, twin, lost)
    return Demonstrations(
        tuple(
            found.get(number) or _without_packet(finding, probings[number])
            for number, finding in enumerate(findings)
        ),
        tuple(dict.fromkeys(lacking)),
        time.monotonic() - began,
    )


def _without_packet(finding: Finding, probing: Probing | NoProbing) -> Demonstration:
    why = "no packet is found that comes by these rules"
    if isinstance(probing, NoProbing):
        why = probing.why
    return Demonstration(finding, Outcome.NOT_PROBED, why)


def judge(
    finding: Finding, probing: Probing, talks: Sequence[Talk], twin: Copied, lost: int
) -> Demonstration:
    """What the conversations of a finding show: the first one that shows it is the one that is
    told, else the first that came by what the finding is about."""
    count = sum(len(talk.sent) for talk in talks)
    if lost:
        said = f"the kernel lost {lost} trace events"
        return Demonstration(finding, Outcome.INCONCLUSIVE, said, sent=count)
    judged = [
        (talk, probing.symptom.judge(talk.seen))
        for talk in talks
        if talk.packets or (probing.unseen and talk.sent and not talk.problem)
    ]
    if not judged:
        why = next((talk.problem for talk in talks if talk.problem), "nothing was seen of them")
        is_void = all(talk.is_void for talk in talks)
        outcome = Outcome.NOT_SHOWN if is_void else Outcome.INCONCLUSIVE
        return Demonstration(finding, outcome, why, sent=count)
    shown = [pair for pair in judged if pair[1].shown]
    against = [pair for pair in judged if not pair[1].shown and pair[1].is_about_it]
    if shown and not (probing.every and against):
        outcome, (talk, verdict) = Outcome.SHOWN, shown[0]
    else:
        outcome, (talk, verdict) = Outcome.NOT_SHOWN, (against or judged)[0]
    said = verdict.said
    if not talk.packets:
        said = f"{talk.first} in {talk.first.in_interface}: {said}"
    unsure = next((packet.unsure for packet in talk.packets if packet.unsure), "")
    missing = 0 if probing.unseen else len(talk.sent) - len(talk.packets)
    if missing > 0:
        unsure = f"of {missing} of the packets no event came"
    doubts = _doubts(twin, talk)
    if unsure or doubts:
        saw = "the symptom was seen" if outcome is Outcome.SHOWN else "it was not seen"
        why = unsure or f"the twin lacks {'; '.join(doubts)}"
        outcome, said = Outcome.INCONCLUSIVE, f"{saw} ({said}), but {why}"
    told = (*talk.packets, *talk.further) if probing.scene is Scene.TUNNELS else talk.packets
    return Demonstration(finding, outcome, said, tuple(told), count)


def _doubts(twin: Copied, talk: Talk) -> tuple[str, ...]:
    """What the twin lacks on the way of a conversation."""
    passed = {talk.first.in_interface}
    if talk.left is not None:
        passed.add(talk.left.interface)
    for packet in (*talk.packets, *talk.further):
        if packet.packet is not None:
            passed.add(packet.packet.in_interface)
        if packet.end is ObservedEnd.SENT:
            passed.add(packet.detail)
    return twin.doubts(talk.first.family, *(name for name in passed if name))
