"""Whether a packet is in a set, as the kernel looks it up.

Sources: net/netfilter/xt_set.c, net/netfilter/ipset/ip_set_core.c (ip_set_test), ip_set_hash_gen.h
(mtype_test_cidrs) and the kinds' own files beside them; ipset(8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from enum import Enum
from functools import cached_property

from netfw.ir.ipset import (
    IpSet,
    PartKind,
    SetInterface,
    SetMac,
    SetMarkWord,
    SetMember,
    SetName,
    SetPort,
)
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE
from netfw.traverse.skb import Skb

_WITH_PORTS = frozenset({TCP, UDP, SCTP, UDPLITE})
"""Whose ports are looked at (get_port in ip_set_getport.c): those of DCCP are not."""
_Key = tuple[object, ...]


class Found(Enum):
    """What there is in a set for a packet, where that is not a member."""

    NOTHING = "nothing"
    OPEN = "nobody knows"
    """The packet's Ethernet addresses would say it."""


def known_sets(sets: Iterable[IpSet]) -> dict[str, SetLookup]:
    """Sets made ready to be asked, by name."""
    found: dict[str, SetLookup] = {}
    for ipset in sets:
        found[ipset.name] = SetLookup(ipset, found)
    return found


class SetLookup:
    """A set made ready to be asked; ``known`` are the sets that a list may name."""

    def __init__(self, ipset: IpSet, known: Mapping[str, SetLookup]) -> None:
        self.ipset = ipset
        self._known = known

    def test(
        self,
        skb: Skb,
        sides: tuple[str, ...],
        *,
        return_nomatch: bool = False,
        changed: Set[str] = frozenset(),
    ) -> bool | None:
        """Whether the packet is in the set, or None where nobody knows.

        ``sides`` are src or dst for each part of a member. With fewer than it has parts, and for
        packets of the other family, nothing matches. ``return_nomatch`` asks for the exceptions
        instead. ``changed`` are sets that are no longer what they were.
        """
        ipset = self.ipset
        if ipset.name in changed:
            return None
        if len(sides) < len(ipset.parts) or ipset.family not in (None, skb.packet.family):
            return False
        if ipset.parts == (PartKind.SET,):
            return self._test_list(skb, sides, return_nomatch=return_nomatch, changed=changed)
        found = self._find(skb, sides)
        if found is Found.OPEN:
            return None
        if found is Found.NOTHING:
            return False
        assert isinstance(found, SetMember)
        return found.nomatch is (return_nomatch and ipset.has_exceptions)

    def _test_list(
        self, skb: Skb, sides: tuple[str, ...], *, return_nomatch: bool, changed: Set[str]
    ) -> bool | None:
        results = {
            self._known[part.name].test(skb, sides, return_nomatch=return_nomatch, changed=changed)
            for member in self.ipset.members
            for part in member.parts
            if isinstance(part, SetName)
        }
        if True in results:
            return True
        return None if None in results else False

    def find_member(self, skb: Skb, sides: tuple[str, ...]) -> SetMember | None:
        """The member that a packet is found as, an exception included; None where there is none,
        where nobody knows, and for lists."""
        if len(sides) < len(self.ipset.parts) or self.ipset.parts == (PartKind.SET,):
            return None
        found = self._find(skb, sides)
        return found if isinstance(found, SetMember) else None

    def _find(self, skb: Skb, sides: tuple[str, ...]) -> Found | SetMember:
        """Look up the longest prefixes first; of two nets, the first one's."""
        values = self._values(skb, sides)
        if values is None:
            return Found.NOTHING
        for masks, members in self._levels:
            key = tuple(
                value if mask is None else value & mask  # type: ignore[operator]
                for value, mask in zip(values, masks, strict=True)
            )
            entries = members.get(key)
            if entries is None:
                continue
            if self._asks_mac:
                return Found.OPEN
            if not self._asks_interface:
                return entries[0]
            name = _interface(skb, sides[1])
            for member in entries:
                if _is_interface(member, name):
                    return member
            # nets behind this one are not asked where it is there for other interfaces alone
            # (the condition !multi in mtype_test_cidrs)
            return Found.NOTHING
        return Found.NOTHING

    @cached_property
    def _asks_mac(self) -> bool:
        return PartKind.MAC in self.ipset.parts

    @cached_property
    def _asks_interface(self) -> bool:
        return PartKind.INTERFACE in self.ipset.parts

    @cached_property
    def _levels(self) -> list[tuple[tuple[int | None, ...], dict[_Key, list[SetMember]]]]:
        """Members by the masks of their nets, in the order in which the kernel tries them."""
        found: dict[tuple[int | None, ...], dict[_Key, list[SetMember]]] = {}
        kinds = self.ipset.parts
        for member in self.ipset.members:
            masks: list[int | None] = []
            key: list[object] = []
            for kind, part in zip(kinds, member.parts, strict=False):
                if isinstance(part, SetInterface | SetMac):
                    continue
                masks.append(part.mask if kind is PartKind.NET and isinstance(part, Net) else None)
                key.append(_key_of(part))
            found.setdefault(tuple(masks), {}).setdefault(tuple(key), []).append(member)
        return sorted(
            found.items(), key=lambda level: [mask or 0 for mask in level[0]], reverse=True
        )

    def _values(self, skb: Skb, sides: tuple[str, ...]) -> _Key | None:
        """What the packet has for each part that is looked up; None where it has nothing."""
        ipset = self.ipset
        values: list[object] = []
        for kind, side in zip(ipset.parts, sides, strict=False):
            if kind in (PartKind.IP, PartKind.NET):
                address = skb.source if side == "src" else skb.destination
                if ipset.mask is not None:
                    address &= ipset.mask
                if ipset.kind == "hash:ip" and not address:
                    return None
                values.append(address)
            elif kind is PartKind.PORT:
                port = _port_of(skb, side)
                if port is None:
                    return None
                if ipset.span is not None:
                    if port[0] not in (TCP, UDP):
                        return None
                    port = (None, port[1])
                values.append(port)
            elif kind is PartKind.MARK:
                values.append(skb.mark & ipset.mark_mask)
            elif kind is PartKind.INTERFACE and not _interface(skb, side):
                return None
        return tuple(values)


def _key_of(part: Net | SetPort | SetMarkWord | SetName) -> object:
    match part:
        case Net():
            return part.address
        case SetPort():
            return part.protocol, part.number
        case SetMarkWord():
            return part.word
        case SetName():
            return part.name


def _interface(skb: Skb, side: str) -> str:
    return skb.in_interface if side == "src" else skb.out_interface


def _is_interface(member: SetMember, name: str) -> bool:
    part = member.parts[-1]
    assert isinstance(part, SetInterface)
    if part.physdev:
        # packets of a bridge have one, and the walk knows of none
        return False
    return name.startswith(part.name) if part.wildcard else name == part.name


def _port_of(skb: Skb, side: str) -> tuple[int | None, int] | None:
    """Protocol and port, or what ICMP has instead; None for a later fragment
    (ip_set_get_ip4_port and ip_set_get_ip6_port in ip_set_getport.c)."""
    protocol = skb.protocol
    icmp = ICMP if skb.packet.family is Family.IPV4 else ICMPV6
    if skb.packet.fragment and (
        skb.packet.family is Family.IPV6 or protocol in _WITH_PORTS or protocol == icmp
    ):
        return None
    if protocol in _WITH_PORTS:
        return protocol, skb.source_port if side == "src" else skb.destination_port
    if protocol == icmp:
        return protocol, skb.packet.icmp_type << 8 | skb.packet.icmp_code
    return protocol, 0
