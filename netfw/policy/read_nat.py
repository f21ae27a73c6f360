"""Reads ``nat``: masquerading, and services that are redirected to another host."""

from __future__ import annotations

from dataclasses import replace

from netfw.errors import Where
from netfw.ir.match import PortRange
from netfw.ir.names import Family
from netfw.ir.net import parse_address
from netfw.ir.ruleset import Origin
from netfw.policy.conditions import conditions_of
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import read_fields, read_items, read_word
from netfw.policy.identity import Draft, name_rules
from netfw.policy.names import Names, endpoint_words, net_words, service_words
from netfw.policy.read_rule import read_rule_name
from netfw.policy.service_literal import LiteralFault, parse_ports
from netfw.policy.source import Mapping, Node, Scalar, written_form
from netfw.policy.traffic import TRANSLATED_PROTOCOLS, Traffic
from netfw.policy.translation import DnatPolicy, MasqueradePolicy

_FAMILIES = {
    "4": (Family.IPV4,),
    "6": (Family.IPV6,),
    "all": (Family.IPV4, Family.IPV6),
}
_Item = tuple[MasqueradePolicy | DnatPolicy, Draft]


def read_nat(
    node: Node, names: Names, faults: Faults
) -> tuple[tuple[MasqueradePolicy, ...], tuple[DnatPolicy, ...]]:
    """Read all entries, by kind, each in the order of the file."""
    found: list[_Item] = []
    places: dict[str, Where] = {}
    for item in read_items(node, "'nat'", faults):
        fields = read_fields(item, ("masquerade", "dnat"), "an entry of 'nat'", faults)
        if fields is None or not isinstance(item, Mapping):
            continue
        if len(item.entries) != 1:
            faults.add(
                item.where,
                "an entry of 'nat' is one masquerade or one dnat",
                "make one entry of each",
            )
            continue
        for kind, read in (("masquerade", _read_masquerade), ("dnat", _read_dnat)):
            value = fields.find(kind)
            entry = None if value is None else read(value, item, names, faults)
            if entry is not None:
                found.append(entry)
                _check_name_is_new(entry, places, faults)
    identities = name_rules("nat", [draft for _, draft in found])
    masquerades: list[MasqueradePolicy] = []
    dnats: list[DnatPolicy] = []
    for (policy, _), identity in zip(found, identities, strict=True):
        origin = replace(policy.origin, identity=identity)
        if isinstance(policy, MasqueradePolicy):
            masquerades.append(replace(policy, origin=origin))
        else:
            dnats.append(replace(policy, origin=origin))
    return tuple(masquerades), tuple(dnats)


def _check_name_is_new(item: _Item, places: dict[str, Where], faults: Faults) -> None:
    policy, draft = item
    where = policy.origin.where
    if draft.name is None:
        return
    if draft.name in places:
        faults.add(
            where,
            f"'nat' has two entries named '{draft.name}' "
            f"(the first in {places[draft.name].seen_from(where)})",
            "give one of them another name, or none",
        )
    places.setdefault(draft.name, where)


def _read_masquerade(node: Node, item: Mapping, names: Names, faults: Faults) -> _Item | None:
    before = len(faults)
    fields = read_fields(node, ("from", "out", "family", "name"), "'masquerade'", faults)
    if fields is None:
        return None
    out_node = fields.require("out", "name the endpoint it leaves by")
    from_node = fields.find("from")
    out = names.read_endpoints(out_node, "'out'", faults) if out_node else ()
    sources = names.read_endpoints(from_node, "'from'", faults) if from_node else ()
    families = _read_families(fields.find("family"), faults)
    name = read_rule_name(fields, faults)
    if len(faults) > before:
        return None
    meaning = [
        endpoint_words(from_node),
        endpoint_words(out_node),
        [family.value for family in families],
    ]
    origin = Origin(item.where, "", written_form(item)[1:-1])
    return MasqueradePolicy(sources, out, families, origin), Draft("masquerade", meaning, name)


def _read_families(node: Node | None, faults: Faults) -> tuple[Family, ...]:
    if node is None:
        return _FAMILIES["4"]
    word = read_word(node, "'family'", faults)
    families = _FAMILIES.get(word.text) if word else None
    if word and families is None:
        hint = did_you_mean(word.text, _FAMILIES, "write 4, 6 or all; without it, 4 is meant")
        faults.add(word.where, f"unknown family '{word.text}'", hint)
    return families or ()


