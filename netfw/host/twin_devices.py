"""Bridges and tunnels of a host, made in its twin as what they are, instead of as cables.

A bridge takes its ports; a tunnel wraps packets in others, which the twin sends. What comes in
by a port is then for somebody behind another one, as bridged frames are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from netfw.errors import HostError
from netfw.host.live_namespace import LiveNamespace
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.host.twin_links import Cable, HostLink
from netfw.host.uncopied import Uncopied

BRIDGES = frozenset({"bridge"})
TUNNELS = frozenset(
    {"vxlan", "geneve", "gre", "gretap", "ip6gre", "ip6gretap", "ipip", "sit", "ip6tnl"}
)
"""Kinds that ``make_devices`` knows how to make."""
_WORDS = {
    "id": "id",
    "remote": "remote",
    "remote6": "remote",
    "local": "local",
    "local6": "local",
    "port": "dstport",
    "ikey": "ikey",
    "okey": "okey",
    "link": "dev",
}
"""What ``ip -d -j link`` says of a tunnel, in the words of ``ip link add``."""


def make_devices(
    host: LiveNamespace,
    links: Iterable[HostLink],
    cables: dict[str, Cable],
    target: Namespace,
    kinds: frozenset[str],
) -> tuple[dict[str, int], list[Uncopied]]:
    """Make the links of these kinds, and take away their cables; their numbers by name, and what
    could not be made. Raises HostError where the host cannot be read."""
    wanted = [link for link in links if link.kind in kinds and link.name in cables]
    told = _details(host) if wanted else {}
    made: dict[str, int] = {}
    lacking: list[Uncopied] = []
    for link in wanted:
        cable = cables.pop(link.name)
        details = told.get(link.name, {})
        commands = [
            ["del", link.name],
            ["add", link.name, "mtu", str(link.mtu), *_words(link, details, cable.mac)],
            ["set", link.name, "up", *([] if link.kind == "bridge" else ["arp", "off"])],
        ]
        if link.kind == "bridge":
            ports = [one.name for one in links if one.master == link.name and one.name in cables]
            commands += [["set", name, "master", link.name] for name in ports]
        try:
            for words in commands:
                run(["ip", "link", *words], namespace=target)
            made[link.name] = _number(target, link.name)
        except HostError as error:
            said = error.faults[0].problem
            lacking.append(Uncopied(f"{link.kind} {link.name}: {said}", link.name))
    return made, lacking


def is_made(lack: Uncopied, links: Iterable[HostLink], made: Mapping[str, int]) -> bool:
    """Whether something that a cable lacks is there now."""
    return any(
        lack in tuple(link.uncopied()) for link in links if {link.name, link.master} & made.keys()
    )


def collisions(twin: Namespace, names: Iterable[str]) -> dict[str, int]:
    """How often devices have counted a packet that they could not send as one of their own."""
    wanted = set(names)
    listed = json.loads(run(["ip", "-s", "-j", "link"], namespace=twin).stdout)
    return {
        one["ifname"]: int(one.get("stats64", {}).get("tx", {}).get("collisions", 0))
        for one in listed
        if one.get("ifname") in wanted
    }


def _details(host: LiveNamespace) -> dict[str, dict[str, Any]]:
    inside = None if host.is_own else host
    listed = json.loads(run(["ip", "-d", "-j", "link"], namespace=inside).stdout)
    return {
        one["ifname"]: {"link": one.get("link"), **one.get("linkinfo", {}).get("info_data", {})}
        for one in listed
        if "ifname" in one
    }


def _number(target: Namespace, name: str) -> int:
    listed = json.loads(run(["ip", "-j", "link", "show", name], namespace=target).stdout)
    return int(listed[0]["ifindex"])


def _words(link: HostLink, details: Mapping[str, Any], mac: str) -> Iterator[str]:
    """The rest of ``ip link add NAME``."""
    if link.is_ethernet:
        yield from ("address", mac)
    yield from ("type", link.kind)
    if link.kind == "bridge":
        calls = details.get("nf_call_iptables", 0), details.get("nf_call_ip6tables", 0)
        yield from ("mcast_snooping", "0", "nf_call_iptables", str(calls[0]))
        yield from ("nf_call_ip6tables", str(calls[1]))
        return
    for key, word in _WORDS.items():
        value = details.get(key)
        if value not in (None, "", "any"):
            yield from (word, str(value))
