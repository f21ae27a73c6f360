"""Probes for what a policy steers: each entry, its edges, what follows, marks brought along."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import UDP
from netfw.policy.steering import SteerPolicy
from netfw.verify.circumstances import Circumstances, inside, outside
from netfw.verify.layout import Link
from netfw.verify.probe import Expected
from netfw.verify.probe_writer import ProbeWriter, Staged
from netfw.verify.sample import (
    Kind,
    address_outside,
    addresses_in,
    kinds_of,
    kinds_outside,
)
from netfw.verify.steered_layout import link_of_table
from netfw.verify.way import Way

_AFAR = {
    Family.IPV4: Net.parse("192.0.2.128/26"),
    Family.IPV6: Net.parse("2001:db8:ffff:ffff::/64"),
}
"""Where destinations lie that an entry does not name: beyond the networks of the stage's links."""
_ASKERS = {
    Family.IPV4: Net.parse("192.0.2.192/26"),
    Family.IPV6: Net.parse("2001:db8:ffff:fffe::/64"),
}
"""Where those lie whose answers take a table."""
_NETS_TRIED = 3
_WAYS_TRIED = 2
_ANSWERED = 2
"""How many conversations of an entry go on."""


def probe_steering(writer: ProbeWriter) -> None:
    """Write all of them."""
    for entry in writer.policy.steering.entries:
        _Entry(writer, entry).probe()


class _Entry:
    """The probes of one entry."""

    def __init__(self, writer: ProbeWriter, entry: SteerPolicy) -> None:
        self.writer = writer
        self.entry = entry
        self.leads_to = None
        if entry.table and entry.families and writer.family in entry.families:
            self.leads_to = link_of_table(writer.layout, writer.family, entry.table)

    def probe(self) -> None:
        """The first way gets every edge, the others one packet each."""
        writer, entry = self.writer, self.entry
        conditions = entry.conditions(writer.family)
        if conditions is None:
            return
        meant = [kind for each in conditions.traffic for kind in kinds_of(each, writer.family)]
        beside = [kind for each in conditions.traffic for kind in kinds_outside(each)]
        for each in conditions.not_traffic:
            beside += kinds_of(each, writer.family)
        sources = self._own_sources() or [
            address
            for net in conditions.sources[:_NETS_TRIED]
            for address in list(addresses_in(net))[:1]
        ]
        beyond = [address_outside(net) for net in conditions.sources[:_NETS_TRIED]]
        but = [address for net in conditions.not_sources[:1] for address in addresses_in(net)][:1]
        sent: list[Staged] = []
        for number, way in enumerate(self._ways()):
            for kind in meant if number == 0 else meant[:1]:
                sent += self._send(way, kind, sources[0] if sources else None)
            if number:
                continue
            for kind in meant[:1]:
                for source in (*sources[1:], *beyond, *but):
                    if source is not None:
                        self._send(way, kind, source)
            for kind in beside:
                self._send(way, kind, sources[0] if sources else None)
            for kind in meant[:1]:
                self._vary(way, kind, sources[0] if sources else None)
        answerable = (
            staged
            for staged in sent
            if staged.probe.expected is not Expected.DENIED and staged.probe.packet.protocol == UDP
        )
        for staged in islice(answerable, _ANSWERED):
            writer.answer(staged)

    def _vary(self, way: Way, kind: Kind, source: int | None) -> None:
        """Further values of what else the entry asks for, and others than those."""
        extras, is_local = self.entry.criteria.extras, way.came_by is None
        for given in islice(inside(extras, is_local=is_local), 1, None):
            self._send(way, kind, source, given)
        for given in outside(extras, is_local=is_local):
            self._send(way, kind, source, given)

    def _own_sources(self) -> list[int]:
        """For answers, somebody far away asks: the way back is then another than by the table."""
        if not self.entry.answers or self.entry.criteria.sources:
            return []
        return [next(iter(addresses_in(_ASKERS[self.writer.family])))]

    def _ways(self) -> Iterator[Way]:
        links = self.writer.layout.links
        others = [link for link in links if link is not self.leads_to]
        if self.entry.from_host:
            yield from (Way(None, link) for link in others[:_WAYS_TRIED])
            return
        came_by: list[Link] = [
            link
            for link in links
            if not self.entry.inputs
            or any(endpoint.covers(link.interface) for endpoint in self.entry.inputs)
        ]
        for link in came_by[:_WAYS_TRIED]:
            yield from (Way(link, other) for other in others if other is not link)
            if self.entry.answers:
                # to this host, which answers itself
                yield Way(link, None)

    def _send(
        self, way: Way, kind: Kind, source: int | None, given: Circumstances | None = None
    ) -> list[Staged]:
        writer = self.writer
        extras = self.entry.criteria.extras
        given = given or next(inside(extras, is_local=way.came_by is None))
        nets = self.entry.criteria.destinations[:_NETS_TRIED] if way.leaves_by is not None else ()
        wanted = [
            next(iter(addresses_in(net)), None) for net in nets if net.family is writer.family
        ]
        targets: list[int | None] = [address for address in wanted if address is not None]
        if way.leaves_by is not None and not targets:
            targets = [self._place_afar(way)]
        found = []
        for target in targets or [None]:
            staged = writer.first(
                self.entry.identity,
                way,
                kind,
                source=source,
                destination=target,
                origin=self.entry.origin,
                given=given,
            )
            if staged is not None:
                found.append(staged)
        return found

    def _place_afar(self, way: Way) -> int | None:
        """An address beyond the stage's own networks, behind the link where the way leads."""
        return next((each for each in self._afar() if self.writer.stage(each, way)), None)

    def _afar(self) -> Iterator[int]:
        return addresses_in(_AFAR[self.writer.family])


def smuggled_mark(writer: ProbeWriter) -> int:
    """Bits that a process brings along: netfw's own, and those of a table if there is one."""
    steering = writer.policy.steering
    found = writer.policy.field.mask
    for number in steering.tables.values():
        return found | steering.field.table(number).value
    return found
