"""What the kernel and iptables can hold: values beyond it are refused, never shortened in silence.

Each check returns nothing, or raises ValueError with a sentence that names the value.
Where the backends differ, the narrower limit holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from types import MappingProxyType

from netfw.ir.match import (
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
    ProtocolMatch,
    SetMatch,
    StateMatch,
    TcpMatch,
    UdpMatch,
)
from netfw.ir.names import (
    MAX_CHAIN_NAME,
    MAX_COMMENT,
    MAX_INTERFACE_NAME,
    MAX_LOG_PREFIX,
    MAX_NFLOG_PREFIX,
    MAX_SET_NAME,
    Family,
)
from netfw.ir.ruleset import Rule
from netfw.ir.spelling import SpelledMatch, SpelledTarget, check_spelled
from netfw.ir.target import (
    Dnat,
    Goto,
    Jump,
    Log,
    Masquerade,
    NatRange,
    Nflog,
    Nfqueue,
    Redirect,
    Reject,
    Snat,
    Target,
)

ALL_PORTS = PortRange(0, 65535)
"""Every port: iptables keeps no such condition."""
MULTIPORT_SLOTS = 15
"""Ports of one multiport match, where a range counts as two (XT_MULTI_PORTS)."""
MAX_RATE = 10_000
"""Most packets a second of a limit match (XT_LIMIT_SCALE, linux/netfilter/xt_limit.h)."""
REJECT_KINDS: Mapping[Family, tuple[str, ...]] = MappingProxyType(
    {
        Family.IPV4: (
            "icmp-net-unreachable",
            "icmp-host-unreachable",
            "icmp-proto-unreachable",
            "icmp-port-unreachable",
            "icmp-net-prohibited",
            "icmp-host-prohibited",
            "tcp-reset",
            "icmp-admin-prohibited",
        ),
        Family.IPV6: (
            "icmp6-no-route",
            "icmp6-adm-prohibited",
            "icmp6-addr-unreachable",
            "icmp6-port-unreachable",
            "tcp-reset",
            "icmp6-policy-fail",
            "icmp6-reject-route",
        ),
    }
)
"""What REJECT can answer (reject_table in extensions/libipt_REJECT.c and libip6t_REJECT.c)."""
_ALL_FLAGS = 0x3F
_SET_SIDES = frozenset({"src", "dst"})
_MAX_SET_SIDES = 6
"""IPSET_DIM_MAX, linux/netfilter/ipset/ip_set.h."""
_UNPRINTABLE = frozenset("\n\0")
_SEPARATORS = frozenset(" \t\n\0\"'\\")


def check_chain_name(name: str) -> None:
    """A chain that iptables creates: 1 to 28 bytes, one word, no option."""
    _check_bytes("chain name", name, MAX_CHAIN_NAME)
    if not name or name[0] in "-!" or not _SEPARATORS.isdisjoint(name):
        raise ValueError(f"chain name '{name}' is not one word that starts no option")


def check_rule(rule: Rule, family: Family) -> None:
    """Whether iptables-restore takes a rule: its matches, its target, and all of them together."""
    marks = [type(match) for match in rule.matches if isinstance(match, MarkMatch | ConnmarkMatch)]
    if len([kind for kind, _ in groupby(marks)]) > len(set(marks)):
        # both have --mark, and a third -m finds that of the first again
        raise ValueError("mark and connmark matches alternate, which iptables cannot read")
    for match in rule.matches:
        check_match(match, family)
    check_target(rule.target, family)


def check_match(match: Match, family: Family) -> None:
    """Whether a rule of this family can hold the match."""
    match match:
        case AddressMatch(net=net):
            if net.family is not family:
                raise ValueError(f"'{net}' is no {family} address")
        case InterfaceMatch(name=name):
            _check_bytes("interface name", name, MAX_INTERFACE_NAME)
            if not name or not _SEPARATORS.isdisjoint(name):
                raise ValueError(f"interface name '{name}' is not one word")
        case ProtocolMatch(number, negate):
            _check_range("protocol", number, 0, 255)
            if negate and number == 0:
                raise ValueError("'! -p 0' never matches, and iptables refuses it")
        case FragmentMatch():
            if family is not Family.IPV4:
                raise ValueError("only IPv4 rules have -f")
        case TcpMatch() | UdpMatch():
            _check_transport(match)
        case IcmpMatch():
            _check_icmp(match, family)
        case MultiportMatch(ports=ports):
            slots = sum(1 if span.first == span.last else 2 for span in ports)
            if any(span.first > span.last for span in ports):
                raise ValueError("a multiport range is the wrong way round")
            _check_range("multiport slots", slots, 1, MULTIPORT_SLOTS)
        case StateMatch(states=states):
            if not states or states & {ConnectionState.SNAT, ConnectionState.DNAT}:
                raise ValueError("a state match has one state or more, none of them SNAT or DNAT")
        case SetMatch(name=name, directions=directions):
            _check_bytes("set name", name, MAX_SET_NAME)
            if not name or not _SEPARATORS.isdisjoint(name):
                raise ValueError(f"set name '{name}' is not one word")
            if not _SET_SIDES.issuperset(directions):
                raise ValueError(f"sides of a set are src and dst, not {','.join(directions)}")
            _check_range("sides of a set", len(directions), 1, _MAX_SET_SIDES)
        case AddrtypeMatch(source=source, destination=destination):
            if not (source or destination):
                raise ValueError("an addrtype match says nothing")
        case CommentMatch(text):
            _check_bytes("comment", text, MAX_COMMENT)
        case LimitMatch(rate, unit, burst):
            if unit not in LimitMatch.SECONDS:
                raise ValueError(f"'{unit}' is no unit of a rate")
            if rate < 1 or rate > MAX_RATE * LimitMatch.SECONDS[unit]:
                raise ValueError(f"rate {rate}/{unit} is outside 1/day..{MAX_RATE}/sec")
            _check_range("burst", burst, 1, 10_000)
        case PolicyMatch():
            _check_policy(match, family)
        case SpelledMatch():
            check_spelled(match, family)
        case _:
            # marks refuse nonsense by themselves; what is not known is given back as it came
            pass


def check_target(target: Target, family: Family) -> None:
    """Whether a rule of this family can hold the target."""
    match target:
        case Jump(chain) | Goto(chain):
            check_chain_name(chain)
        case Reject(kind):
            if kind not in REJECT_KINDS[family]:
                raise ValueError(f"REJECT in {family} has no kind '{kind}'")
        case Log(prefix, level):
            _check_bytes("log prefix", prefix, MAX_LOG_PREFIX)
            _check_range("log level", level, 0, 7)
        case Nflog(group, prefix):
            _check_range("NFLOG group", group, 0, 65535)
            _check_bytes("NFLOG prefix", prefix, MAX_NFLOG_PREFIX)
        case Snat(to) | Dnat(to):
            if to.addresses is None and to.ports is None:
                raise ValueError("SNAT or DNAT has neither address nor port")
            _check_nat(to, family)
        case Masquerade(to) | Redirect(to):
            if to.addresses is not None:
                raise ValueError("MASQUERADE and REDIRECT take no address")
            _check_nat(to, family)
        case Nfqueue():
            check_spelled(target, family)
            span = target.balance
            if span is None and target.by_processor:
                raise ValueError("NFQUEUE by processor needs several queues")
            if span is not None and span.first == span.last:
                raise ValueError("NFQUEUE balances between two queues or more")
        case SpelledTarget():
            check_spelled(target, family)
        case _:
            pass


def _check_bytes(what: str, text: str, most: int) -> None:
    length = len(text.encode("utf-8", "surrogateescape"))
    if length > most:
        raise ValueError(f"{what} '{text}' is {length} bytes long (the most is {most})")
    if not _UNPRINTABLE.isdisjoint(text):
        raise ValueError(f"{what} {text!r} has a line break or a null byte")


def _check_range(what: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise ValueError(f"{what}: {number} is outside {least}..{most}")


def _check_transport(match: TcpMatch | UdpMatch) -> None:
    for ports in (match.source, match.destination):
        if ports is None:
            continue
        if ports.ports.first > ports.ports.last:
            raise ValueError("a range of ports is the wrong way round")
    if not isinstance(match, TcpMatch):
        return
    if match.option is not None:
        _check_range("TCP option", match.option, 1, 255)
    if match.flags is not None:
        flags = match.flags
        if (flags.mask | flags.value) & ~_ALL_FLAGS:
            raise ValueError(f"TCP flags {flags.mask:#x} {flags.value:#x} are outside 0..0x3f")


def _check_icmp(match: IcmpMatch, family: Family) -> None:
    if (match.module == "icmp6") is not (family is Family.IPV6):
        raise ValueError(f"-m {match.module} is not for {family}")
    _check_range("ICMP type", match.type, 0, 255)
    low, high = match.codes
    if not 0 <= low <= high <= 255 or (low != high and (low, high) != (0, 255)):
        raise ValueError(f"ICMP codes {low} to {high}: iptables has one code or all of them")


def _check_policy(match: PolicyMatch, family: Family) -> None:
    check_spelled(replace(match, elements=()), family)
    _check_range("policy elements", len(match.elements), 0, PolicyMatch.MAX_ELEMENTS)
    if len(match.elements) > 1 and not match.strict:
        raise ValueError("a policy match that is not strict has one element at most")
    for element in match.elements:
        check_spelled(element, family)


def _check_nat(to: NatRange, family: Family) -> None:
    if to.addresses is not None:
        first, last = to.addresses
        if not 0 <= first <= last < 1 << family.bits:
            raise ValueError(f"{first:#x} to {last:#x} is no range of {family} addresses")
    if to.ports is not None:
        low, high = to.ports
        if not 0 <= low <= high <= 65535:
            raise ValueError(f"ports {low} to {high} are no range within 0..65535")
