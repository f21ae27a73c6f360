"""Whether one packet can meet the conditions of two rules."""

from __future__ import annotations

from collections.abc import Iterable

from netfw.ir.match import (
    AddressMatch,
    CommentMatch,
    ConntrackMatch,
    InterfaceMatch,
    Match,
    ProtocolMatch,
    StateMatch,
    TcpMatch,
    UdpMatch,
)
from netfw.ir.match_transport import Ports


def exclude(some: Iterable[Match], others: Iterable[Match]) -> bool:
    """Whether no packet meets both; False also where netfw cannot tell."""
    seen = tuple(others)
    return any(_excludes(one, other) for one in some for other in seen)


def imply(narrow: Iterable[Match], wide: Iterable[Match]) -> bool:
    """Whether each packet that meets the first surely meets the second as well."""
    known = tuple(narrow)
    return all(
        isinstance(one, CommentMatch) or any(_implies(other, one) for other in known)
        for one in wide
    )


def _excludes(one: Match, other: Match) -> bool:
    if isinstance(one, InterfaceMatch) and isinstance(other, InterfaceMatch):
        return one.way is other.way and _names_exclude(one, other)
    if isinstance(one, ProtocolMatch) and isinstance(other, ProtocolMatch):
        return _protocols_exclude(one, other)
    if isinstance(one, AddressMatch) and isinstance(other, AddressMatch):
        return one.side is other.side and _nets_exclude(one, other)
    if isinstance(one, TcpMatch | UdpMatch) and isinstance(other, TcpMatch | UdpMatch):
        return _ports_exclude(one.source, other.source) or _ports_exclude(
            one.destination, other.destination
        )
    if isinstance(one, StateMatch | ConntrackMatch) and isinstance(
        other, StateMatch | ConntrackMatch
    ):
        if not one.states or not other.states or one.negate or other.negate:
            return False
        return not one.states & other.states
    return False


def _protocols_exclude(one: ProtocolMatch, other: ProtocolMatch) -> bool:
    if one.negate != other.negate:
        return one.number == other.number
    numbers = {one.number, other.number}
    return not one.negate and 0 not in numbers and len(numbers) == 2


def _names_exclude(one: InterfaceMatch, other: InterfaceMatch) -> bool:
    if one.negate and other.negate:
        return False
    if one.negate != other.negate:
        refused, wanted = (one, other) if one.negate else (other, one)
        return refused.covers(wanted.name)
    return not one.covers(other.name.rstrip("+")) and not other.covers(one.name.rstrip("+"))


def _nets_exclude(one: AddressMatch, other: AddressMatch) -> bool:
    if one.negate and other.negate:
        return False
    if one.negate != other.negate:
        refused, wanted = (one, other) if one.negate else (other, one)
        return _holds(refused, wanted)
    common = one.net.mask & other.net.mask
    return one.net.address & common != other.net.address & common


def _holds(outer: AddressMatch, inner: AddressMatch) -> bool:
    """Whether all addresses of the second, negation left aside, are among the first's."""
    mask = outer.net.mask
    return inner.net.mask & mask == mask and inner.net.address & mask == outer.net.address


def _ports_exclude(one: Ports | None, other: Ports | None) -> bool:
    if one is None or other is None or one.negate or other.negate:
        return False
    return one.ports.last < other.ports.first or other.ports.last < one.ports.first


def _implies(one: Match, other: Match) -> bool:
    if one == other:
        return True
    if isinstance(one, AddressMatch) and isinstance(other, AddressMatch):
        positive = not one.negate and not other.negate
        return positive and one.side is other.side and _holds(other, one)
    if isinstance(one, InterfaceMatch) and isinstance(other, InterfaceMatch):
        positive = not one.negate and not other.negate
        is_one = positive and one.way is other.way and not one.name.endswith("+")
        return is_one and other.covers(one.name)
    return False
