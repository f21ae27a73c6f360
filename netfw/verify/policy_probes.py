"""Probes that a policy asks for: each rule, its edges, the defaults, answers and translations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from netfw.ir.clock import Clock
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.origin import Origin
from netfw.ir.protocols import DCCP, SCTP, TCP, UDP
from netfw.policy.conditions import Conditions
from netfw.policy.connection_count import ConnectionCount
from netfw.policy.criterion import Criterion
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.model import Policy
from netfw.policy.packet_rate import PacketRate
from netfw.policy.passage import Passage
from netfw.policy.rule import PolicyRule
from netfw.traverse.situation import Path
from netfw.verify.circumstances import (
    PLAIN,
    Circumstances,
    inside,
    is_in_force,
    outside,
)
from netfw.verify.layout import Layout, Link
from netfw.verify.loopback_probes import probe_loopback
from netfw.verify.nat_probes import nat_probes
from netfw.verify.probe import Expected
from netfw.verify.probe_writer import ProbeWriter, Staged
from netfw.verify.sample import (
    ECHO,
    ICMP_NUMBER,
    ODD_PORT,
    Kind,
    address_outside,
    addresses_in,
    interfaces_for,
    kinds_of,
    kinds_outside,
)
from netfw.verify.steer_probes import probe_steering, smuggled_mark
from netfw.verify.steered_layout import add_routing
from netfw.verify.way import Way

UNDECLARED = "other0"
"""An interface that the policy does not name: packets there are none of its business."""
_NETS_TRIED = 4
"""How many networks of a rule are tried at their edges; proof covers them all."""
_LINK_PAIRS_TRIED = 4
_MOST_REPETITIONS = 100
"""A higher limit is not passed here."""


def policy_layout(policy: Policy) -> Layout:
    """A link for every interface that the policy names, and one for an undeclared one."""
    names = [
        interface
        for endpoint in policy.endpoints
        for name in endpoint.interfaces
        for interface in interfaces_for(name)
    ]
    undeclared = UNDECLARED
    while policy.endpoint_of(undeclared) is not None:
        undeclared = f"x{undeclared}"[:15]
    # an interface of a wildcard may be named by a route alone
    names += [via.interface for via in policy.steering.vias.values() if via.interface]
    layout = Layout.of_interfaces(dict.fromkeys([*names, undeclared]))
    if policy.steering.entries:
        add_routing(policy, layout)
    return layout


def policy_probes(policy: Policy, family: Family, layout: Layout, clock: Clock) -> ProbeWriter:
    """All probes for a family, to be sent at a time; the layout learns the addresses that they
    need."""
    writer = ProbeWriter(policy, family, layout, clock)
    writer.left_out += writer.nat.place_targets()
    for _, rule in policy.rules():
        for net in rule.criteria.destinations:
            if net.is_single and net.family is family:
                layout.reserve(family, net.address)
    for entry in policy.endpoint_policies:
        if entry.is_absent:
            continue
        for direction in (Direction.INGRESS, Direction.EGRESS):
            for rule in entry.rules(direction):
                ways_at = [list(_ways(writer, rule, at, direction)) for at in entry.at]
                _probe_rule(writer, rule, ways_at)
    for forward in policy.forward_policies:
        if forward.is_absent:
            continue
        ways = [
            Way(came_by, leaves_by)
            for came_by in _links(layout, forward.sources)
            for leaves_by in _links(layout, forward.destinations)
            if came_by is not leaves_by
        ]
        for rule in forward.rules:
            _probe_rule(writer, rule, [[way for way in ways if _is_passage(way, rule)]])
    for translation in policy.translations:
        _answer_first(writer, nat_probes(writer, translation))
    probe_steering(writer)
    _probe_defaults(writer)
    return writer


def _links(layout: Layout, endpoints: tuple[Endpoint, ...]) -> list[Link]:
    if not endpoints:
        return list(layout.links)
    return [
        layout.link(interface)
        for endpoint in endpoints
        for name in endpoint.interfaces
        for interface in interfaces_for(name)
    ]


def _ways(
    writer: ProbeWriter, rule: PolicyRule, endpoint: Endpoint, direction: Direction
) -> Iterator[Way]:
    """The ways of packets that a direction of an endpoint judges, and that a rule means."""
    elsewhere = [
        link
        for link in writer.layout.links
        if writer.policy.endpoint_of(link.interface) is not endpoint
    ]
    for link in _links(writer.layout, (endpoint,)):
        if endpoint.is_host:
            ways = [Way(link, None) if direction is Direction.INGRESS else Way(None, link)]
            most = 1
        elif direction is Direction.INGRESS:
            ways, most = [Way(other, link) for other in elsewhere], 2
        else:
            ways, most = [Way(link, None), *(Way(link, other) for other in elsewhere)], 2
        yield from islice((way for way in ways if _is_passage(way, rule)), most)


def _is_passage(way: Way, rule: PolicyRule) -> bool:
    """Whether a way is one that a rule's ``in`` and ``out`` mean."""
    came_by, leaves_by = way.interfaces
    return all(
        extra.covers(came_by, leaves_by)
        for extra in rule.criteria.extras
        if isinstance(extra, Passage)
    )


def _probe_rule(writer: ProbeWriter, rule: PolicyRule, ways_at: list[list[Way]]) -> None:
    """Probes of a rule, at each of the places where it stands."""
    conditions = rule.conditions(writer.family)
    if conditions is None or not any(ways_at):
        return
    if not is_in_force(conditions.extras, writer.clock):
        writer.left_out.append(f"{rule.origin}: it is not in force at this time")
    sent = [_probe_place(writer, rule, conditions, ways) for ways in ways_at]
    if not any(sent):
        writer.left_out.append(f"{rule.origin}: no packet of {writer.family} can be staged for it")


