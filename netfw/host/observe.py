"""Reads all that doctor reasons over from a live namespace. Only looks; creates nothing.

What cannot be read (the kernel lacks a feature, a program is missing, a permission) makes one
line, and the rest is read all the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from netfw.doctor.findings.mark_never_set import unset_marks
from netfw.doctor.host_state import HeldRules, HostState, Neighbour
from netfw.doctor.observed import (
    BpfProgram,
    Link,
    MarkedSet,
    NftTable,
    NotRead,
    QueueReader,
    Socket,
)
from netfw.errors import CapabilityError, HostError, NetfwError
from netfw.facts.marked_sets import parse_marked_sets
from netfw.facts.queue_readers import parse_netlink_sockets, parse_queue_readers
from netfw.host.ipsets import saved_sets
from netfw.host.kernel_config import read_missing_options
from netfw.host.live_facts import LiveFacts, read_facts
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_rules import read_every_rule
from netfw.host.namespace import Namespace
from netfw.host.netlink import NETLINK_NETFILTER
from netfw.host.observe_connections import read_connections
from netfw.host.observe_neighbours import read_neighbours
from netfw.host.observe_programs import read_programs
from netfw.host.observe_routing import read_links, read_routing_rules
from netfw.host.observe_services import read_marked_services, read_networkd
from netfw.host.observe_sockets import Programs, read_sockets
from netfw.host.observe_tables import read_native_tables
from netfw.host.observe_traffic_control import read_traffic_control
from netfw.host.observe_transforms import read_transforms
from netfw.host.sysctl import are_read_only, read_settings
from netfw.ir.names import Backend, Family
from netfw.traverse.hooks import SECURITY_PRIORITY

T = TypeVar("T")
_SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv4/fwmark_reflect",
    "net/ipv4/tcp_fwmark_accept",
    "net/ipv6/fwmark_reflect",
    "net/ipv6/conf/all/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/bridge/bridge-nf-call-arptables",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_max",
)
_INTERFACE_SETTINGS = {
    Family.IPV4: ("rp_filter", "src_valid_mark", "forwarding", "accept_local"),
    Family.IPV6: ("forwarding", "disable_ipv6"),
}

_NO_SOCKETS: tuple[tuple[Socket, ...], tuple[NotRead, ...]] = ((), ())
_NO_NEIGHBOURS: tuple[tuple[Neighbour, ...], tuple[NotRead, ...]] = ((), ())
_NO_PROGRAMS: tuple[tuple[BpfProgram, ...], tuple[NotRead, ...]] = ((), ())


class _Reader:
    """Tries one thing after the other, and notes what could not be read."""

    def __init__(self) -> None:
        self.not_read: list[NotRead] = []

    def attempt(self, what: str, function: Callable[[], T], otherwise: T) -> T:
        """What a function reads, or ``otherwise`` and a line that says why not."""
        try:
            return function()
        except NetfwError as error:
            fault = error.faults[0]
            self.not_read.append(NotRead(what, f"{fault.place}: {fault.problem}"))
        except OSError as error:
            self.not_read.append(NotRead(what, error.strerror or str(error)))
        return otherwise


def read_state(namespace: LiveNamespace) -> HostState:
    """Everything that can be read of a namespace. Raises HostError and FactError where its rules
    cannot be read, since little could be said then."""
    reader = _Reader()
    entered = None if namespace.is_own else namespace
    everything = read_every_rule(namespace)
    rules = tuple(
        HeldRules(
            backend,
            ruleset,
            live.security_priority if backend is Backend.NFT else SECURITY_PRIORITY,
        )
        for live in everything.by_family.values()
        for backend, ruleset in live.rulesets.items()
    )
    tables: tuple[NftTable, ...] = reader.attempt(
        "native nftables", lambda: read_native_tables(entered, everything.native), ()
    )
    routes = {}
    for family in Family:
        facts = reader.attempt(
            f"routes of {family}", partial(_read_facts, namespace, family), None
        )
        if facts is not None:
            routes[family] = facts.tables
    links: tuple[Link, ...] = reader.attempt("interfaces", lambda: read_links(namespace), ())
    names = tuple(link.name for link in links)
    settings: dict[str, str] = reader.attempt(
        "sysctls", lambda: read_settings(_settings(names), entered), {}
    )
    programs: Programs | None = reader.attempt("programs", lambda: Programs(namespace), None)
    sockets, without = reader.attempt(
        "sockets", lambda: read_sockets(namespace, programs, links), _NO_SOCKETS
    )
    reader.not_read += without
    bpf, without = reader.attempt("eBPF", lambda: read_programs(namespace, links), _NO_PROGRAMS)
    reader.not_read += without
    state = HostState(
        namespace.name,
        rules,
        tables,
        reader.attempt("routing rules", lambda: read_routing_rules(namespace), ()),
        routes,
        links,
        settings,
        sockets,
        reader.attempt("IPsec", lambda: read_transforms(namespace), ()),
        reader.attempt("connections", lambda: read_connections(namespace), ()),
        reader.attempt("NFQUEUE", lambda: _read_queues(namespace, programs), ()),
        reader.attempt("tc", lambda: read_traffic_control(namespace, links), ()),
        bpf,
        reader.attempt("ipset", lambda: _read_sets(entered), ()),
        reader.attempt("systemd-networkd", lambda: read_networkd(namespace), None),
        reader.attempt("IPVS", lambda: read_marked_services(namespace), ()),
        reader.attempt("the kernel's configuration", read_missing_options, frozenset()),
        settings_are_read_only=reader.attempt(
            "whether sysctls may be written", lambda: _are_settings_read_only(namespace), False
        ),
    )
    neighbours, without = reader.attempt(
        "other namespaces",
        lambda: read_neighbours(namespace, lambda: any(unset_marks(state))),
        _NO_NEIGHBOURS,
    )
    reader.not_read += without
    reader.not_read += _legacy_arptables(namespace)
    return replace(state, neighbours=neighbours, not_read=tuple(reader.not_read))


def _are_settings_read_only(namespace: LiveNamespace) -> bool:
    """As the process sees it by which the namespace was named; of others nobody knows who lives
    there."""
    if namespace.is_own:
        return are_read_only("self")
    return namespace.name.isdigit() and are_read_only(namespace.name)


def _read_facts(namespace: LiveNamespace, family: Family) -> LiveFacts | None:
    return read_facts(namespace, family)


def _settings(interfaces: tuple[str, ...]) -> list[str]:
    return [
        *_SETTINGS,
        *(
            f"net/ipv{family.value}/conf/{interface}/{name}"
            for family, names in _INTERFACE_SETTINGS.items()
            for interface in ("all", "default", *interfaces)
            for name in names
        ),
    ]


def _read_queues(namespace: LiveNamespace, programs: Programs | None) -> tuple[QueueReader, ...]:
    root = Path("/proc/thread-self/net")

    def read(name: str) -> str:
        return namespace.call(lambda: (root / name).read_text(encoding="ascii"))

    try:
        readers = parse_queue_readers(read("netfilter/nfnetlink_queue"))
    except FileNotFoundError:
        # no queue without this part of the kernel
        return ()
    if not readers or programs is None:
        return tuple(QueueReader(queue, port) for queue, port in readers)
    inodes = parse_netlink_sockets(read("netlink"), NETLINK_NETFILTER)
    return tuple(
        QueueReader(queue, port, programs.owner_of(inodes.get(port, 0), everywhere=True)[0])
        for queue, port in readers
    )


def _read_sets(entered: Namespace | None) -> tuple[MarkedSet, ...]:
    try:
        return parse_marked_sets(saved_sets(entered))
    except CapabilityError:
        raise
    except HostError:
        # none of the kernel's part of it: then there are no sets
        return ()


def _legacy_arptables(namespace: LiveNamespace) -> list[NotRead]:
    path = Path("/proc/thread-self/net/arp_tables_names")
    with contextlib.suppress(OSError):
        names = namespace.call(lambda: path.read_text(encoding="ascii")).split()
        if names:
            return [NotRead("legacy arptables", f"tables {', '.join(names)} are there")]
    return []
