"""A first policy for a host: what it shows today goes on working, all else is closed."""

from __future__ import annotations

import ipaddress
import json
import re

from netfw.facts.host_sketch import HostSketch, Service, SketchedInterface
from netfw.policy.builtin_services import BUILTIN_SERVICES

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_OF_CONTAINERS = re.compile(r"(docker|br-|veth|cni|cali|flannel|lxc|lxd|virbr|vnet|tap|podman)")
_VPN_KINDS = frozenset({"wireguard", "tun", "ipip", "gre", "sit", "vti", "xfrm"})
_COMMENT_COLUMN = 32


def starting_policy(sketch: HostSketch) -> str:
    """The text of a policy file, with comments."""
    groups, others = _groups(sketch.interfaces)
    lines = [
        f"# A starting policy for {sketch.name or 'this host'}, made by netfw init.",
        "# What is reachable now stays so, and everything else that comes in is denied. Read it,",
        "# take away what nobody needs, then look at it with `netfw check` and `netfw verify`.",
        "version: 1",
        "",
        "# Interfaces that are not here are left to whatever other rules this host has.",
        "endpoints:" if groups else "# endpoints:",
    ]
    for name, interfaces in groups.items():
        words = [_quoted(each.name) for each in interfaces]
        hosts = words[0] if len(words) == 1 else f"[{', '.join(words)}]"
        known = ", ".join(address for each in interfaces for address in each.addresses)
        lines.append(_with_comment(f"  {name}: {{host: {hosts}}}", known))
    lines += _left_out(others)
    lines += ["", *_failsafes(sketch.ssh_client)]
    lines += ["", *_policies(sketch, groups)]
    return "\n".join(lines) + "\n"


def _groups(
    interfaces: tuple[SketchedInterface, ...],
) -> tuple[dict[str, list[SketchedInterface]], list[SketchedInterface]]:
    """Host endpoints by name, and interfaces that are left to the reader."""
    groups: dict[str, list[SketchedInterface]] = {"wan": [], "lan": [], "vpn": []}
    others = []
    for interface in interfaces:
        if not _PLAIN.fullmatch(interface.name):
            others.append(interface)
        elif interface.leads_out:
            groups["wan"].append(interface)
        elif not interface.addresses or _OF_CONTAINERS.match(interface.name):
            others.append(interface)
        else:
            groups["vpn" if interface.kind in _VPN_KINDS else "lan"].append(interface)
    return {name: found for name, found in groups.items() if found}, others


def _left_out(others: list[SketchedInterface]) -> list[str]:
    lines = []
    for interface in others:
        kind = interface.kind or "hardware"
        if _OF_CONTAINERS.match(interface.name):
            what = f"{kind}, of containers or virtual machines: declare it to judge them"
            text = f"  # {interface.name}: {{workload: {_quoted(interface.name)}}}"
        else:
            what = f"{kind}, no address"
            text = f"  # {interface.name}"
        lines.append(_with_comment(text, what))
    return lines


def _failsafes(ssh_client: str) -> list[str]:
    """Who works on this host now must get in again."""
    lines = ["# What gets in and out whatever the rules below say.", "failsafes:", "  ingress:"]
    client = _address(ssh_client)
    if client:
        text = f"    - {{service: ssh, from: {_quoted(client)}}}"
        lines.append(_with_comment(text, "the connection over which this was made"))
    else:
        lines.append(_with_comment("    - ssh", "better: {service: ssh, from: your addresses}"))
    return [*lines, "  egress: [dns, dhcp, dhcpv6]"]


def _address(text: str) -> str:
    """An address without the interface that a link-local one names; empty for anything else."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _policies(sketch: HostSketch, groups: dict[str, list[SketchedInterface]]) -> list[str]:
    if not groups:
        return ["# No interface of this host itself has an address: nothing is judged yet."]
    names = list(groups)
    at = names[0] if len(names) == 1 else f"[{', '.join(names)}]"
    lines = ["policies:", "  - name: services", f"    at: {at}", "    ingress:"]
    lines.append("      - allow: ping")
    lines += [_allow(service) for service in sketch.services if not _is_client(service)]
    lines.append("      - log: {prefix: denied, rate: 5/minute}")
    if sketch.forwards and len(names) > 1:
        inside = [name for name in names if name != "wan"]
        sources = inside[0] if len(inside) == 1 else f"[{', '.join(inside)}]"
        lines += [
            "",
            "  # This host forwards: from inside to everywhere; answers come back.",
            "  - name: outward",
            f"    from: {sources}",
            "    forward:",
            "      - allow: any",
        ]
    return lines


def _is_client(service: Service) -> bool:
    """The ports of DHCP clients, whose traffic passes before the rules."""
    return service.protocol == "udp" and service.port in (68, 546)


_NAMED = {literals[0]: name for name, literals in BUILTIN_SERVICES.items() if len(literals) == 1}


def _allow(service: Service) -> str:
    literal = f"{service.protocol}/{service.port}"
    text = f"      - allow: {_NAMED.get(literal, literal)}"
    return _with_comment(text, ", ".join(_printable(name) for name in service.programs))


def _printable(text: str) -> str:
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text)


def _quoted(word: str) -> str:
    return word if _PLAIN.fullmatch(word) and ":" not in word else json.dumps(word)


def _with_comment(text: str, comment: str) -> str:
    return f"{text:<{_COMMENT_COLUMN}}  # {comment}" if comment else text