def _probe_place(
    writer: ProbeWriter, rule: PolicyRule, conditions: Conditions, ways: list[Way]
) -> bool:
    """The first way gets every edge, the others one packet each. Whether any could be sent."""
    extras = conditions.extras
    kinds = [kind for traffic in conditions.traffic for kind in kinds_of(traffic, writer.family)]
    beside = [kind for traffic in conditions.traffic for kind in kinds_outside(traffic)]
    for traffic in conditions.not_traffic:
        beside += [*kinds_of(traffic, writer.family), *kinds_outside(traffic)]
    sources = _usable(conditions.sources)
    destinations = _usable(conditions.destinations)
    sent: list[Staged] = []

    def send(
        way: Way,
        kind: Kind,
        from_: list[int | None],
        to: list[int | None],
        given: Circumstances | None = None,
    ) -> list[Staged]:
        given = given or next(inside(extras, is_local=way.came_by is None))
        return _send(writer, rule.identity, way, kind, from_, to, rule.origin, given)

    for way in ways[:1]:
        for kind in kinds:
            sent += send(way, kind, sources[:1], destinations[:1])
        for kind in kinds[:1]:
            sent += send(way, kind, sources[1:], destinations[:1])
            sent += send(way, kind, sources[:1], destinations[1:])
    for way in ways[1:_LINK_PAIRS_TRIED]:
        for kind in kinds[:1]:
            for destination in destinations:
                staged = send(way, kind, sources[:1], [destination])
                sent += staged
                if staged:
                    break
    for way in ways[:1]:
        # just outside of what the rule asks for: another rule, or the default, has its say
        for kind in beside:
            send(way, kind, sources[:1], destinations[:1])
        for kind in kinds[:1]:
            send(way, kind, _beyond(conditions.sources), destinations[:1])
            send(way, kind, sources[:1], _beyond(conditions.destinations))
            for _ in range(_repetitions(extras)):
                sent += send(way, kind, sources[:1], destinations[:1])
            is_local = way.came_by is None
            for given in islice(inside(extras, is_local=is_local), 1, None):
                sent += send(way, kind, sources[:1], destinations[:1], given)
            for given in outside(extras, is_local=is_local):
                send(way, kind, sources[:1], destinations[:1], given)
            if conditions.not_sources:
                send(way, kind, _usable(conditions.not_sources), destinations[:1])
            if conditions.not_destinations:
                send(way, kind, sources[:1], _usable(conditions.not_destinations))
    _answer_first(writer, sent)
    return bool(sent)


def _repetitions(extras: tuple[Criterion, ...]) -> int:
    """How often one packet is sent again, so that limits of a rule are passed."""
    most = [
        extra.burst if isinstance(extra, PacketRate) else extra.most
        for extra in extras
        if isinstance(extra, PacketRate | ConnectionCount)
    ]
    return min(max(most, default=-2) + 2, _MOST_REPETITIONS)


def _usable(nets: tuple[Net, ...]) -> list[int | None]:
    """Addresses at the edges of the first networks; [None] stands for any address."""
    found: list[int | None] = []
    for net in nets[:_NETS_TRIED]:
        found += islice(addresses_in(net), 2)
    return found or ([None] if not nets else [])


def _beyond(nets: tuple[Net, ...]) -> list[int | None]:
    found = (address_outside(net) for net in nets[:_NETS_TRIED])
    return [address for address in found if address is not None]


def _send(
    writer: ProbeWriter,
    group: str,
    way: Way,
    kind: Kind,
    sources: list[int | None],
    destinations: list[int | None],
    origin: Origin | None,
    given: Circumstances = PLAIN,
) -> list[Staged]:
    sent = []
    for source in sources:
        for destination in destinations:
            staged = writer.first(
                group,
                way,
                kind,
                source=source,
                destination=destination,
                origin=origin,
                given=given,
            )
            if staged is not None:
                sent.append(staged)
    return sent


def _answer_first(writer: ProbeWriter, sent: list[Staged]) -> None:
    """Let the first accepted packet of a rule be answered.

    Not where this host's kernel has a say in the conversation: it answers pings itself, and it
    resets TCP connections that no process has. SCTP and DCCP are not answered: that is not built.
    """
    for staged in sent:
        forwarded = staged.way.path is Path.FORWARDED
        if staged.probe.expected is Expected.DENIED:
            continue
        protocol = staged.probe.packet.protocol
        if protocol == UDP or (forwarded and protocol not in (SCTP, DCCP)):
            writer.answer(staged)
            return


def _probe_defaults(writer: ProbeWriter) -> None:
    """What no rule speaks of: odd packets everywhere, invalid ones, and smuggled marks."""
    family, links = writer.family, writer.layout.links
    ping: Kind = (ICMP_NUMBER[family], 0, (ECHO[family], 0), None)
    odd: tuple[Kind, ...] = ((UDP, ODD_PORT, (0, 0), None), (TCP, ODD_PORT, (0, 0), None), ping)
    ways = [way for link in links for way in (Way(link, None), Way(None, link))]
    ways += [
        Way(came_by, leaves_by)
        for came_by in links
        for leaves_by in links
        if came_by is not leaves_by
    ][: 10 * _LINK_PAIRS_TRIED]
    probe_loopback(writer)
    smuggled = smuggled_mark(writer)
    for way in ways:
        group = f"default {' -> '.join(name or 'this host' for name in way.interfaces)}"
        for kind in odd:
            staged = writer.first(group, way, kind)
            if staged is not None and kind[0] == UDP:
                _answer_first(writer, [staged])
        writer.first(group, way, odd[1], tcp_flags=0)
        if way.came_by is None:
            writer.first(group, way, odd[0], given=Circumstances(mark=smuggled))