def _read_dnat(node: Node, item: Mapping, names: Names, faults: Faults) -> _Item | None:
    before = len(faults)
    fields = read_fields(node, ("in", "service", "from", "to", "name"), "'dnat'", faults)
    if fields is None:
        return None
    in_node = fields.require("in", "name the endpoint it comes in by")
    service_node = fields.require("service", "name what shall be redirected")
    to_node = fields.require("to", "say where it shall go, as '10.0.0.5:443'")
    inputs = names.read_endpoints(in_node, "'in'", faults) if in_node else ()
    traffic = names.read_traffic(service_node, "'service'", faults) if service_node else ()
    from_node = fields.find("from")
    sources = names.read_nets(from_node, "from", faults) if from_node else ()
    name = read_rule_name(fields, faults)
    to = read_word(to_node, "'to'", faults) if to_node else None
    target = _parse_target(to, faults) if to else None
    if len(faults) > before or to is None or target is None:
        return None
    family, address, ports = target
    _check_ports(traffic, ports, to, faults)
    if conditions_of(family, traffic, sources) is None:
        faults.add(
            item.where,
            f"no packet can match this dnat: 'to' is {family}, its service or 'from' is not",
            "give it addresses and services of one family",
        )
    if len(faults) > before:
        return None
    meaning = [
        endpoint_words(in_node),
        service_words(service_node),
        net_words(from_node),
        [family.value, address, ports.first if ports else 0, ports.last if ports else 0],
    ]
    origin = Origin(item.where, "", written_form(item)[1:-1])
    policy = DnatPolicy(inputs, family, traffic, sources, address, ports, origin)
    return policy, Draft("dnat", meaning, name)


def _parse_target(word: Scalar, faults: Faults) -> tuple[Family, int, PortRange | None] | None:
    """``10.0.0.5``, ``10.0.0.5:443``, ``2001:db8::5``, ``[2001:db8::5]:443``."""
    text = word.text
    ports_text = ""
    if text.startswith("["):
        address_text, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in address_text or (rest and not rest.startswith(":")):
            # brackets are for IPv6, and nothing but a port follows them
            address_text = text
        ports_text = rest[1:]
        has_ports = bool(rest)
    elif text.count(":") <= 1:
        address_text, colon, ports_text = text.partition(":")
        has_ports = bool(colon)
    else:
        address_text, has_ports = text, False
    try:
        if "%" in address_text:
            raise ValueError(f"'{text}' names an interface")
        family, address = parse_address(address_text)
        return family, address, parse_ports(ports_text, text) if has_ports else None
    except LiteralFault as error:
        faults.add(word.where, str(error), error.hint)
    except ValueError:
        faults.add(
            word.where,
            f"'{text}' is not an address, with or without port",
            "write it like 10.0.0.5:443 or [2001:db8::5]:443",
        )
    return None


def _check_ports(
    traffic: tuple[Traffic, ...], ports: PortRange | None, to: Scalar, faults: Faults
) -> None:
    """A translation must be one to one: either ports stay, or one port becomes another."""
    ranges = [kind.ports for kind in traffic if kind.ports and kind.ports.first < kind.ports.last]
    if ports is None:
        if ranges:
            span = f"{ranges[0].first}-{ranges[0].last}"
            faults.add(
                to.where,
                f"'{to.text}' has no port, but the service is the range {span}",
                f"say that the ports stay as they are: '{_with_ports(to.text, span)}'",
            )
    elif any(kind.protocol not in TRANSLATED_PROTOCOLS for kind in traffic):
        faults.add(
            to.where, f"'{to.text}' has a port, but the service is more than tcp, udp and sctp"
        )
    elif ports.first < ports.last:
        if any(kind.ports != ports for kind in traffic):
            faults.add(
                to.where,
                f"'{to.text}' has a range of ports that is not the service's",
                "a range can only stay as it is; to move ports, write one dnat for each",
            )
    elif len({kind.ports for kind in traffic}) > 1 or ranges or traffic[0].ports is None:
        faults.add(
            to.where,
            f"'{to.text}' would put several ports of the service onto one",
            "write one dnat for each port, or leave the port out and they stay as they are",
        )


def _with_ports(target: str, ports: str) -> str:
    """A target with ports, IPv6 addresses in brackets."""
    if ":" in target and not target.startswith("["):
        target = f"[{target}]"
    return f"{target}:{ports}"
