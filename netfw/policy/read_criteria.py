"""Reads what is asked of packets: the same keys with the same meaning wherever they may stand."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import TCP
from netfw.policy.criteria import Criteria
from netfw.policy.criterion import Criterion
from netfw.policy.faults import Faults
from netfw.policy.fields import Fields, read_fields
from netfw.policy.names import Names, net_words, service_words
from netfw.policy.read_counted import read_connections, read_rate
from netfw.policy.read_ip_version import read_ip_version
from netfw.policy.read_mac import read_mac
from netfw.policy.read_mark import read_mark
from netfw.policy.read_owner import read_group, read_user
from netfw.policy.read_passage import read_in, read_out
from netfw.policy.read_segment_flags import read_segment_flags
from netfw.policy.read_source_ports import read_source_ports
from netfw.policy.read_states import read_states
from netfw.policy.read_time import read_time
from netfw.policy.read_validity import VALIDITY_KEYS, read_validity
from netfw.policy.segment_flags import SegmentFlags
from netfw.policy.service_literal import ANY_WORD
from netfw.policy.source import Mapping, Node
from netfw.policy.source_ports import SourcePorts
from netfw.policy.traffic import ANY, PROTOCOLS_WITH_PORTS, Traffic

_READERS: dict[str, Callable[[Node, Names, Faults], Criterion | None]] = {
    "ip": read_ip_version,
    "in": read_in,
    "out": read_out,
    "source-ports": read_source_ports,
    "tcp-flags": read_segment_flags,
    "mac": read_mac,
    "user": read_user,
    "group": read_group,
    "mark": read_mark,
    "state": read_states,
    "time": read_time,
    "connections": read_connections,
    "rate": read_rate,
}
"""In the order in which they are compared: what costs little first, and what counts last."""
_EXTRA_KEYS = frozenset((*_READERS, *VALIDITY_KEYS))
CRITERIA_KEYS = ("from", "to", *_READERS, *VALIDITY_KEYS)
"""The keys beside the service."""


@dataclass(frozen=True, slots=True)
class ReadCriteria:
    """Criteria, and the words that they were written with, in a spelling and order beyond taste.

    ``services``, ``sources`` and ``destinations`` are what is asked for; ``further`` is
    everything else, empty where there is nothing else.
    """

    criteria: Criteria
    services: list[str]
    sources: list[str]
    destinations: list[str]
    further: list[object]


def read_criteria(
    fields: Fields,
    service: Node | None,
    what: str,
    names: Names,
    faults: Faults,
    keys: Collection[str] = CRITERIA_KEYS,
    ends: tuple[str, str] = ("from", "to"),
) -> ReadCriteria:
    """Read the criteria among the keys of a mapping.

    ``service`` is the node that names services, ``what`` its key; any traffic without it.
    ``keys`` are those that are read as criteria: others may stand there with another meaning.
    ``ends`` are what messages call the keys for addresses, where their author wrote other words.
    Whether a packet can meet them is not looked at: ``describe_families`` says why it cannot.
    """
    source, destination = ends
    some = service is not None
    service, not_service = _split(service, what, faults) if service else (None, None)
    from_node, not_from = _split(_find(fields, "from", keys), source, faults)
    to_node, not_to = _split(_find(fields, "to", keys), destination, faults)
    further: list[object] = [
        [key, words]
        for key, words in (
            ("not", service_words(not_service)),
            ("not-from", net_words(not_from)),
            ("not-to", net_words(not_to)),
        )
        if words
    ]
    # most rules ask for no more than services and nets, and there are many rules
    extras = _read_extras(fields, names, faults, keys) if fields.has_any_of(_EXTRA_KEYS) else []
    further += [extra.meaning for extra in extras]
    criteria = Criteria(
        names.read_traffic(service, what, faults) if service else (ANY,),
        names.read_nets(from_node, source, faults) if from_node else (),
        names.read_nets(to_node, destination, faults) if to_node else (),
        _read_exceptions(not_service, what, names, faults),
        names.read_nets(not_from, source, faults) if not_from else (),
        names.read_nets(not_to, destination, faults) if not_to else (),
        tuple(extras),
    )
    _check_protocols(fields, criteria, faults)
    services = service_words(service) or ([ANY_WORD] if some else [])
    return ReadCriteria(criteria, services, net_words(from_node), net_words(to_node), further)


def _read_extras(
    fields: Fields, names: Names, faults: Faults, keys: Collection[str]
) -> list[Criterion]:
    extras: list[Criterion] = []
    for key, read in _READERS.items():
        node = _find(fields, key, keys)
        extra = None if node is None else read(node, names, faults)
        if extra is not None:
            extras.append(extra)
    if "expires" in keys and (validity := read_validity(fields, faults)) is not None:
        extras.append(validity)
    return extras


def _find(fields: Fields, key: str, keys: Collection[str]) -> Node | None:
    return fields.find(key) if key in keys else None


def _split(node: Node | None, what: str, faults: Faults) -> tuple[Node | None, Node | None]:
    """What is asked for, and what is excepted: ``{not: …}``, ``{any-of: …, not: …}``."""
    if not isinstance(node, Mapping):
        return node, None
    fields = read_fields(node, ("any-of", "not"), f"'{what}'", faults)
    if fields is None:
        return None, None
    return fields.find("any-of"), fields.require("not", f"write {what}: {{not: …}}, or a list")


def _read_exceptions(
    node: Node | None, what: str, names: Names, faults: Faults
) -> tuple[Traffic, ...]:
    if node is None:
        return ()
    found = names.read_traffic(node, what, faults)
    if ANY in found:
        faults.add(
            node.where,
            f"'not' of '{what}' excepts every packet",
            "name the services that are not meant",
        )
    return found


def _check_protocols(fields: Fields, criteria: Criteria, faults: Faults) -> None:
    """Only what has ports comes from a port, and only TCP has its flags."""
    protocols = {kind.protocol for kind in criteria.traffic}
    for extra in criteria.extras:
        if isinstance(extra, SourcePorts) and not protocols <= PROTOCOLS_WITH_PORTS:
            faults.add(
                fields.where,
                "'source-ports' beside services that have no ports",
                "name services of tcp, udp and sctp, such as [tcp, udp]",
            )
        if isinstance(extra, SegmentFlags) and protocols != {TCP}:
            faults.add(
                fields.where,
                "'tcp-flags' beside services that are not of tcp",
                "name services of tcp alone, such as tcp or tcp/80",
            )


def describe_families(criteria: Criteria) -> str:
    """Which parts of criteria are about one family only: why no packet can meet all of them."""
    parts: list[tuple[str, set[Family]]] = [
        ("its service", {family for kind in criteria.traffic for family in kind.families}),
        ("'from'", _families_of(criteria.sources)),
        ("'to'", _families_of(criteria.destinations)),
    ]
    parts += [(f"'{extra.KEY}'", set(extra.families)) for extra in criteria.extras]
    found = [f"{what} is {next(iter(those))} only" for what, those in parts if len(those) == 1]
    for what, nets in (("from", criteria.not_sources), ("to", criteria.not_destinations)):
        found += [f"'not' of '{what}' is all of {net.family}" for net in nets if net.mask == 0]
    return ", ".join(found)


def _families_of(nets: tuple[Net, ...]) -> set[Family]:
    return {net.family for net in nets}
