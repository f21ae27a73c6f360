"""Reads ``dnat`` and ``redirect``: new destinations for what arrives, or is sent by this host."""

from __future__ import annotations

from dataclasses import dataclass, replace

from netfw.ir.names import Family
from netfw.policy.criteria import Criteria
from netfw.policy.endpoint import Endpoint
from netfw.policy.names import endpoint_words
from netfw.policy.nat_draft import HOST_WORD, NatDraft, NatFields
from netfw.policy.new_end import Given, Own, Ports, nets_between
from netfw.policy.read_new_end import given_by, read_ports, read_targets
from netfw.policy.source import Node, Scalar
from netfw.policy.traffic import TRANSLATED_PROTOCOLS
from netfw.policy.translation import Permission, Point, Turn

ARRIVING_KEYS = ("in", "from", "addressed-to", "service")
"""Which packets are meant, of those that arrive or that this host sends."""
DNAT_KEYS = (*ARRIVING_KEYS, "to", "hairpin", "lasting", "name")
REDIRECT_KEYS = (*ARRIVING_KEYS, "to", "family", "name")


@dataclass(frozen=True, slots=True)
class Arriving:
    """Which packets an entry is about: ``inputs`` is None for what this host sends."""

    criteria: Criteria
    inputs: tuple[Endpoint, ...] | None
    meaning: list[object]

    @property
    def point(self) -> Point:
        """Where such packets are translated."""
        return Point.SENDING if self.inputs is None else Point.ARRIVING


def read_dnat(fields: NatFields) -> NatDraft | None:
    """The destination becomes another host, which is allowed; perhaps with a hairpin."""
    service_node = fields.fields.require("service", "name what shall be redirected")
    to_node = fields.fields.require("to", "say where it shall go, as '10.0.0.5:443'")
    arriving = read_arriving(fields)
    hairpin = _read_hairpin(fields, arriving)
    is_lasting = fields.flag("lasting")
    targets = read_targets(to_node, fields.faults, with_ports=True) if to_node else ()
    if is_lasting and targets and all(target.first == target.last for target in targets):
        fields.faults.add(
            fields.item.where,
            "'lasting' beside a single address says nothing",
            "it keeps a client at one address of a range: leave it out",
        )
    turns: list[Turn] = []
    permissions: list[Permission] = []
    criteria = arriving.criteria
    inputs = arriving.inputs
    if inputs is not None:
        inputs = tuple(dict.fromkeys((*inputs, *hairpin)))
    for target in targets:
        if service_node is None:
            break
        new = given_by(target, criteria.traffic, fields.faults, is_lasting=is_lasting)
        if criteria.not_traffic and new.ports is not None:
            fields.faults.add(
                service_node.where,
                "a service with exceptions cannot be sent to another port",
                "name the services that are meant",
            )
        families = fields.check_families(criteria, (target.family,), "to")
        turns.append(Turn(arriving.point, families, criteria, new, inputs))
        behind = _behind(criteria, target.family, new)
        if inputs is not None:
            permissions.append(Permission(inputs, target.family, behind, fields.origin))
        if hairpin:
            back = Turn(Point.LEAVING, families, behind, Own(), hairpin, hairpin, True)
            turns.append(back)
    words: list[object] = [*arriving.meaning, *(target.meaning for target in targets)]
    if hairpin:
        words.append(["hairpin", endpoint_words(fields.fields.find("hairpin"))])
    if is_lasting:
        words.append("lasting")
    return fields.finish(turns, words, permissions)


def _behind(criteria: Criteria, family: Family, new: Given) -> Criteria:
    """The same packets with their new destination."""
    traffic = criteria.traffic
    if new.ports is not None:
        traffic = tuple(replace(kind, ports=new.ports.span) for kind in traffic)
    return replace(
        criteria,
        traffic=tuple(dict.fromkeys(traffic)),
        destinations=nets_between(family, new.first, new.last),
        not_destinations=(),
    )


def _read_hairpin(fields: NatFields, arriving: Arriving) -> tuple[Endpoint, ...]:
    node = fields.fields.find("hairpin")
    if node is None:
        return ()
    if arriving.inputs is None:
        fields.faults.add(
            node.where,
            "'hairpin' beside 'from: host' says nothing",
            "what this host sends gets its answers anyway: leave it out",
        )
    elif not arriving.criteria.destinations:
        fields.faults.add(
            node.where,
            "'hairpin' without 'addressed-to' would redirect whatever its clients send anywhere",
            "say under 'addressed-to' which address of this host is meant",
        )
    return fields.endpoints("hairpin") or ()


def read_redirect(fields: NatFields) -> NatDraft | None:
    """The destination becomes this host, which its ingress must allow."""
    fields.fields.require("service", "name what shall be redirected")
    arriving = read_arriving(fields)
    families = fields.families((Family.IPV4, Family.IPV6))
    to_node = fields.fields.find("to")
    span = read_ports(to_node, "to", fields.faults) if to_node else None
    traffic = arriving.criteria.traffic
    if to_node is not None and any(kind.protocol not in TRANSLATED_PROTOCOLS for kind in traffic):
        fields.faults.add(
            to_node.where, "'to' is a port, but the service is more than tcp, udp and sctp"
        )
    elif (
        span is not None and span.first < span.last and {kind.ports for kind in traffic} != {span}
    ):
        assert to_node is not None
        fields.faults.add(
            to_node.where,
            "a redirection leads to one port, or leaves those of a range as they are",
            "write one port, or leave 'to' out and the ports stay",
        )
    if span is not None and arriving.criteria.not_traffic:
        fields.faults.add(
            fields.item.where,
            "a service with exceptions cannot be sent to another port",
            "name the services that are meant",
        )
    families = fields.check_families(arriving.criteria, families)
    new = Own(None if span is None else Ports(span))
    turn = Turn(arriving.point, families, arriving.criteria, new, arriving.inputs)
    words = [*arriving.meaning, [] if span is None else [span.first, span.last]]
    return fields.finish((turn,), [*words, [family.value for family in families]])


def read_arriving(fields: NatFields) -> Arriving:
    """Which packets are meant: by an interface, or sent by this host."""
    in_node, from_node = fields.fields.find("in"), fields.fields.find("from")
    is_of_host = _is_host(from_node)
    inputs: tuple[Endpoint, ...] | None = None
    if in_node is None and not is_of_host:
        fields.fields.require(
            "in", "name the endpoint it comes in by; or write from: host for what this host sends"
        )
        inputs = ()
    elif in_node is not None:
        inputs = fields.endpoints("in")
        if is_of_host:
            fields.faults.add(
                in_node.where,
                "what this host sends comes in nowhere",
                "leave 'in' out, or 'from: host'",
            )
    read = fields.criteria("" if is_of_host else "from", "addressed-to")
    sources: list[object] = ["host", HOST_WORD] if is_of_host else list(read.sources)
    meaning: list[object] = [endpoint_words(in_node), read.services, sources]
    if read.destinations:
        meaning.append(["addressed-to", read.destinations])
    return Arriving(read.criteria, inputs, [*meaning, *read.further])


def _is_host(node: Node | None) -> bool:
    return isinstance(node, Scalar) and node.text == HOST_WORD
