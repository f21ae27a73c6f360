"""Probes of this host to itself: what leaves by lo and comes in by it."""

from __future__ import annotations

from netfw.ir.protocols import UDP
from netfw.policy.endpoint import Direction
from netfw.traverse.host_facts import LOOPBACK
from netfw.verify.probe_writer import ProbeWriter
from netfw.verify.sample import ODD_PORT, kinds_of, kinds_outside
from netfw.verify.way import Way

_OVER_IT = Way(None, None)


def probe_loopback(writer: ProbeWriter) -> None:
    """Something that no rule speaks of; and where the loopback is judged, every rule and its
    edges."""
    writer.first("default this host -> this host", _OVER_IT, (UDP, ODD_PORT, (0, 0), None))
    endpoint = writer.policy.endpoint_of(LOOPBACK)
    if endpoint is None:
        return
    for direction in (Direction.INGRESS, Direction.EGRESS):
        for entry in writer.policy.policies_at(endpoint, direction):
            for rule in entry.rules(direction):
                conditions = rule.conditions(writer.family)
                for traffic in () if conditions is None else conditions.traffic:
                    for kind in (*kinds_of(traffic, writer.family), *kinds_outside(traffic)):
                        writer.first(rule.identity, _OVER_IT, kind, origin=rule.origin)
