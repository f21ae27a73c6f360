"""Trace events of nf_tables, which is where iptables-nft's rules live.

Source: nf_tables_trace.c and linux/netfilter/nf_tables.h (NFTA_TRACE_*). Any number of readers
may listen to the multicast group of a namespace.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter

from netfw.errors import CapabilityError
from netfw.host.namespace import Namespace
from netfw.host.netlink import DUMP, attributes_of, dump, open_netfilter, request
from netfw.host.trace import EventKind, TraceEvent
from netfw.ir.names import Family
from netfw.traverse.kernel_refinements import NFT_RETURN_EVENTS, KernelRefinement

_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_GROUP_TRACE = 9
_MESSAGE_TRACE = 10 << 8 | 17
_MESSAGE_GET_RULE = 10 << 8 | 7
_MESSAGE_GET_CHAIN = 10 << 8 | 4
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _HOOK_PRIORITY = 1, 3, 4, 2
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE = 1, 2, 3
_FAMILIES = {2: Family.IPV4, 10: Family.IPV6}
_NUMBER_OF_FAMILY = {Family.IPV4: 2, Family.IPV6: 10}
_INET = 1
"""NFPROTO_INET: a table of both families, whose events say the packet's own beside it."""
_VERDICTS = {
    0: "drop",
    1: "accept",
    2: "stolen",
    3: "queue",
    4: "repeat",
    -1: "continue",
    -2: "break",
    -3: "jump",
    -4: "goto",
    -5: "return",
}
_VERDICT_MASK = 0xFF
"""NF_VERDICT_MASK in linux/netfilter.h."""
_KINDS = {1: EventKind.POLICY, 2: EventKind.RULE, 3: EventKind.RULE}
_RETURN = 2
"""NFT_TRACETYPE_RETURN: older kernels say so of what newer ones call a rule."""
_VERDICT_LENGTH = 12
"""Bytes of NFTA_TRACE_VERDICT with a code and nothing more."""
_HEADER = struct.Struct("=IHHIIB3x")
_ATTRIBUTE = struct.Struct("=HH")
_U32, _I32, _U64 = struct.Struct(">I"), struct.Struct(">i"), struct.Struct(">Q")


def subscribe(namespace: Namespace, buffer: int) -> socket.socket:
    """Listen to the namespace's trace group; raises CapabilityError."""
    link = open_netfilter(namespace, buffer)
    join_trace_group(link)
    return link


def join_trace_group(link: socket.socket) -> None:
    """Let a netfilter socket hear the trace group too; closes it and raises CapabilityError."""
    try:
        link.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_TRACE)
    except OSError as error:
        link.close()
        raise CapabilityError.at(
            "nft trace", f"this kernel has no nf_tables trace group: {error.strerror}"
        ) from None


def rule_handles(namespace: Namespace, family: Family) -> dict[tuple[str, str], list[int]]:
    """The handles of all rules of a family in order, by table and chain.

    The position of a handle in its chain is iptables' rule number, counted from 1.
    """
    with open_netfilter(namespace) as link:
        message = request(_MESSAGE_GET_RULE, DUMP, _NUMBER_OF_FAMILY[family], 0, b"")
        bodies = dump(link, message, "list of nft rules")
    found: dict[tuple[str, str], list[int]] = {}
    for body in bodies:
        rule = attributes_of(body)
        place = (_text(rule[_RULE_TABLE]), _text(rule[_RULE_CHAIN]))
        found.setdefault(place, []).append(_U64.unpack(rule[_RULE_HANDLE])[0])
    return found


def base_chain_priorities(namespace: Namespace, family: Family) -> dict[tuple[str, str], int]:
    """Where a family's base chains are registered: hook priority by table and chain."""
    with open_netfilter(namespace) as link:
        message = request(_MESSAGE_GET_CHAIN, DUMP, _NUMBER_OF_FAMILY[family], 0, b"")
        bodies = dump(link, message, "list of nft chains")
    found = {}
    for body in bodies:
        chain = attributes_of(body)
        hook = chain.get(_CHAIN_HOOK)
        if hook is not None:
            priority = attributes_of(hook, 0)[_HOOK_PRIORITY]
            place = (_text(chain[_CHAIN_TABLE]), _text(chain[_CHAIN_NAME]))
            found[place] = _I32.unpack(priority)[0]
    return found


