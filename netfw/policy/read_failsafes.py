"""Reads ``failsafes``: what comes in and goes out whatever the rules say."""

from __future__ import annotations

from dataclasses import replace

from netfw.errors import Where
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.origin import Origin
from netfw.policy.endpoint import Direction
from netfw.policy.faults import Faults
from netfw.policy.fields import read_fields, read_items
from netfw.policy.grant import Grant
from netfw.policy.identity import Draft, name_rules
from netfw.policy.names import Names, net_words, service_words
from netfw.policy.source import Entry, Mapping, Node, Scalar, word_at, written_form
from netfw.policy.traffic import PROTOCOLS_WITH_PORTS, Traffic

OWNER = "failsafe"
"""What the identities of failsafes start with."""
NONE_WORD = "none"
DEFAULT_FAILSAFES = {Direction.INGRESS: ("ssh",), Direction.EGRESS: ("dns", "dhcp", "dhcpv6")}
"""Failsafes of a policy that says nothing of them: who administers it gets in, and it finds names
and its address."""
_NAMES = {Direction.INGRESS: "ingress", Direction.EGRESS: "egress"}
_NET_KEYS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}


def default_failsafes(names: Names, where: Where) -> tuple[Grant, ...]:
    """The failsafes of a policy that does not mention them."""
    faults = Faults()
    found: list[tuple[Grant, Draft]] = []
    for direction, services in DEFAULT_FAILSAFES.items():
        for service in services:
            traffic = names.read_traffic(word_at(where, service), OWNER, faults)
            text = f"{_NAMES[direction]}: {service}"
            found.append(_grant(direction, traffic, (), where, text, [service], service))
    return _named(found)


def read_failsafes(entry: Entry, names: Names, faults: Faults) -> tuple[Grant, ...]:
    """Read them; ``none`` means that there are none at all."""
    node = entry.value
    if isinstance(node, Scalar) and node.text == NONE_WORD:
        return ()
    fields = read_fields(node, tuple(_NAMES.values()), "'failsafes'", faults)
    if fields is None:
        return ()
    found: list[tuple[Grant, Draft]] = []
    for direction, name in _NAMES.items():
        items = fields.find(name)
        if items is None or (isinstance(items, Scalar) and items.text == NONE_WORD):
            continue
        for item in read_items(items, f"'{name}'", faults):
            grant = _read_item(item, direction, names, faults)
            if grant is not None:
                found.append(grant)
    return _named(found)


def answers(failsafes: tuple[Grant, ...]) -> tuple[Grant, ...]:
    """What this host sends back where an ingress failsafe lets something in: conntrack may have
    forgotten the connection, or never have known it."""
    found = []
    for failsafe in failsafes:
        if failsafe.direction is Direction.INGRESS:
            back = tuple(
                Traffic(kind.protocol, kind.source_ports, source_ports=kind.ports)
                for kind in failsafe.traffic
                if kind.protocol in PROTOCOLS_WITH_PORTS
            )
            if back:
                origin = replace(failsafe.origin, identity=f"{failsafe.identity}-answers")
                found.append(
                    Grant(
                        Direction.EGRESS,
                        back,
                        failsafe.destinations,
                        failsafe.sources,
                        True,
                        origin,
                    )
                )
    return tuple(found)


def _read_item(
    item: Node, direction: Direction, names: Names, faults: Faults
) -> tuple[Grant, Draft] | None:
    """A service, or ``{service, from}`` (``to`` for egress)."""
    before = len(faults)
    nets: tuple[Net, ...] = ()
    nets_node, service = None, item
    if isinstance(item, Mapping):
        key = _NET_KEYS[direction]
        fields = read_fields(item, ("service", key), "a failsafe", faults)
        node = None if fields is None else fields.require("service", "name what shall pass")
        if fields is None or node is None:
            return None
        service, nets_node = node, fields.find(key)
        nets = names.read_nets(nets_node, key, faults) if nets_node is not None else ()
    traffic = names.read_traffic(service, "service", faults)
    if len(faults) > before:
        return None
    words = [service_words(service), net_words(nets_node)]
    # one that is a service and nothing else is called by it
    word = item.text if isinstance(item, Scalar) and "/" not in item.text else ""
    found = _grant(direction, traffic, nets, item.where, written_form(item), words, word)
    if not any(found[0].conditions(family) for family in Family):
        faults.add(
            item.where,
            "no packet can match this failsafe: its service and nets are of different families",
            "give it addresses and services of one family",
        )
        return None
    return found


def _grant(
    direction: Direction,
    traffic: tuple[Traffic, ...],
    nets: tuple[Net, ...],
    where: Where,
    text: str,
    meaning: object,
    name: str,
) -> tuple[Grant, Draft]:
    sources, destinations = (nets, ()) if direction is Direction.INGRESS else ((), nets)
    grant = Grant(direction, traffic, sources, destinations, True, Origin(where, "", text))
    side = _NAMES[direction]
    return grant, Draft(side, [side, meaning], f"{side}-{name}" if name else None)


def _named(found: list[tuple[Grant, Draft]]) -> tuple[Grant, ...]:
    identities = name_rules(OWNER, [draft for _, draft in found])
    grants = tuple(
        replace(grant, origin=replace(grant.origin, identity=identity))
        for (grant, _), identity in zip(found, identities, strict=True)
    )
    return (*grants, *answers(grants))
