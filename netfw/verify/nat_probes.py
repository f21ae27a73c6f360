"""Probes for the entries of ``nat``: packets that they are about, and some that they are not."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.ir.net import Net
from netfw.policy.endpoint import Endpoint
from netfw.policy.translation import Point, Translation, Turn
from netfw.verify.layout import Link
from netfw.verify.probe_writer import ProbeWriter, Staged
from netfw.verify.sample import (
    address_outside,
    addresses_in,
    interfaces_for,
    kinds_of,
    kinds_outside,
)
from netfw.verify.way import Way

_NETS_TRIED = 2
_WAYS_TRIED = 4


def nat_probes(writer: ProbeWriter, translation: Translation) -> list[Staged]:
    """Send packets for every turn of an entry; those that begin a connection."""
    sent: list[Staged] = []
    for turn in translation.turns:
        sent += _of_turn(writer, translation, turn)
    return sent


def _of_turn(writer: ProbeWriter, translation: Translation, turn: Turn) -> Iterator[Staged]:
    conditions = turn.conditions(writer.family)
    if conditions is None or turn.of_redirected:
        return
    kinds = [
        kind
        for traffic in conditions.traffic
        for kind in (*kinds_of(traffic, writer.family), *kinds_outside(traffic))
    ]
    sources = _addresses(conditions.sources)
    destinations = _addresses(conditions.destinations)
    for way in list(_ways(writer, turn))[:_WAYS_TRIED]:
        for kind in kinds:
            for source in sources:
                for destination in destinations:
                    staged = writer.first(
                        translation.origin.identity,
                        way,
                        kind,
                        source=source,
                        destination=destination,
                        origin=translation.origin,
                    )
                    if staged is not None:
                        yield staged


def _addresses(nets: tuple[Net, ...]) -> list[int | None]:
    """Addresses at the edges of the first networks, and one outside; [None] is any."""
    if not nets:
        return [None]
    found: list[int | None] = []
    for net in nets[:_NETS_TRIED]:
        found += [next(iter(addresses_in(net)), None), address_outside(net)]
    return [address for address in found if address is not None] or [None]


def _ways(writer: ProbeWriter, turn: Turn) -> Iterator[Way]:
    links = writer.layout.links
    if turn.point is Point.ARRIVING:
        yield from (Way(link, None) for link in _links(writer, turn.inputs))
    elif turn.point is Point.SENDING:
        yield from (Way(None, link) for link in links[: _WAYS_TRIED - 1])
        yield Way(None, None)
    else:
        for leaves_by in _links(writer, turn.outs):
            if turn.inputs is None:
                yield Way(None, leaves_by)
            for came_by in _links(writer, turn.inputs):
                if came_by is not leaves_by:
                    yield Way(came_by, leaves_by)


def _links(writer: ProbeWriter, endpoints: tuple[Endpoint, ...] | None) -> list[Link]:
    if endpoints is None:
        return list(writer.layout.links)
    return [
        writer.layout.link(interface)
        for endpoint in endpoints
        for name in endpoint.interfaces
        for interface in interfaces_for(name)
    ]
