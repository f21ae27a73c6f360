"""Address translation: what the nat table's targets make of a connection, and what follows.

Source: net/netfilter/nf_nat_core.c (nf_nat_setup_info, nf_nat_packet), nf_nat_masquerade.c,
nf_nat_redirect.c of Linux 6.12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from netfw.ir.names import Family, Hook
from netfw.ir.target import Dnat, Masquerade, NatRange, Netmap, Redirect, Snat
from netfw.traverse.connection import UNKNOWN_PORT, Conntrack, Tuple
from netfw.traverse.hooks import NAT_SIDE_IS_DESTINATION
from netfw.traverse.host_facts import LOOPBACK, HostFacts, InterfaceAddress
from netfw.traverse.nat_address import choose_address
from netfw.traverse.packet import PORT_PROTOCOLS
from netfw.traverse.skb import Skb

NatTarget = Snat | Dnat | Masquerade | Redirect | Netmap
LOOPBACK_ADDRESS = {Family.IPV4: 0x7F000001, Family.IPV6: 1}
"""Where REDIRECT sends what this host itself sends."""


@dataclass(frozen=True, slots=True)
class Unknowable:
    """Why a translation cannot be foretold."""

    reason: str


class _Chosen(NamedTuple):
    """What a rule makes of one side: an address and a range of ports; None for what it leaves."""

    address: int | None
    ports: tuple[int, int] | None = None
    span: tuple[int, int] | None = None
    """The addresses that ``address`` was chosen from, where there are several."""
    base: int | None = None
    """The port that becomes the first of ``ports``, where a range is moved."""
    is_random: bool = False

    def allows(self, address: int, port: int) -> bool:
        """Whether a side that looks like this may stay as it is (nf_in_range)."""
        right_address = self.address is None or address == self.address
        if self.span is not None:
            right_address = self.span[0] <= address <= self.span[1]
        return right_address and (self.ports is None or self.ports[0] <= port <= self.ports[1])


def bind(
    target: NatTarget, skb: Skb, hook: Hook, facts: HostFacts, conntrack: Conntrack
) -> Unknowable | None:
    """Set the connection of a first packet up as a nat rule says; the packet is not changed yet.

    Returns what cannot be known, such as which address of a range the kernel will take.
    """
    connection = skb.connection
    if connection is None:
        return None
    match target:
        case Snat(to) | Dnat(to):
            chosen = _chosen(to, None, connection.reply.inverted())
        case Netmap(to=net):
            mine = skb.destination if NAT_SIDE_IS_DESTINATION[hook] else skb.source
            chosen = _Chosen(net.address | (mine & ~net.mask))
        case Masquerade(to):
            address = _masquerade_address(skb, facts)
            if address is None:
                return Unknowable(f"no known address of {skb.out_interface} to masquerade with")
            chosen = _chosen(to, address, None)
        case Redirect(to):
            redirected = _redirect_address(skb, hook, facts)
            if redirected is None:
                return Unknowable(f"no known address of {skb.in_interface} that fits the packet")
            chosen = _chosen(to, redirected, None)
    return _set_up(skb, hook, conntrack, chosen, str(target))


def bind_nothing(skb: Skb, hook: Hook, conntrack: Conntrack) -> Unknowable | None:
    """No rule spoke: the connection stays as it is on this side (nf_nat_alloc_null_binding),
    unless its answers could then not be told from another connection's."""
    connection = skb.connection
    if connection is None:
        return None
    now = connection.reply.inverted()
    address = now.destination if NAT_SIDE_IS_DESTINATION[hook] else now.source
    return _set_up(skb, hook, conntrack, _Chosen(address), "no translation")


def _set_up(
    skb: Skb, hook: Hook, conntrack: Conntrack, to: _Chosen, what: str
) -> Unknowable | None:
    """Choose what the connection becomes (nf_nat_setup_info and get_unique_tuple)."""
    connection = skb.connection
    if connection is None:
        return None
    now = connection.reply.inverted()
    if now.protocol not in PORT_PROTOCOLS:
        has_id = skb.packet.is_icmp
        to = _Chosen(to.address, span=to.span, is_random=to.is_random and has_id)
    is_destination = NAT_SIDE_IS_DESTINATION[hook]
    if is_destination:
        connection.destination_nat_done = True
        new = now._replace(destination=now.destination if to.address is None else to.address)
        port = now.destination_port
    else:
        connection.source_nat_done = True
        mapped = None if to.is_random else _mapped_source(now, to, conntrack)
        if mapped is not None and mapped.source_port == UNKNOWN_PORT:
            return _left_to_chance(skb, hook, mapped, "a port that was picked at random stays")
        if mapped is not None:
            connection.reply = mapped.inverted()
            return None
        new = now._replace(source=now.source if to.address is None else to.address)
        port = now.source_port
    is_one_port = to.ports is not None and to.ports[0] == to.ports[1]
    if to.is_random and not is_one_port:
        return _left_to_chance(skb, hook, new, "the kernel picks a port at random")
    if to.ports is not None:
        first, last = to.ports
        if is_one_port:
            port = first
        elif to.base is not None:
            port = first + ((port - to.base) % 65536) % (last - first + 1)
        elif not first <= port <= last:
            if is_destination:
                # the search for a free one begins at the first (nf_nat_l4proto_unique_tuple)
                port = first
            else:
                why = "the kernel picks a port of a range"
                return _left_to_chance(skb, hook, new, why)
        if is_destination:
            new = new._replace(destination_port=port)
        else:
            new = new._replace(source_port=port)
    if not is_one_port and conntrack.is_taken(new.inverted()):
        if is_destination and to.ports is None and now.protocol in PORT_PROTOCOLS:
            # a destination's port is not changed: the clash may be resolved at the other side
            connection.reply = new.inverted()
            return None
        return Unknowable(f"{what} clashes with another connection: the kernel picks a port")
    connection.reply = new.inverted()
    return None


