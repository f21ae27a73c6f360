"""The network namespaces at the other ends of veth pairs, and the rules in them. Only looks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from netfw.doctor.host_state import HeldRules, HostState, Neighbour
from netfw.doctor.observed import NotRead
from netfw.errors import NetfwError
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_rules import read_every_rule
from netfw.host.observe_tables import read_native_tables

_NAMED = Path("/run/netns")
_MOST = 8
"""Namespaces that are looked into: each takes a few processes, and a node has hundreds."""


def read_neighbours(
    namespace: LiveNamespace, are_asked_for: Callable[[], bool]
) -> tuple[tuple[Neighbour, ...], tuple[NotRead, ...]]:
    """Those that can be entered, and a line for each that cannot, or is one too many; none where
    they are not asked for, which is only looked at where there are some. Raises OSError."""
    by_number = namespace.call(_links_that_leave)
    if not by_number or not are_asked_for():
        return (), ()
    found: list[Neighbour] = []
    without: list[NotRead] = []
    paths = _paths(namespace)
    numbers = namespace.call(lambda: {path: _number_of(path) for path in paths})
    wanted = {path: number for path, number in numbers.items() if number in by_number}
    for path, number in wanted.items():
        what = f"the namespace behind {', '.join(by_number[number])}"
        if len(found) == _MOST:
            without.append(NotRead(what, f"{_MOST} others were looked into"))
            continue
        try:
            with LiveNamespace(path) as other:
                found.append(Neighbour(by_number[number], _rules(other)))
        except NetfwError as error:
            without.append(NotRead(what, str(error.faults[0])))
    known = set(wanted.values())
    without += [
        NotRead(f"the namespace behind {', '.join(links)}", "no process and no name leads there")
        for number, links in by_number.items()
        if number not in known
    ]
    return tuple(found), tuple(without)


def _links_that_leave() -> dict[int, tuple[str, ...]]:
    """The veth links whose peer is in another namespace, by that namespace's number here."""
    from pyroute2 import IPRoute

    found: dict[int, list[str]] = {}
    with IPRoute() as link:
        for one in link.get_links():
            details: Any = one.get_attr("IFLA_LINKINFO")
            number = one.get_attr("IFLA_LINK_NETNSID")
            if number is None or details is None or details.get_attr("IFLA_INFO_KIND") != "veth":
                continue
            found.setdefault(int(number), []).append(str(one.get_attr("IFLA_IFNAME")))
    return {number: tuple(names) for number, names in found.items()}


def _paths(namespace: LiveNamespace) -> tuple[str, ...]:
    """One path for each other namespace of this host, those with names first."""
    own = namespace.call(lambda: os.stat("/proc/thread-self/ns/net").st_ino)
    found: dict[int, str] = {}
    for path in _candidates():
        try:
            inode = os.stat(path).st_ino
        except OSError:
            continue
        if inode != own:
            found.setdefault(inode, str(path))
    return tuple(found.values())


def _candidates() -> Iterator[Path]:
    if _NAMED.is_dir():
        yield from sorted(_NAMED.iterdir())
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            yield folder / "ns" / "net"


def _number_of(path: str) -> int:
    """The number by which this namespace knows another one; -1 where it does not."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        with IPRoute() as link:
            answer: Any = link.get_netnsid(fd=opened)
            return int(answer["nsid"])
    except (NetlinkError, KeyError, TypeError):
        return -1
    finally:
        os.close(opened)


def _rules(other: LiveNamespace) -> HostState:
    everything = read_every_rule(other)
    return HostState(
        other.name,
        tuple(
            HeldRules(backend, ruleset)
            for live in everything.by_family.values()
            for backend, ruleset in live.rulesets.items()
        ),
        read_native_tables(other, everything.native),
    )
