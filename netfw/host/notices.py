"""What the kernel tells of changes of its own accord: rules of nf_tables, routing, interfaces.

Of sets of ipset, of legacy tables and of most sysctls it tells nothing.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from netfw.host.namespace import Namespace, call_in
from netfw.host.netlink import (
    NETLINK_NETFILTER,
    attributes_of,
    set_receive_buffer,
    split,
)

_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_NFTABLES_GROUP = 7
"""NFNLGRP_NFTABLES in linux/netfilter/nfnetlink.h."""
_ROUTING_GROUPS = (1, 5, 7, 8, 9, 11, 19, 24, 25)
"""RTNLGRP_* in linux/rtnetlink.h: LINK; IFADDR, ROUTE and RULE of IPv4; IFADDR, ROUTE and RULE of
IPv6; NETCONF of both, which tells of forwarding, rp_filter and a few more."""
_NEW_GENERATION = 10 << 8 | 15
"""NFT_MSG_NEWGEN, the last message of each transaction, which names who made it."""
_PROCESS, _NAME = 2, 3
_OF_IPTABLES = frozenset({2, 10})
"""Families of nf_tables in which iptables' tables are: ip and ip6."""
_ROUTES = frozenset({24, 25})
"""RTM_NEWROUTE and RTM_DELROUTE."""
_TABLE_PLACE, _ROUTE_LENGTH, _RTA_TABLE = 4, 12, 15
_BUFFER = 1 << 20
"""Bytes of a socket's buffer. If it overflows, that is a notice too."""


@dataclass(frozen=True, slots=True)
class Notice:
    """That something changed: in ``rules``, or otherwise in routing, interfaces or sysctls.

    ``by`` is the program that changed rules, as ``iptables (process 4711)``, where the kernel
    names it.
    """

    rules: bool
    by: str = ""


class Notices:
    """Sockets that get notices from a namespace (None: where we are); a context manager.

    ``tables`` are the routing tables whose routes are of interest. Raises OSError where the
    kernel has no such messages, or we may not have them.
    """

    def __init__(self, namespace: Namespace | None = None) -> None:
        self.tables: frozenset[int] = frozenset()
        self._rules = _listen(namespace, NETLINK_NETFILTER, (_NFTABLES_GROUP,))
        try:
            self._routing = _listen(namespace, socket.NETLINK_ROUTE, _ROUTING_GROUPS)
        except OSError:
            self._rules.close()
            raise
        self._poll = select.poll()
        for link in (self._rules, self._routing):
            self._poll.register(link, select.POLLIN)
        self._is_of_iptables = False
        """Whether the transaction that is being told of has to do with tables of iptables."""

    def wait(self, seconds: float | None) -> list[Notice]:
        """Wait until there are notices and give them; none where time (None: without limit) is up,
        or what came is of no interest."""
        self._poll.poll(None if seconds is None else seconds * 1000)
        return [*self._read(self._rules), *self._read(self._routing)]

    def _read(self, link: socket.socket) -> Iterator[Notice]:
        of_rules = link is self._rules
        while True:
            try:
                datagram = link.recv(_BUFFER)
            except BlockingIOError:
                return
            except OSError:
                # ENOBUFS: more has changed than the kernel could tell
                yield Notice(of_rules)
                continue
            for kind, body in split(datagram):
                yield from self._rules_notice(kind, body) if of_rules else self._other(kind, body)

    def _rules_notice(self, kind: int, body: bytes) -> Iterator[Notice]:
        if kind != _NEW_GENERATION:
            self._is_of_iptables |= body[0] in _OF_IPTABLES
            return
        if self._is_of_iptables:
            found = attributes_of(body)
            name = found.get(_NAME, b"").rstrip(b"\0").decode(errors="replace")
            process = found.get(_PROCESS, b"")
            number = struct.unpack(">I", process)[0] if len(process) == 4 else 0
            yield Notice(rules=True, by=f"{name} (process {number})" if name else "")
        self._is_of_iptables = False

    def _other(self, kind: int, body: bytes) -> Iterator[Notice]:
        if kind in _ROUTES:
            table = attributes_of(body, _ROUTE_LENGTH).get(_RTA_TABLE)
            number = struct.unpack("=I", table)[0] if table else body[_TABLE_PLACE]
            if number not in self.tables:
                return
        yield Notice(rules=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._rules.close()
        self._routing.close()


def _listen(namespace: Namespace | None, protocol: int, groups: tuple[int, ...]) -> socket.socket:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        try:
            made.bind((0, 0))
            for group in groups:
                made.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        except OSError:
            made.close()
            raise
        return made

    made = call_in(namespace, make)
    made.setblocking(False)
    set_receive_buffer(made, _BUFFER)
    return made
