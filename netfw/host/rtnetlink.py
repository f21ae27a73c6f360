"""Routing as the kernel's own messages: what one namespace says of it is said to another.

Messages go as they came, but for what only the kernel may say in them (states of links) and for
the numbers of interfaces. Source: linux/rtnetlink.h, linux/if_addr.h, linux/fib_rules.h,
linux/nexthop.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from netfw.errors import HostError
from netfw.host.namespace import Namespace
from netfw.host.netlink import ask, attribute, dump, link_message, split_attributes
from netfw.ir.names import Family

_AF = {Family.IPV4: 2, Family.IPV6: 10}
_ACK, _DUMP, _CREATE, _APPEND = 0x4, 0x300, 0x400, 0x800
_PATIENCE = 10.0
_U32 = struct.Struct("=I")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ADDRESS = struct.Struct("=BBBBI")
_RULE = struct.Struct("=BBBBBBBBI")
_NEXT_HOP = struct.Struct("=BBBBI")
_HOP = struct.Struct("=HBBi")
_ONLINK = 0x4
"""RTNH_F_ONLINK: the only flag of a next hop that a user may set."""
_CLONED = 0x200
"""RTM_F_CLONED: what was learned on the way (an exception of path MTU), no route."""
_RTA_OIF, _RTA_PRIORITY, _RTA_MULTIPATH, _RTA_NEXT_HOP = 4, 6, 9, 30
_WITH_NEXT_HOP = frozenset({1, 2, _RTA_PRIORITY, 7, 8, 15, _RTA_NEXT_HOP})
"""Attributes of a route that leads to a next hop object: RTA_DST, SRC, PRIORITY, PREFSRC, METRICS,
TABLE and its number; what the object says is repeated in the answer, and refused in a request."""
_IFA_FLAGS = 8
_ADDRESS_IS_OURS = 0x02 | 0x200
"""IFA_F_NODAD, and IFA_F_NOPREFIXROUTE: the routes come by themselves."""
_ADDRESS_STATES = 0x01 | 0x04 | 0x08 | 0x20 | 0x40 | 0x80 | 0x100
"""IFA_F_SECONDARY, OPTIMISTIC, DADFAILED, DEPRECATED, TENTATIVE, PERMANENT, MANAGETEMPADDR."""
_ADDRESS_UNUSABLE = 0x08 | 0x40
"""IFA_F_DADFAILED and TENTATIVE: a duplicate, or nobody knows yet."""
_RULE_INVERT = 0x2
"""FIB_RULE_INVERT; the other flags say whether an interface is there."""
_NHA_OIF = 5
_OF_NEXT_HOP = frozenset({1, 2, 3, 4, _NHA_OIF, 6, 7, 8, 11, 12})
"""NHA_ID to NHA_ENCAP, FDB and RES_GROUP: what a request may hold."""
_TYPE_MASK = 0x3FFF
"""Without NLA_F_NESTED and NLA_F_NET_BYTEORDER."""

Indexes = Mapping[int, int]
"""The number of an interface there, by its number here."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of message: what asks for all of them, what makes one, what removes one, and the
    length of its fixed part."""

    get: int
    new: int
    delete: int
    head: int


_ADDRESSES = _Kind(22, 20, 21, _ADDRESS.size)
_ROUTES = _Kind(26, 24, 25, _ROUTE.size)
_RULES = _Kind(34, 32, 33, _RULE.size)
_NEXT_HOPS = _Kind(106, 104, 105, _NEXT_HOP.size)


class RoutingCopy:
    """The routing of one namespace, taken over to another; a context manager.

    ``indexes`` leads from the interfaces of the source to those of the target.
    """

    def __init__(self, source: Namespace, target: Namespace, indexes: Indexes) -> None:
        self._indexes = indexes
        self._from, self._to = _open(source), _open(target)

    def __enter__(self) -> RoutingCopy:
        return self

    def __exit__(self, *_: object) -> None:
        self._from.close()
        self._to.close()

    def copy(self) -> None:
        """Addresses, next hop objects, routes and routing rules, of both families.

        What the kernel refuses is left out: to compare both afterwards shows it. Raises HostError
        where the source cannot be read.
        """
        addresses = [body for each in Family for body in self._dump(_ADDRESSES, each)]
        self._put((_ADDRESSES, self._address(body)) for body in addresses)
        try:
            next_hops = self._dump(_NEXT_HOPS, None)
        except HostError:
            # kernels before 5.3 have none
            next_hops = []
        routes = [body for each in Family for body in self._dump(_ROUTES, each)]
        self._put(
            [
                *((_NEXT_HOPS, self._next_hop(body)) for body in next_hops),
                *((_ROUTES, self._route(body)) for body in routes),
            ]
        )
        for family in Family:
            self._copy_rules(family)

    def _copy_rules(self, family: Family) -> None:
        """A new namespace has rules already: what the source lacks of them is removed."""
        wanted = [_rule(body) for body in self._dump(_RULES, family)]
        there = [_rule(body) for body in self._dump(_RULES, family, self._to)]
        for body in there:
            if body not in wanted:
                self._tell(_RULES.delete, 0, body)
        self._put((_RULES, body) for body in wanted if body not in there)

    def _dump(
        self, kind: _Kind, family: Family | None, link: socket.socket | None = None
    ) -> list[bytes]:
        head = bytes([0 if family is None else _AF[family]]) + bytes(kind.head - 1)
        try:
            return dump(link or self._from, link_message(kind.get, _DUMP, head), "routing")
        except OSError as error:
            raise HostError.at("routing", f"cannot be read: {error.strerror}") from None

    def _put(self, bodies: Iterable[tuple[_Kind, bytes | None]]) -> None:
        """Make them, again and again while that helps: one may need another."""
        left = [(kind, body) for kind, body in bodies if body is not None]
        while left:
            refused = [
                (kind, body)
                for kind, body in left
                if not self._tell(kind.new, _CREATE | _APPEND, body)
            ]
            if len(refused) == len(left):
                return
            left = refused

    def _tell(self, kind: int, flags: int, body: bytes) -> bool:
        try:
            ask(self._to, link_message(kind, flags | _ACK, body), "routing")
        except FileExistsError:
            return True
        except OSError:
            return False
        return True

    def _address(self, body: bytes) -> bytes | None:
        family, length, flags, scope, index = _ADDRESS.unpack_from(body)
        attributes = dict(split_attributes(body, _ADDRESS.size))
        flags = _U32.unpack(attributes.get(_IFA_FLAGS, _U32.pack(flags)))[0]
        if index not in self._indexes or flags & _ADDRESS_UNUSABLE:
            return None
        flags = flags & ~_ADDRESS_STATES | _ADDRESS_IS_OURS
        attributes[_IFA_FLAGS] = _U32.pack(flags)
        head = _ADDRESS.pack(family, length, flags & 0xFF, scope, self._indexes[index])
        return head + _joined(attributes.items())

    def _route(self, body: bytes) -> bytes | None:
        *start, flags = _ROUTE.unpack_from(body)
        if flags & _CLONED:
            return None
        attributes = split_attributes(body, _ROUTE.size)
        if start[0] == _AF[Family.IPV6] and not any(dict(attributes).get(_RTA_PRIORITY, b"")):
            # those of IPv6 addresses have the metric 0, which nobody else can ask for
            return None
        if any(kind == _RTA_NEXT_HOP for kind, _ in attributes):
            attributes = [each for each in attributes if each[0] in _WITH_NEXT_HOP]
        changed = []
        for kind, value in attributes:
            if kind == _RTA_OIF:
                value = self._number(value)
            elif kind == _RTA_MULTIPATH:
                value = self._hops(value)
            changed.append((kind, value))
        return _ROUTE.pack(*start, flags & _ONLINK) + _joined(changed)

    def _hops(self, value: bytes) -> bytes:
        found, offset = b"", 0
        while offset + _HOP.size <= len(value):
            length, flags, weight, index = _HOP.unpack_from(value, offset)
            if length < _HOP.size:
                break
            rest = value[offset + _HOP.size : offset + length]
            found += _HOP.pack(length, flags & _ONLINK, weight, self._indexes.get(index, 0))
            found += rest + b"\0" * (-length % 4)
            offset += (length + 3) & ~3
        return found

    def _next_hop(self, body: bytes) -> bytes:
        family, _scope, protocol, _, flags = _NEXT_HOP.unpack_from(body)
        attributes = [
            (kind, self._number(value) if kind == _NHA_OIF else value)
            for kind, value in split_attributes(body, _NEXT_HOP.size)
            if kind & _TYPE_MASK in _OF_NEXT_HOP
        ]
        return _NEXT_HOP.pack(family, 0, protocol, 0, flags & _ONLINK) + _joined(attributes)

    def _number(self, value: bytes) -> bytes:
        """The number of an interface, as it is there; 0 for one that is not."""
        return _U32.pack(self._indexes.get(_U32.unpack(value)[0], 0))


def _rule(body: bytes) -> bytes:
    *start, flags = _RULE.unpack_from(body)
    return _RULE.pack(*start, flags & _RULE_INVERT) + body[_RULE.size :]


def _joined(attributes: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(attribute(kind, value) for kind, value in attributes)


def _open(namespace: Namespace) -> socket.socket:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        made.bind((0, 0))
        return made

    made = namespace.call(make)
    made.settimeout(_PATIENCE)
    return made
