"""Whether one packet can meet the conditions of two rules."""

from __future__ import annotations

from collections.abc import Iterable

from netfw.doctor.any_of import AnyOf, Condition
from netfw.ir.match import (
    AddressMatch,
    CommentMatch,
    ConntrackMatch,
    InterfaceMatch,
    MultiportMatch,
    PortSide,
    ProtocolMatch,
    StateMatch,
    TcpMatch,
    UdpMatch,
)
from netfw.ir.match_transport import Ports


def exclude(some: Iterable[Condition], others: Iterable[Condition]) -> bool:
    """Whether no packet meets both; False also where netfw cannot tell."""
    seen = tuple(others)
    return any(_excludes(one, other) for one in some for other in seen)


def imply(narrow: Iterable[Condition], wide: Iterable[Condition]) -> bool:
    """Whether each packet that meets the first surely meets the second as well."""
    known = tuple(narrow)
    return all(
        isinstance(one, CommentMatch) or any(_implies(other, one) for other in known)
        for one in wide
    )


def _excludes(one: Condition, other: Condition) -> bool:
    if isinstance(one, AnyOf):
        return all(_excludes(each, other) for each in one.matches)
    if isinstance(other, AnyOf):
        return all(_excludes(one, each) for each in other.matches)
    if isinstance(one, AddressMatch) and isinstance(other, AddressMatch):
        return _addresses_exclude(one, other)
    if isinstance(one, InterfaceMatch) and isinstance(other, InterfaceMatch):
        return one.way is other.way and _names_exclude(one, other)
    if isinstance(one, ProtocolMatch) and isinstance(other, ProtocolMatch):
        return _protocols_exclude(one, other)
    if isinstance(one, MultiportMatch) and isinstance(other, TcpMatch | UdpMatch):
        return _many_exclude(one, other)
    if isinstance(other, MultiportMatch) and isinstance(one, TcpMatch | UdpMatch):
        return _many_exclude(other, one)
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


def _addresses_exclude(one: AddressMatch, other: AddressMatch) -> bool:
    if one.net.family is not other.net.family:
        # a rule that asks for an address of one family sees no packet of the other
        return True
    return one.side is other.side and _nets_exclude(one, other)


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


def _many_exclude(many: MultiportMatch, other: TcpMatch | UdpMatch) -> bool:
    asked = {PortSide.SOURCE: other.source, PortSide.DESTINATION: other.destination}.get(many.side)
    if asked is None or many.negate:
        return False
    return all(_ports_exclude(Ports(ports), asked) for ports in many.ports)


def _implies(one: Condition, other: Condition) -> bool:
    if one == other:
        return True
    if isinstance(one, AnyOf):
        return all(_implies(each, other) for each in one.matches)
    if isinstance(other, AnyOf):
        return any(_implies(one, each) for each in other.matches)
    if isinstance(one, AddressMatch) and isinstance(other, AddressMatch):
        if one.net.family is not other.net.family or other.negate:
            return False
        if other.net.mask == 0:
            return True
        return not one.negate and one.side is other.side and _holds(other, one)
    if isinstance(one, InterfaceMatch) and isinstance(other, InterfaceMatch):
        positive = not one.negate and not other.negate
        is_one = positive and one.way is other.way and not one.name.endswith("+")
        return is_one and other.covers(one.name)
    if isinstance(one, ProtocolMatch) and isinstance(other, ProtocolMatch):
        return other.number == 0 and not other.negate
    if isinstance(one, StateMatch | ConntrackMatch) and isinstance(
        other, StateMatch | ConntrackMatch
    ):
        return _states_imply(one, other)
    if isinstance(one, TcpMatch) and isinstance(other, TcpMatch):
        plain = other.flags is None and other.option is None
        return plain and _ports_imply(one, other)
    return isinstance(one, UdpMatch) and isinstance(other, UdpMatch) and _ports_imply(one, other)


def _states_imply(one: StateMatch | ConntrackMatch, other: StateMatch | ConntrackMatch) -> bool:
    """Of states alone: whoever asks for more than states implies the same words alone."""
    if one.negate or other.negate or not one.states or not one.states <= other.states:
        return False
    return isinstance(other, StateMatch) or other == ConntrackMatch(states=other.states)


def _ports_imply(one: TcpMatch | UdpMatch, other: TcpMatch | UdpMatch) -> bool:
    return _port_implies(one.source, other.source) and _port_implies(
        one.destination, other.destination
    )


def _port_implies(one: Ports | None, other: Ports | None) -> bool:
    if other is None or one == other:
        return True
    if one is None or one.negate or other.negate:
        return False
    return other.ports.first <= one.ports.first and one.ports.last <= other.ports.last