def _text(payload: bytes) -> str:
    return payload.rstrip(b"\0").decode("utf-8", "replace")


class NftDecoder:
    """Decodes datagrams of the trace group. The kernel numbers nothing: loss shows as ENOBUFS.

    ``both_families`` also takes tables of the family inet, which no iptables has.
    ``refinements`` counts the events in which this kernel differs from the newest.
    """

    gaps = 0

    def __init__(self, *, both_families: bool = False) -> None:
        self._names: dict[bytes, str] = {}
        self.refinements: Counter[KernelRefinement] = Counter()
        self._tables = frozenset({_INET, *_FAMILIES}) if both_families else frozenset(_FAMILIES)

    def _name(self, payload: bytes) -> str:
        name = self._names.get(payload)
        if name is None:
            name = self._names[payload] = _text(payload)
        return name

    def decode(self, datagram: bytes) -> list[TraceEvent]:
        """The events of a datagram; messages of other kinds are passed over."""
        events = []
        start, end = 0, len(datagram)
        attribute, u32 = _ATTRIBUTE.unpack_from, _U32.unpack_from
        while start + 20 <= end:
            length, kind, _, _, _, family = _HEADER.unpack_from(datagram, start)
            stop = start + length
            if kind == _MESSAGE_TRACE and family in self._tables:
                of_packet, state = family, None
                table = chain = ""
                handle: int | None = None
                verdict: str | None = None
                jump = ""
                event_kind = EventKind.RULE
                mark = packet_id = iif = oif = 0
                network = transport = b""
                at = start + 20
                while at + 4 <= stop:
                    size, number = attribute(datagram, at)
                    number &= 0x3FFF
                    if number == 1:
                        table = self._name(datagram[at + 4 : at + size])
                    elif number == 2:
                        chain = self._name(datagram[at + 4 : at + size])
                    elif number == 3:
                        handle = _U64.unpack_from(datagram, at + 4)[0]
                    elif number == 4:
                        code = u32(datagram, at + 4)[0]
                        event_kind = _KINDS[code]
                        if code == _RETURN:
                            self.refinements[NFT_RETURN_EVENTS] += 1
                    elif number == 5:
                        # nested: the code, and for jump and goto the chain
                        code = _I32.unpack_from(datagram, at + 8)[0]
                        # above the verdict NF_QUEUE stands the number of the queue
                        verdict = _VERDICTS.get(code if code < 0 else code & _VERDICT_MASK)
                        if size > _VERDICT_LENGTH:
                            length_of_name = attribute(datagram, at + _VERDICT_LENGTH)[0]
                            name_at = at + _VERDICT_LENGTH
                            jump = self._name(datagram[name_at + 4 : name_at + length_of_name])
                    elif number == 6:
                        packet_id = u32(datagram, at + 4)[0]
                    elif number == 8:
                        network = datagram[at + 4 : at + size]
                    elif number == 9:
                        transport = datagram[at + 4 : at + size]
                    elif number == 10:
                        iif = u32(datagram, at + 4)[0]
                    elif number == 12:
                        oif = u32(datagram, at + 4)[0]
                    elif number == 14:
                        mark = u32(datagram, at + 4)[0]
                    elif number == 15:
                        of_packet = u32(datagram, at + 4)[0]
                    elif number == 21:
                        state = u32(datagram, at + 4)[0]
                    elif number == 16:
                        verdict = _VERDICTS.get(_I32.unpack_from(datagram, at + 4)[0])
                    at += (size + 3) & ~3
                if of_packet not in _FAMILIES:
                    start += (length + 3) & ~3
                    continue
                events.append(
                    TraceEvent(
                        _FAMILIES[of_packet],
                        table,
                        chain,
                        event_kind,
                        handle,
                        verdict,
                        jump,
                        mark,
                        iif,
                        oif,
                        packet_id,
                        network,
                        transport,
                        None,
                        family,
                        state,
                    )
                )
            start += (length + 3) & ~3
        return events
