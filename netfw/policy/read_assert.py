"""Reads ``assert``: what must be allowed, and what must be denied."""

from __future__ import annotations

from netfw.ir.origin import Origin
from netfw.policy.assertion import Addresses, Assertion
from netfw.policy.faults import Faults
from netfw.policy.fields import Fields, read_fields, read_items
from netfw.policy.identity import Draft, name_rules
from netfw.policy.names import Names
from netfw.policy.source import Mapping, Node, Scalar, written_form
from netfw.policy.traffic import ANY

_KINDS = ("allowed", "denied")
_KEYS = ("in", "out", "service", "from", "to")
HOST = "host"
"""The word for this host itself, in ``from`` and ``to``."""


def read_assertions(node: Node, names: Names, faults: Faults) -> tuple[Assertion, ...]:
    """Read all entries."""
    found = [
        assertion
        for item in read_items(node, "'assert'", faults)
        if (assertion := _read_item(item, names, faults)) is not None
    ]
    drafts = [
        Draft("allowed" if each.is_allowed else "denied", each.origin.text, None) for each in found
    ]
    return tuple(
        Assertion(
            each.is_allowed,
            each.inputs,
            each.outputs,
            each.from_host,
            each.to_host,
            each.traffic,
            each.sources,
            each.destinations,
            Origin(each.origin.where, identity, each.origin.text),
        )
        for each, identity in zip(found, name_rules("assert", drafts), strict=True)
    )


def _read_item(item: Node, names: Names, faults: Faults) -> Assertion | None:
    outer = read_fields(item, _KINDS, "an entry of 'assert'", faults)
    if outer is None or not isinstance(item, Mapping):
        return None
    if len(item.entries) != 1:
        faults.add(
            item.where,
            "an entry of 'assert' is one 'allowed' or one 'denied'",
            "write - denied: {in: wan, to: host, service: ssh}",
        )
        return None
    before = len(faults)
    kind = item.entries[0].key.text
    node = outer.find(kind)
    fields = None if node is None else read_fields(node, _KEYS, f"'{kind}'", faults)
    if fields is None or len(faults) > before:
        return None
    in_node, out_node = fields.find("in"), fields.find("out")
    service = fields.find("service")
    inputs = names.read_endpoints(in_node, "'in'", faults) if in_node else ()
    outputs = names.read_endpoints(out_node, "'out'", faults) if out_node else ()
    traffic = names.read_traffic(service, "service", faults) if service else (ANY,)
    from_host, sources = _read_end(fields, "from", names, faults)
    to_host, destinations = _read_end(fields, "to", names, faults)
    _check_ends(fields, kind, from_host=from_host, to_host=to_host, faults=faults)
    if len(faults) > before:
        return None
    assertion = Assertion(
        kind == "allowed",
        inputs,
        outputs,
        from_host,
        to_host,
        traffic,
        sources,
        destinations,
        Origin(item.where, "", written_form(item)[1:-1]),
    )
    if not assertion.families:
        faults.add(
            item.where,
            "this assertion describes no packet: its addresses and services are of different "
            "families",
            "give it addresses and services of one family",
        )
        return None
    return assertion


def _read_end(fields: Fields, key: str, names: Names, faults: Faults) -> tuple[bool, Addresses]:
    """``host``, nets, or ``{not: nets}``."""
    node = fields.find(key)
    if node is None:
        return False, Addresses()
    if isinstance(node, Scalar) and node.text == HOST:
        return True, Addresses()
    if isinstance(node, Mapping):
        inner = read_fields(node, ("not",), f"'{key}'", faults)
        nets = None if inner is None else inner.require("not", "write {not: office}")
        return False, Addresses(names.read_nets(nets, key, faults), True) if nets else Addresses()
    return False, Addresses(names.read_nets(node, key, faults))


def _check_ends(
    fields: Fields, kind: str, *, from_host: bool, to_host: bool, faults: Faults
) -> None:
    has_in, has_out = fields.find("in") is not None, fields.find("out") is not None
    if from_host and has_in:
        problem, hint = "has 'in' and 'from: host'", "what this host sends comes in nowhere"
    elif to_host and has_out:
        problem, hint = "has 'out' and 'to: host'", "what this host takes leaves nowhere"
    elif from_host and to_host:
        problem, hint = "is from this host to itself", "the loopback is not judged"
    elif not has_in and not has_out:
        problem, hint = "names no endpoint", "say 'in' or 'out': a policy judges at endpoints"
    else:
        return
    faults.add(fields.where, f"'{kind}' {problem}", hint)