def _left_to_chance(skb: Skb, hook: Hook, new: Tuple, why: str) -> Unknowable | None:
    """A source port that nobody can foretell. Where the packet leaves this host no rule sees it;
    what follows in the connection is in doubt."""
    connection = skb.connection
    if connection is None or hook is not Hook.POSTROUTING or skb.out_interface == LOOPBACK:
        return Unknowable(why)
    connection.reply = new._replace(source_port=UNKNOWN_PORT).inverted()
    connection.doubt = why
    return None


def _mapped_source(now: Tuple, to: _Chosen, conntrack: Conntrack) -> Tuple | None:
    """The source that the packet has already, or that its sender has in other connections,
    where the rule allows that and no answer would be mistaken."""
    if to.allows(now.source, now.source_port):
        return None if conntrack.is_taken(now.inverted()) else now
    for other in conntrack.of_source(now):
        theirs = other.reply.inverted()
        same = now._replace(source=theirs.source, source_port=theirs.source_port)
        if to.allows(same.source, same.source_port):
            by_chance = same.source_port == UNKNOWN_PORT
            return None if conntrack.is_taken(same.inverted()) and not by_chance else same
    return None


def is_bound(skb: Skb, hook: Hook) -> bool:
    """Whether this side of the connection has been set up (nf_nat_initialized)."""
    connection = skb.connection
    if connection is None:
        return True
    if NAT_SIDE_IS_DESTINATION[hook]:
        return connection.destination_nat_done
    return connection.source_nat_done


def translate(skb: Skb, hook: Hook) -> None:
    """Change the packet as its connection says, at this hook's side (nf_nat_packet)."""
    connection = skb.connection
    if connection is None:
        return
    # what this packet must look like is the inverse of the other direction
    wanted = (connection.original if skb.is_reply else connection.reply).inverted()
    with_ports = skb.protocol in PORT_PROTOCOLS
    if NAT_SIDE_IS_DESTINATION[hook]:
        applies = connection.has_source_nat if skb.is_reply else connection.has_destination_nat
        if applies:
            skb.destination = wanted.destination
            if with_ports:
                skb.destination_port = wanted.destination_port
    else:
        applies = connection.has_destination_nat if skb.is_reply else connection.has_source_nat
        if applies:
            skb.source = wanted.source
            if with_ports:
                skb.source_port = wanted.source_port


def _chosen(to: NatRange, address: int | None, now: Tuple | None) -> _Chosen:
    """What a target's range makes of a connection that looks like ``now``."""
    span = None
    if to.addresses is not None and now is not None:
        address = choose_address(
            now.family,
            to.addresses,
            now.source,
            now.destination,
            persistent="--persistent" in to.flags,
        )
        span = to.addresses
    is_random = any(flag.startswith("--random") for flag in to.flags)
    return _Chosen(address, to.ports, span, to.base, is_random)


def _masquerade_address(skb: Skb, facts: HostFacts) -> int | None:
    family, interface = skb.packet.family, skb.out_interface
    if family is Family.IPV4:
        route = facts.route(family, skb.destination, skb.mark)
        toward = skb.destination
        if route is not None and route.next_hop is not None:
            toward = route.next_hop
        return facts.source_for(family, interface, toward)
    # ipv6_dev_get_saddr: of the interface's addresses, the one that shares the longest prefix
    # with the destination (rule 8 of RFC 6724), and of several the first
    mine = [a for a in facts.addresses.get(interface, ()) if a.family is family]

    def shared(candidate: InterfaceAddress) -> int:
        same = family.bits - (candidate.address ^ skb.destination).bit_length()
        return min(same, candidate.prefix_length)

    return max(mine, key=shared).address if mine else None


def _redirect_address(skb: Skb, hook: Hook, facts: HostFacts) -> int | None:
    family = skb.packet.family
    if hook is Hook.OUTPUT:
        return LOOPBACK_ADDRESS[family]
    wanted = _scope(skb.destination) if family is Family.IPV6 else ""
    mine = (
        known.address
        for known in facts.addresses.get(skb.in_interface, ())
        if known.family is family and (not wanted or _scope(known.address) == wanted)
    )
    return next(mine, None)


def _scope(address: int) -> str:
    """The scope of an IPv6 address where REDIRECT asks for one of the same (ipv6_addr_scope and
    nf_nat_redirect_ipv6_usable); empty for those that any address will do for."""
    if address >> 120 == 0xFF:
        return {1: "host", 2: "link", 5: "site"}.get(address >> 112 & 0xF, "")
    if address == 1:
        return "host"
    return {0xFE80 >> 6: "link", 0xFEC0 >> 6: "site"}.get(address >> 118, "")
