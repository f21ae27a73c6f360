"""Matches as iptables-save prints them."""

from __future__ import annotations

from typing import assert_never

from netfw.ir.limits import ALL_PORTS, check_match
from netfw.ir.mark import MaskedWord
from netfw.ir.match import (
    TCP_FLAG_BITS,
    AddressMatch,
    AddrtypeMatch,
    CommentMatch,
    ConnectionState,
    ConnmarkMatch,
    FragmentMatch,
    IcmpMatch,
    InterfaceMatch,
    LimitMatch,
    MarkMatch,
    Match,
    MultiportMatch,
    PolicyMatch,
    PortRange,
    Ports,
    ProtocolMatch,
    SetMatch,
    Side,
    StateMatch,
    TcpMatch,
    UdpMatch,
    UnknownMatch,
    Way,
)
from netfw.ir.names import Family
from netfw.ir.protocols import PRINTED_NAMES
from netfw.ir.spelling import SpelledMatch
from netfw.render.forms import render_options
from netfw.render.quote import quote, quote_if_needed

_STATE_ORDER = (
    ConnectionState.INVALID,
    ConnectionState.NEW,
    ConnectionState.RELATED,
    ConnectionState.ESTABLISHED,
    ConnectionState.UNTRACKED,
)
"""Print order of the states of ``-m state`` (state_print_state in libxt_conntrack.c)."""
_ADDRESS_KINDS = (
    "UNSPEC",
    "UNICAST",
    "LOCAL",
    "BROADCAST",
    "ANYCAST",
    "MULTICAST",
    "BLACKHOLE",
    "UNREACHABLE",
    "PROHIBIT",
    "THROW",
    "NAT",
    "XRESOLVE",
)
_FULL = 0xFFFFFFFF


def render_match(match: Match, family: Family) -> str:
    """One match, without a blank before it; empty for one that holds for every packet.

    Raises ValueError with a sentence for what iptables cannot hold.
    """
    check_match(match, family)
    match match:
        case AddressMatch(side, net, negate):
            if net.mask == 0 and not negate:
                return ""
            return f"{_not(negate)}{'-s' if side is Side.SOURCE else '-d'} {net}"
        case InterfaceMatch(way, name, negate):
            if name == "+" and not negate:
                return ""
            return f"{_not(negate)}{'-i' if way is Way.IN else '-o'} {name}"
        case ProtocolMatch(number, negate):
            if number == 0 and not negate:
                return ""
            return f"{_not(negate)}-p {PRINTED_NAMES.get(number, str(number))}"
        case FragmentMatch(negate):
            return f"{_not(negate)}-f"
        case TcpMatch():
            return _tcp(match)
        case UdpMatch(source, destination, module):
            return f"-m {module}{_ports('sport', source)}{_ports('dport', destination)}"
        case IcmpMatch():
            return _icmp(match)
        case MultiportMatch(side, ports, negate):
            listed = ",".join(map(_range, ports))
            return f"-m multiport {_not(negate)}--{side.value} {listed}"
        case StateMatch(states, negate):
            return f"-m state {_not(negate)}--state {_states(states)}"
        case MarkMatch(mark, negate):
            return f"-m mark {_not(negate)}--mark {_mark(mark)}"
        case ConnmarkMatch(mark, negate):
            return f"-m connmark {_not(negate)}--mark {_mark(mark)}"
        case SetMatch(name, directions, negate, options):
            words = f"-m set {_not(negate)}--match-set {name} {','.join(directions)}"
            return " ".join((words, *options))
        case AddrtypeMatch():
            return _addrtype(match)
        case CommentMatch(text):
            return f"-m comment --comment {quote(text)}"
        case LimitMatch():
            kept = match.as_kept
            words = f"-m limit --limit {kept.rate}/{kept.unit}"
            return words if kept.burst == _DEFAULT_BURST else f"{words} --limit-burst {kept.burst}"
        case PolicyMatch():
            return _policy(match, family)
        case SpelledMatch():
            return f"-m {match.MODULE}{render_options(match, family)}"
        case UnknownMatch(module, words):
            start = () if module is None else ("-m", module)
            return " ".join((*start, *map(quote_if_needed, words)))
        case _:
            assert_never(match)


_DEFAULT_BURST = 5


def _not(negate: bool) -> str:
    return "! " if negate else ""


def _range(ports: PortRange) -> str:
    if ports.first == ports.last:
        return str(ports.first)
    return f"{ports.first}:{ports.last}"


def _ports(option: str, ports: Ports | None) -> str:
    if ports is None or (ports.ports == ALL_PORTS and not ports.negate):
        return ""
    return f" {_not(ports.negate)}--{option} {_range(ports.ports)}"


def _mark(mark: MaskedWord) -> str:
    return f"{mark.value:#x}" if mark.mask == _FULL else str(mark)


def _flags(bits: int) -> str:
    if bits == 0:
        return "NONE"
    return ",".join(name.upper() for name, bit in TCP_FLAG_BITS.items() if bits & bit)


def _tcp(match: TcpMatch) -> str:
    words = f"-m tcp{_ports('sport', match.source)}{_ports('dport', match.destination)}"
    if match.option is not None:
        words += f" {_not(match.option_negate)}--tcp-option {match.option}"
    flags = match.flags
    if flags is not None and (flags.mask or flags.value or flags.negate):
        words += f" {_not(flags.negate)}--tcp-flags {_flags(flags.mask)} {_flags(flags.value)}"
    return words


def _icmp(match: IcmpMatch) -> str:
    option = "icmp-type" if match.module == "icmp" else "icmpv6-type"
    low, high = match.codes
    if match.module == "icmp" and match.type == 255 and (low, high) == (0, 255):
        kind = "any"
    elif (low, high) == (0, 255):
        kind = str(match.type)
    else:
        kind = f"{match.type}/{low}"
    return f"-m {match.module} {_not(match.negate)}--{option} {kind}"


def _states(states: frozenset[ConnectionState]) -> str:
    return ",".join(state.value for state in _STATE_ORDER if state in states)


def _policy(match: PolicyMatch, family: Family) -> str:
    words = f"-m policy{render_options(match, family)}"
    return words + " --next".join(render_options(one, family) for one in match.elements)


def _addrtype(match: AddrtypeMatch) -> str:
    words = "-m addrtype"
    for option, kinds, negate in (
        ("src-type", match.source, match.source_negate),
        ("dst-type", match.destination, match.destination_negate),
    ):
        if kinds:
            listed = ",".join(kind for kind in _ADDRESS_KINDS if kind in kinds)
            words += f" {_not(negate)}--{option} {listed}"
    if match.limit_interface is not None:
        words += f" --limit-iface-{match.limit_interface}"
    return words
