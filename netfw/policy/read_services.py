"""Reads ``services``: names for kinds of packets, and the names that every policy knows."""

from __future__ import annotations

from netfw.ir.match import PortRange
from netfw.policy.builtin_services import BUILTIN_SERVICES
from netfw.policy.definitions import Definitions
from netfw.policy.faults import Faults
from netfw.policy.fields import Fields, read_fields, read_words
from netfw.policy.iana_services import IANA_SERVICES
from netfw.policy.icmp_names import BOTH_ICMP_NAMES
from netfw.policy.names import RESERVED_NAMES
from netfw.policy.service_literal import (
    ANY_WORD,
    LITERAL_WORDS,
    PROTOCOLS,
    LiteralFault,
    both_icmp,
    is_literal,
    parse_ports,
    parse_service,
    parse_services,
)
from netfw.policy.source import Mapping, Node, Scalar
from netfw.policy.traffic import PROTOCOLS_WITH_PORTS, Traffic

_WITH_PORTS = tuple(word for word, number in PROTOCOLS.items() if number in PROTOCOLS_WITH_PORTS)
FROM_PORTS = "from-ports"
"""The key for source ports."""
_KEYS = (*_WITH_PORTS, FROM_PORTS)


def read_services(node: Node | None, faults: Faults) -> Definitions[Traffic]:
    """All services: the author's, those built in, and those with a registered name."""
    services: Definitions[Traffic] = Definitions(
        "service",
        _read_literal,
        is_literal,
        {name: tuple(map(parse_service, words)) for name, words in BUILTIN_SERVICES.items()},
        faults,
        _read_mapping,
        find_known,
        (*IANA_SERVICES, *BOTH_ICMP_NAMES),
    )
    if node is not None:
        services.read(node, RESERVED_NAMES | LITERAL_WORDS)
    return services


def find_known(name: str) -> tuple[Traffic, ...] | None:
    """What a registered name stands for, or that of a type of ICMP and ICMPv6."""
    if name in BOTH_ICMP_NAMES:
        return both_icmp(name)
    words = IANA_SERVICES.get(name)
    return None if words is None else tuple(map(parse_service, words))


def _read_literal(word: Scalar, faults: Faults) -> tuple[Traffic, ...] | None:
    try:
        return parse_services(word.text)
    except LiteralFault as error:
        faults.add(word.where, str(error), error.hint)
        return None


def _read_mapping(node: Mapping, faults: Faults) -> tuple[Traffic, ...] | None:
    """``{tcp: 9000-9010, from-ports: 1024-65535}``: each of one with each of the other."""
    before = len(faults)
    fields = read_fields(node, _KEYS, "a service", faults)
    if fields is None or len(faults) > before:
        return None
    given = [word for word in _WITH_PORTS if fields.find(word) is not None]
    if not given:
        faults.add(
            node.where,
            "this service has no protocol",
            f"write {{tcp: 9000-9010, {FROM_PORTS}: 1024-65535}}",
        )
        return None
    sources = _read_ports(fields, FROM_PORTS, faults)
    found = tuple(
        Traffic(PROTOCOLS[word], ports, source_ports=source)
        for word in given
        for source in sources
        for ports in _read_ports(fields, word, faults)
    )
    return found if len(faults) == before else None


def _read_ports(fields: Fields, key: str, faults: Faults) -> tuple[PortRange | None, ...]:
    """Ports under a key; None alone stands for all of them."""
    node = fields.find(key)
    if node is None or (isinstance(node, Scalar) and node.text == ANY_WORD):
        return (None,)
    found: list[PortRange] = []
    for word in read_words(node, f"'{key}'", faults):
        try:
            found.append(parse_ports(word.text, word.text))
        except LiteralFault as error:
            faults.add(word.where, str(error), error.hint)
    return tuple(found)
