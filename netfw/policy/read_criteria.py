"""Reads what is asked of packets: the same keys with the same meaning wherever they may stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.policy.criteria import Criteria
from netfw.policy.criterion import Criterion
from netfw.policy.faults import Faults
from netfw.policy.fields import Fields, read_fields
from netfw.policy.names import Names, net_words, service_words
from netfw.policy.read_states import read_states
from netfw.policy.service_literal import ANY_WORD
from netfw.policy.source import Mapping, Node
from netfw.policy.traffic import ANY, Traffic

_READERS: dict[str, Callable[[Node, Names, Faults], Criterion | None]] = {
    "state": read_states,
}
CRITERIA_KEYS = ("from", "to", *_READERS)
"""The keys beside the service. Who allows but some of them names those in ``read_fields``."""


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
    fields: Fields, service: Node | None, what: str, names: Names, faults: Faults
) -> ReadCriteria:
    """Read the criteria among the keys of a mapping.

    ``service`` is the node that names services, ``what`` its key; any traffic without it.
    Whether a packet can meet them is not looked at: ``describe_families`` says why it cannot.
    """
    some = service is not None
    service, not_service = _split(service, what, faults) if service else (None, None)
    from_node, not_from = _split(fields.find("from"), "from", faults)
    to_node, not_to = _split(fields.find("to"), "to", faults)
    further: list[object] = [
        [key, words]
        for key, words in (
            ("not", service_words(not_service)),
            ("not-from", net_words(not_from)),
            ("not-to", net_words(not_to)),
        )
        if words
    ]
    extras: list[Criterion] = []
    for key, read in _READERS.items():
        node = fields.find(key)
        extra = None if node is None else read(node, names, faults)
        if extra is not None:
            extras.append(extra)
            further.append(extra.meaning)
    criteria = Criteria(
        names.read_traffic(service, what, faults) if service else (ANY,),
        names.read_nets(from_node, "from", faults) if from_node else (),
        names.read_nets(to_node, "to", faults) if to_node else (),
        _read_exceptions(not_service, what, names, faults),
        names.read_nets(not_from, "from", faults) if not_from else (),
        names.read_nets(not_to, "to", faults) if not_to else (),
        tuple(extras),
    )
    services = service_words(service) or ([ANY_WORD] if some else [])
    return ReadCriteria(criteria, services, net_words(from_node), net_words(to_node), further)


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
