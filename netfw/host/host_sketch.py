"""Looks at this host for its first policy; nothing is changed."""

from __future__ import annotations

import ipaddress
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from netfw.facts.host_sketch import HostSketch, Service, SketchedInterface
from netfw.facts.listening import Listener, parse_listening
from netfw.host.live_facts import LiveFacts, read_facts
from netfw.host.live_namespace import LiveNamespace
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.traverse.host_facts import LOOPBACK
from netfw.traverse.routing_tables import RouteKind

_FILES = (("tcp", "tcp"), ("tcp", "tcp6"), ("udp", "udp"), ("udp", "udp6"))
_MAIN_TABLE = 254


def sketch_host(namespace: LiveNamespace, environment: Mapping[str, str]) -> HostSketch:
    """Look at interfaces, routes, sockets and the connection over which somebody works here.

    Raises HostError, FactError.
    """
    facts = {family: read_facts(namespace, family) for family in Family}
    listeners = namespace.call(_listeners)
    return HostSketch(
        platform.node(),
        _interfaces(facts),
        _services(listeners, _programs()),
        any(facts[family].forwards for family in Family),
        environment.get("SSH_CONNECTION", "").partition(" ")[0],
    )


def _interfaces(facts: Mapping[Family, LiveFacts]) -> tuple[SketchedInterface, ...]:
    out = {
        route.interface
        for family, of in facts.items()
        for route in of.tables.routes.get(_MAIN_TABLE, ())
        if route.destination == Net.everything(family) and route.kind is RouteKind.UNICAST
    }
    found = []
    for interface in facts[Family.IPV4].interfaces.values():
        if interface.name == LOOPBACK or interface.master:
            continue
        addresses = tuple(
            f"{_text(family, one.address)}/{one.prefix_length}"
            for family in Family
            for one in facts[family].addresses.get(interface.name, ())
        )
        found.append(
            SketchedInterface(interface.name, interface.kind, addresses, interface.name in out)
        )
    return tuple(found)


def _text(family: Family, address: int) -> str:
    if family is Family.IPV4:
        return str(ipaddress.IPv4Address(address))
    return str(ipaddress.IPv6Address(address))


def _listeners() -> tuple[Listener, ...]:
    found: list[Listener] = []
    for protocol, file in _FILES:
        try:
            text = Path("/proc/thread-self/net", file).read_text(encoding="ascii")
        except OSError:
            # a kernel without IPv6 has no such file
            continue
        found += parse_listening(text, protocol)
    return tuple(found)


def _services(listeners: tuple[Listener, ...], programs: Mapping[int, str]) -> tuple[Service, ...]:
    """What others can reach, each port once."""
    behind: dict[tuple[str, int], set[str]] = {}
    for listener in listeners:
        if not listener.is_local:
            named = behind.setdefault((listener.protocol, listener.port), set())
            if listener.inode in programs:
                named.add(programs[listener.inode])
    return tuple(
        Service(protocol, port, tuple(sorted(names)))
        for (protocol, port), names in sorted(behind.items())
    )


def _programs() -> dict[int, str]:
    """Programs by the numbers of their sockets, as far as this user may see."""
    found: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
            for descriptor in os.scandir(process / "fd"):
                target = os.readlink(descriptor.path)
                if target.startswith("socket:["):
                    found[int(target[len("socket:[") : -1])] = name
        except OSError:
            # somebody else's process, or one that has just ended
            continue
    return found
