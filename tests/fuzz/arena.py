"""Stages that are kept while ruleset after ruleset is loaded into them."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from dataclasses import replace

from netfw.host.iptables import restore
from netfw.host.namespace import Namespace
from netfw.host.netlink import ACK, ask, open_netfilter, request
from netfw.host.network import Network
from netfw.host.nft_trace import base_chain_priorities, rule_handles
from netfw.host.run import run
from netfw.host.trace import TraceReader
from netfw.ir.ipset import IpSet
from netfw.ir.names import Backend, Family, TableName
from netfw.ir.net import format_address
from netfw.ir.ruleset import Ruleset
from netfw.render.ipset import render_sets
from netfw.render.restore import render_ruleset
from netfw.traverse.host_facts import HostFacts, RoutingRule
from netfw.traverse.set_lookup import known_sets
from netfw.verify.instrument import with_trace
from netfw.verify.observe import Observer
from netfw.verify.stage import Stage
from tests.fuzz.sets import empty_sets, refill_text
from tests.fuzz.world import INTERFACES, PORTS, TABLE_OF_MARK, layout, mark_routes

_NUMBER_OF_FAMILY = {Family.IPV4: 2, Family.IPV6: 10}
_DELETE_CONNECTIONS = 1 << 8 | 2
"""IPCTNL_MSG_CT_DELETE of NFNL_SUBSYS_CTNETLINK; without a tuple it deletes all of them."""
_MUTE = {
    "net.ipv4.icmp_echo_ignore_all": 1,
    "net.ipv4.icmp_ratelimit": 2**31 - 1,
    "net.ipv4.icmp_ratemask": 2**31 - 1,
    "net.ipv4.icmp_errors_use_inbound_ifaddr": 0,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv6.icmp.echo_ignore_all": 1,
    "net.ipv6.icmp.ratelimit": 2**31 - 1,
}
"""What the firewall's own kernel answers would go through the rules too and leave its traces in
the connections: it shall answer nothing. Over lo it answers all the same."""
_HIGHEST_NUMBER = 60000
_SO_ATTACH_FILTER = 26
_REFUSE_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0)
"""The program ``ret #0`` of linux/filter.h: the socket takes no packet at all."""


class Ground:
    """One stage of one backend and family, with connection tracking always on or never on.

    Rules leave the kernel after they are replaced, and nf_tables takes its time: in a namespace
    that has seen them, connection tracking may still be on when it should be off.
    """

    def __init__(self, backend: Backend, family: Family) -> None:
        self.backend, self.family = backend, family
        self._stack = ExitStack()
        try:
            self._set_up()
        except BaseException:
            self._stack.close()
            raise

    def _set_up(self) -> None:
        enter = self._stack.enter_context
        plan = layout()
        self.stage = enter(Stage(plan, self.family))
        self.facts = facts_of(self.family)
        firewall = self.stage.firewall
        with Network(firewall) as network:
            for name, value in _MUTE.items():
                network.set_sysctl(name, value)
            for interface in INTERFACES:
                network.set_sysctl(f"net/ipv4/conf/{interface}/send_redirects", 0)
        for port in PORTS:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                enter(_deaf_socket(firewall, self.family, kind, port))
        for argv in _ways_by_mark(self.family):
            run(argv, namespace=firewall)
        self._sets = tuple(empty_sets(self.family).values())
        run(["ipset", "restore"], stdin=render_sets(self._sets), namespace=firewall)
        self._connections = open_netfilter(firewall)
        self._stack.callback(self._connections.close)
        self.reader = enter(TraceReader.open(firewall, self.backend))

    def load(self, ruleset: Ruleset, sets: tuple[IpSet, ...] = ()) -> Observer:
        """Replace all rules and sets' members, forget all connections, and watch what comes."""
        traced = with_trace(ruleset)
        firewall = self.stage.firewall
        sets = sets or tuple(empty_sets(self.family).values())
        if sets != self._sets:
            run(["ipset", "restore"], stdin=refill_text(sets), namespace=firewall)
            self._sets = sets
            self.facts = replace(self.facts, sets=known_sets(sets))
        restore(firewall, self.backend, self.family, render_ruleset(traced))
        self.stage.keep_connections()
        handles = {}
        if self.backend is Backend.NFT:
            handles = rule_handles(firewall, self.family)
            priorities = base_chain_priorities(firewall, self.family)
            security = priorities[TableName.SECURITY.value, "FORWARD"]
            self.facts = replace(self.facts, security_priority=security)
        number = _NUMBER_OF_FAMILY[self.family]
        ask(self._connections, request(_DELETE_CONNECTIONS, ACK, number, 0, b""), "flush")
        return Observer(self.backend, self.family, traced, handles)

    @property
    def lost(self) -> str:
        """Why something may not have been seen; empty where everything was."""
        if self.stage.lost:
            return f"{self.stage.lost} packets arrived and were not seen"
        return self.reader.lost

    def close(self) -> None:
        """Give everything back."""
        self._stack.close()


