"""The order of tables and hooks as it is documented, and the kernel's named refinements of it.

This is the first witness. It is written down here once, as data, independently of the kernel's
priorities in ``hooks.py``, so that the two can contradict each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from netfw.ir.names import Hook, TableName
from netfw.traverse.situation import Path, Phase, Situation
from netfw.traverse.traversal import Station

FORWARDED = (
    "raw.PREROUTING [conntrack] mangle.PREROUTING nat.PREROUTING [routing] "
    "mangle.FORWARD filter.FORWARD mangle.POSTROUTING nat.POSTROUTING"
)
LOCAL_IN = (
    "raw.PREROUTING [conntrack] mangle.PREROUTING nat.PREROUTING [routing] "
    "mangle.INPUT filter.INPUT [process]"
)
LOCAL_OUT = (
    "[process] [routing] raw.OUTPUT [conntrack] mangle.OUTPUT nat.OUTPUT [rerouting] "
    "filter.OUTPUT mangle.POSTROUTING nat.POSTROUTING"
)

DOCUMENTED: Mapping[Path, str] = MappingProxyType(
    {
        Path.FORWARDED: FORWARDED,
        Path.LOCAL_IN: LOCAL_IN,
        Path.LOCAL_OUT: LOCAL_OUT,
        # a packet to this host itself is the third followed by the second
        Path.LOOPBACK: f"{LOCAL_OUT} {LOCAL_IN}",
    }
)
"""The documented order: tables at hooks, and what else happens in [brackets]."""


def stations_in(text: str) -> tuple[Station, ...]:
    """The stations of a documented line; raises ValueError for a word that is none."""
    stations = []
    for word in text.split():
        if word.startswith("["):
            continue
        table, _, hook = word.partition(".")
        stations.append(Station(Hook(hook), TableName(table)))
    return tuple(stations)


@dataclass(frozen=True, slots=True)
class Refinement:
    """A named way in which the kernel differs from the documented order.

    ``applies`` says for which packets; ``skips`` are stations that such a packet does not pass,
    ``adds`` are stations that it passes behind (the first found of) others.
    ``source`` is where the kernel says so.
    """

    name: str
    reason: str
    source: str
    applies: Callable[[Situation], bool]
    skips: frozenset[Station] = frozenset()
    adds: tuple[tuple[Station, Station], ...] = ()


_NAT_STATIONS = frozenset(
    Station(hook, TableName.NAT)
    for hook in (Hook.PREROUTING, Hook.INPUT, Hook.OUTPUT, Hook.POSTROUTING)
)
_FILTER_HOOKS = (Hook.INPUT, Hook.FORWARD, Hook.OUTPUT)
_SECURITY = tuple(
    (Station(hook, TableName.FILTER), Station(hook, TableName.SECURITY)) for hook in _FILTER_HOOKS
)
_NAT_INPUT = Station(Hook.INPUT, TableName.NAT)
_SECURITY_INPUT = Station(Hook.INPUT, TableName.SECURITY)
_NAT_SOURCE_PRIORITY = 100
"""NF_IP_PRI_NAT_SRC."""

REFINEMENTS: tuple[Refinement, ...] = (
    Refinement(
        "security-table",
        "a fifth table, security, follows filter at INPUT, FORWARD and OUTPUT",
        "NF_IP_PRI_SECURITY 50 in linux/netfilter_ipv4.h; iptable_security.c",
        lambda situation: any(new in situation.loaded for _, new in _SECURITY),
        adds=_SECURITY,
    ),
    Refinement(
        "nat-input",
        "nat has an INPUT chain for source NAT of packets to this host; it runs last there",
        "nf_nat_ipv4_ops in nf_nat_proto.c: NF_INET_LOCAL_IN at NF_IP_PRI_NAT_SRC 100",
        lambda situation: _NAT_INPUT in situation.loaded,
        adds=(
            (Station(Hook.INPUT, TableName.SECURITY), _NAT_INPUT),
            (Station(Hook.INPUT, TableName.FILTER), _NAT_INPUT),
        ),
    ),
    Refinement(
        "nft-security-behind-nat-input",
        "iptables-nft registers the security table at priority 150, behind nat at INPUT",
        "xtables_ipv4 in iptables/nft.c; the kernel's NF_IP_PRI_SECURITY is 50",
        lambda situation: (
            situation.security_priority > _NAT_SOURCE_PRIORITY
            and _NAT_INPUT in situation.loaded
            and _SECURITY_INPUT in situation.loaded
        ),
        skips=frozenset({_SECURITY_INPUT}),
        adds=((_NAT_INPUT, _SECURITY_INPUT),),
    ),
    Refinement(
        "nat-needs-conntrack",
        "nat chains are not entered while nothing in the namespace has switched conntrack on",
        "nf_nat_inet_fn in nf_nat_core.c: no connection, NF_ACCEPT; nf_ct_netns_get",
        lambda situation: not situation.conntrack,
        skips=_NAT_STATIONS,
    ),
    Refinement(
        "nat-first-packet-only",
        "nat skipped: not the first packet of its connection",
        "nf_nat_inet_fn in nf_nat_core.c: case IP_CT_NEW and nf_nat_initialized",
        lambda situation: (
            situation.conntrack
            and situation.phase in (Phase.LATER, Phase.ESTABLISHED, Phase.REPLY)
        ),
        skips=_NAT_STATIONS,
    ),
    Refinement(
        "nat-never-for-related-icmp",
        "nat skipped: an ICMP error is translated with its connection, without asking the chains",
        "nf_nat_ipv4_fn and nf_nat_ipv6_fn in nf_nat_proto.c: IP_CT_RELATED",
        lambda situation: situation.conntrack and situation.phase is Phase.RELATED,
        skips=_NAT_STATIONS,
    ),
    Refinement(
        "nat-never-for-invalid",
        "nat skipped: the packet belongs to no connection (INVALID)",
        "nf_nat_inet_fn in nf_nat_core.c: no connection, NF_ACCEPT",
        lambda situation: situation.conntrack and situation.phase is Phase.INVALID,
        skips=_NAT_STATIONS,
    ),
    Refinement(
        "nat-never-for-untracked",
        "nat skipped: the packet is not tracked (UNTRACKED)",
        "nf_nat_inet_fn in nf_nat_core.c: no connection, NF_ACCEPT",
        lambda situation: situation.conntrack and situation.phase is Phase.UNTRACKED,
        skips=_NAT_STATIONS,
    ),
    Refinement(
        "loopback-keeps-connection",
        "over lo the packet keeps its connection and mark: nat had its turn at OUTPUT and "
        "POSTROUTING, PREROUTING and INPUT skip it",
        "loopback_xmit in drivers/net/loopback.c; nf_conntrack_in: previously seen",
        lambda situation: (
            situation.conntrack
            and situation.path is Path.LOOPBACK
            and situation.phase is Phase.FIRST
        ),
        skips=frozenset({Station(Hook.PREROUTING, TableName.NAT), _NAT_INPUT}),
    ),
    Refinement(
        "table-not-loaded",
        "a table that nobody has loaded, or a chain that nobody has made, is not there to pass",
        "ipt_register_table; iptables-nft makes base chains when they are first used",
        lambda situation: any(
            station not in situation.loaded for station in stations_in(DOCUMENTED[situation.path])
        ),
    ),
)
"""The refinements in the order in which they are applied."""


@dataclass(frozen=True, slots=True)
class Documented:
    """The stations that a packet should pass, and the refinements that made them so."""

    stations: tuple[Station, ...]
    refinements: tuple[Refinement, ...]


def documented_way(
    situation: Situation,
    order: Mapping[Path, str] = DOCUMENTED,
    refinements: tuple[Refinement, ...] = REFINEMENTS,
) -> Documented:
    """The documented order for a packet, with every refinement that changes it applied.

    A packet that a rule drops passes only the beginning of these stations.
    """
    stations = list(stations_in(order[situation.path]))
    used = []
    for refinement in refinements:
        if not refinement.applies(situation):
            continue
        changed = _refine(stations, refinement, situation.loaded)
        if refinement.name == "table-not-loaded":
            changed = [station for station in changed if station in situation.loaded]
        if changed != stations:
            used.append(refinement)
        stations = changed
    return Documented(tuple(stations), tuple(used))


def _refine(
    stations: list[Station], refinement: Refinement, loaded: frozenset[Station]
) -> list[Station]:
    result: list[Station] = []
    for station in stations:
        if station in refinement.skips:
            continue
        result.append(station)
    for after, new in refinement.adds:
        if new in result or new not in loaded or after not in result:
            continue
        result.insert(result.index(after) + 1, new)
    return result
