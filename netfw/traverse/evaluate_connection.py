"""What conntrack knows of a packet, as a predicate."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.ir.form import Range
from netfw.ir.match import ConnectionState, ConntrackMatch
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6
from netfw.ir.spelling import Wanted
from netfw.traverse.connection import Connection
from netfw.traverse.skb import Skb


def state_of(skb: Skb) -> ConnectionState:
    """Without a connection a packet is INVALID, also where conntrack is off (xt_conntrack.c)."""
    return skb.state or ConnectionState.INVALID


def conntrack_holds(match: ConntrackMatch, skb: Skb) -> bool | None:
    """Whether a packet meets a conntrack match; None where the model cannot say.

    conntrack_mt in net/netfilter/xt_conntrack.c: without a connection the kernel looks no
    further than the states, whatever else the rule asks.
    """
    connection = skb.connection
    if match.states:
        found = state_of(skb) in match.states
        if connection is not None and not found:
            found = (ConnectionState.SNAT in match.states and connection.has_source_nat) or (
                ConnectionState.DNAT in match.states and connection.has_destination_nat
            )
        if found is match.negate:
            return False
    if connection is None:
        return bool(match.states)
    answers = list(_further(match, skb, connection))
    if False in answers:
        return False
    return None if None in answers else True


def _further(match: ConntrackMatch, skb: Skb, connection: Connection) -> Iterator[bool | None]:
    if match.direction is not None:
        yield (match.direction == "REPLY") is skb.is_reply
    original, reply = connection.original, connection.reply
    if match.protocol is not None:
        yield (original.protocol == match.protocol.value) is not match.protocol.negate
    for net, address in (
        (match.original_source, original.source),
        (match.original_destination, original.destination),
        (match.reply_source, reply.source),
        (match.reply_destination, reply.destination),
    ):
        yield net is None or _in_net(net, address)
    for ports, port in (
        (match.original_source_port, original.source_port),
        (match.original_destination_port, original.destination_port),
        (match.reply_source_port, reply.source_port),
        (match.reply_destination_port, reply.destination_port),
    ):
        if ports is not None:
            # for ICMP the kernel would compare identifier, type and code in its own byte order
            is_icmp = original.protocol in (ICMP, ICMPV6)
            yield None if is_icmp else _in_range(ports, port)
    if match.status or match.expire is not None:
        yield None


def _in_net(wanted: Wanted[Net], address: int) -> bool:
    return (address in wanted.value) is not wanted.negate


def _in_range(wanted: Wanted[Range], number: int) -> bool:
    return (number in wanted.value) is not wanted.negate