def facts_of(family: Family) -> HostFacts:
    """What a prediction has to know of the grounds of a family."""
    found = layout().facts()
    # IPv6 puts an interface's newest address first (ipv6_link_dev_addr in addrconf.c)
    ordered = {
        interface: (
            *(a for a in addresses if a.family is Family.IPV4),
            *(a for a in reversed(addresses) if a.family is Family.IPV6),
        )
        for interface, addresses in found.addresses.items()
    }
    return replace(
        found,
        addresses=ordered,
        routes=(*found.routes, *mark_routes(family)),
        rules=tuple(
            RoutingRule(preference, mark, table, family)
            for preference, (mark, table) in enumerate(TABLE_OF_MARK, start=100)
        ),
        sets=known_sets(empty_sets(family).values()),
    )


def _ways_by_mark(family: Family) -> list[list[str]]:
    ip = f"ip -{family.value}"
    lines = [
        f"{ip} rule add preference {preference} fwmark {mark} lookup {table}"
        for preference, (mark, table) in enumerate(TABLE_OF_MARK, start=100)
    ]
    for route in mark_routes(family):
        assert route.next_hop is not None
        hop = f"via {format_address(family, route.next_hop)} dev {route.interface}"
        lines.append(f"{ip} route add {route.destination} {hop} table {route.table}")
    return [line.split() for line in lines]


def _deaf_socket(namespace: Namespace, family: Family, kind: int, port: int) -> socket.socket:
    """A socket that has a port and neither takes nor answers a packet: without one the kernel
    answers with a reset or an ICMP error."""

    def make() -> socket.socket:
        import ctypes

        af = socket.AF_INET if family is Family.IPV4 else socket.AF_INET6
        made = socket.socket(af, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        program = ctypes.create_string_buffer(_REFUSE_ALL)
        made.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("HxxxxxxP", 1, ctypes.addressof(program)),
        )
        made.bind(("", port))
        if kind == socket.SOCK_STREAM:
            made.listen(1)
        return made

    return namespace.call(make)


class Arena:
    """The grounds of a backend, each made when it is first needed; a context manager.

    Nothing is left of them when it is left, or when this process ends.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._grounds: dict[tuple[Family, bool], Ground] = {}
        self._number = _HIGHEST_NUMBER

    def ground(self, family: Family, *, conntrack: bool) -> Ground:
        """The ground for a family and for rulesets with or without connection tracking."""
        found = self._grounds.get((family, conntrack))
        if found is None:
            found = self._grounds[family, conntrack] = Ground(self.backend, family)
        return found

    def numbers(self, count: int) -> list[int]:
        """Numbers for the packets of a case, which no packet had for a long time: what comes late
        is then not taken for another packet's.

        They fall, because sequence numbers are made of them, and none may lie beyond the window
        of its connection: not even where the other side has told no window yet.
        """
        if self._number < 2 * count:
            self._number = _HIGHEST_NUMBER
        self._number -= count
        return list(range(self._number + count, self._number, -1))

    def __enter__(self) -> Arena:
        return self

    def __exit__(self, *_: object) -> None:
        for ground in self._grounds.values():
            ground.close()
        self._grounds.clear()
