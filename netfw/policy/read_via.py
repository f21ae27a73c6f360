"""Reads ``via``: the default route of a table that netfw makes."""

from __future__ import annotations

from types import MappingProxyType

from netfw.ir.names import Family
from netfw.ir.net import parse_address
from netfw.ir.origin import Origin
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import read_fields, read_word, read_words
from netfw.policy.names import Names
from netfw.policy.source import Mapping, Node, Scalar, written_form
from netfw.policy.steering import NOT_THERE, Via

IF_DOWN = ("main", "refuse")


def read_via(node: Node, names: Names, faults: Faults) -> Via | None:
    """Read it; None where it is at fault."""
    before = len(faults)
    fields = read_fields(node, ("out", "gateway", "if-down"), "'via'", faults)
    if fields is None or not isinstance(node, Mapping):
        return None
    out_node = fields.require("out", "name the interface it leaves by")
    out = read_word(out_node, "'out'", faults) if out_node else None
    interface = _find_interface(out, names, faults) if out else None
    gateway_node, down_node = fields.find("gateway"), fields.find("if-down")
    gateways = _read_gateways(gateway_node, faults) if gateway_node else {}
    down = read_word(down_node, "'if-down'", faults) if down_node else None
    if down and down.text not in IF_DOWN:
        faults.add(
            down.where,
            f"'if-down' cannot be '{down.text}'",
            did_you_mean(down.text, IF_DOWN, "packets go the normal way (main), or refuse them"),
        )
    if len(faults) > before or interface is None:
        return None
    refuses = down is not None and down.text == "refuse"
    origin = Origin(node.where, "", written_form(node)[1:-1])
    return Via(interface, MappingProxyType(gateways), refuses, origin)


def _find_interface(word: Scalar, names: Names, faults: Faults) -> str | None:
    """An endpoint or zone with one interface, or one of the interfaces of an endpoint."""
    if not names.zones.knows(word.text):
        known = names.zones.endpoints
        if not word.text.endswith("+") and any(end.covers(word.text) for end in known):
            return word.text
        words = [*(end.name for end in known), *(name for end in known for name in end.interfaces)]
        faults.add(
            word.where,
            f"'{word.text}' is neither an endpoint nor an interface of one",
            did_you_mean(word.text, words, "define it under 'endpoints:'"),
        )
        return None
    before = len(faults)
    ends = names.read_endpoints(word, "'out'", faults)
    interfaces = [name for end in ends for name in end.interfaces]
    if len(faults) > before:
        return None
    if not interfaces:
        return NOT_THERE
    if len(interfaces) == 1 and not interfaces[0].endswith("+"):
        return interfaces[0]
    faults.add(
        word.where,
        f"a route leaves by one interface, and '{word.text}' can be several",
        f"name one of them: {', '.join(interfaces)}",
    )
    return None


def _read_gateways(node: Node, faults: Faults) -> dict[Family, int]:
    found: dict[Family, int] = {}
    for word in read_words(node, "'gateway'", faults):
        try:
            if "%" in word.text:
                raise ValueError(word.text)
            family, address = parse_address(word.text)
        except ValueError:
            faults.add(
                word.where,
                f"'{word.text}' is not the address of a gateway",
                "write it like 203.0.113.1; the interface is 'out'",
            )
            continue
        if family in found:
            faults.add(
                word.where,
                f"'{word.text}' is a second gateway of {family}",
                "a table has one gateway for each family",
            )
        found[family] = address
    return found
