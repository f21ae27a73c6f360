"""Reads ``masquerade`` and ``snat``: new sources for what leaves."""

from __future__ import annotations

from netfw.ir.match import PortRange
from netfw.ir.names import Family
from netfw.policy.criteria import Criteria
from netfw.policy.endpoint import Endpoint
from netfw.policy.names import endpoint_words
from netfw.policy.nat_draft import HOST_WORD, NatDraft, NatFields
from netfw.policy.new_end import Given, NewEnd, Own, Ports
from netfw.policy.read_new_end import read_ports, read_targets
from netfw.policy.source import Scalar
from netfw.policy.traffic import TRANSLATED_PROTOCOLS
from netfw.policy.translation import Point, Turn

LEAVING_KEYS = ("out", "from", "from-nets", "to-nets", "service")
"""Which packets are meant, of those that leave."""
MASQUERADE_KEYS = (*LEAVING_KEYS, "family", "to-ports", "random", "name")
SNAT_KEYS = (*LEAVING_KEYS, "to", "to-ports", "random", "lasting", "name")


def read_masquerade(fields: NatFields) -> NatDraft | None:
    """The source becomes the address of the interface by which a packet leaves."""
    criteria, inputs, outs, meaning = read_leaving(fields)
    families = fields.families((Family.IPV4,))
    ports, is_random = _read_new_ports(fields, criteria)
    families = fields.check_families(criteria, families)
    new = Own(None if ports is None else Ports(ports), is_random)
    turn = Turn(Point.LEAVING, families, criteria, new, inputs, outs)
    from_words, out_words, *further = meaning
    words = [from_words, out_words, [family.value for family in families]]
    return fields.finish((turn,), [*words, *further, *_meaning(ports, is_random=is_random)])


def read_snat(fields: NatFields) -> NatDraft | None:
    """The source becomes a given address, or one of a range."""
    criteria, inputs, outs, meaning = read_leaving(fields)
    to_node = fields.fields.require("to", "say which address it becomes, as 203.0.113.7")
    ports, is_random = _read_new_ports(fields, criteria)
    is_lasting = fields.flag("lasting")
    targets = read_targets(to_node, fields.faults, with_ports=False) if to_node else ()
    if is_lasting and targets and all(target.first == target.last for target in targets):
        fields.faults.add(
            fields.item.where,
            "'lasting' beside a single address says nothing",
            "it keeps a client's address out of a range: leave it out",
        )
    turns = []
    for target in targets:
        families = fields.check_families(criteria, (target.family,), "to")
        new_ports = None if ports is None else Ports(ports)
        new: NewEnd = Given(target.first, target.last, new_ports, is_random, is_lasting)
        turns.append(Turn(Point.LEAVING, families, criteria, new, inputs, outs))
    words: list[object] = [*meaning, [target.meaning for target in targets]]
    words += _meaning(ports, is_random=is_random, is_lasting=is_lasting)
    return fields.finish(turns, words)


def read_leaving(
    fields: NatFields,
) -> tuple[Criteria, tuple[Endpoint, ...] | None, tuple[Endpoint, ...], list[object]]:
    """Which packets are meant, where they came in and where they leave, and the words for it:
    those for endpoints first."""
    out_node = fields.fields.require("out", "name the endpoint it leaves by")
    from_node = fields.fields.find("from")
    if isinstance(from_node, Scalar) and from_node.text == HOST_WORD:
        fields.faults.add(
            from_node.where,
            "'from: host' cannot be told apart where sources are translated",
            "leave 'from' out: then what this host sends is meant too; or name its addresses "
            "under 'from-nets'",
        )
        inputs: tuple[Endpoint, ...] | None = None
    else:
        inputs = fields.endpoints("from")
    outs = () if out_node is None else fields.endpoints("out") or ()
    read = fields.criteria("from-nets", "to-nets")
    meaning: list[object] = [endpoint_words(from_node), endpoint_words(out_node)]
    asked = [
        [key, words]
        for key, words in (
            ("service", read.services),
            ("from-nets", read.sources),
            ("to-nets", read.destinations),
        )
        if words
    ]
    return read.criteria, inputs, outs, [*meaning, *asked, *read.further]


def _read_new_ports(fields: NatFields, criteria: Criteria) -> tuple[PortRange | None, bool]:
    node = fields.fields.find("to-ports")
    ports = read_ports(node, "to-ports", fields.faults) if node else None
    if node is not None and any(
        kind.protocol not in TRANSLATED_PROTOCOLS for kind in criteria.traffic
    ):
        fields.faults.add(
            node.where,
            "'to-ports' needs services that have ports",
            "add service: [tcp, udp], and an entry without 'to-ports' for the rest",
        )
    return ports, fields.flag("random")


def _meaning(
    ports: PortRange | None, *, is_random: bool, is_lasting: bool = False
) -> list[object]:
    found: list[object] = []
    if ports is not None:
        found.append(["to-ports", ports.first, ports.last])
    if is_random:
        found.append("random")
    if is_lasting:
        found.append("lasting")
    return found
