"""Checks one compiled rule: limits of names, legality in its table and hooks, our bits only."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.compiler.term import MULTIPORT_SLOTS
from netfw.ir.mark import MaskedWord
from netfw.ir.match import (
    AddressMatch,
    IcmpMatch,
    InterfaceMatch,
    MacMatch,
    MarkMatch,
    Match,
    MultiportMatch,
    OwnerMatch,
    ProtocolMatch,
    TcpMatch,
    UdpMatch,
    UnknownMatch,
    Way,
)
from netfw.ir.names import (
    MAX_COMMENT,
    MAX_INTERFACE_NAME,
    MAX_LOG_PREFIX,
    MAX_NFLOG_PREFIX,
    OWN_COMMENT_PREFIX,
    Family,
    Hook,
    TableName,
)
from netfw.ir.protocols import ICMP, ICMPV6, TCP, UDP
from netfw.ir.ruleset import Rule
from netfw.ir.target import (
    Accept,
    Classify,
    Dnat,
    Drop,
    Log,
    Masquerade,
    Nflog,
    Reject,
    RestoreMark,
    SetConnmark,
    SetMark,
    UnknownTarget,
)
from netfw.policy.traffic import PROTOCOLS_WITH_PORTS, TRANSLATED_PROTOCOLS

_NO_OUT = frozenset({Hook.PREROUTING, Hook.INPUT})
_NO_IN = frozenset({Hook.OUTPUT})
_MAC_HOOKS = frozenset({Hook.PREROUTING, Hook.INPUT, Hook.FORWARD})
_OWNER_HOOKS = frozenset({Hook.OUTPUT, Hook.POSTROUTING})
_REJECT_HOOKS = frozenset({Hook.INPUT, Hook.FORWARD, Hook.OUTPUT})
_CLASSIFY_HOOKS = frozenset({Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING})
"""xt_classify.c; it may stand in other tables too, mangle is where its readers look for it."""
_DNAT_HOOKS = frozenset({Hook.PREROUTING, Hook.OUTPUT})
_ICMP_OF = {"icmp": (ICMP, Family.IPV4), "icmp6": (ICMPV6, Family.IPV6)}


def check_rule(
    rule: Rule,
    table: TableName,
    hooks: frozenset[Hook],
    family: Family,
    owned: int,
    *,
    is_builtin: bool,
) -> Iterator[str]:
    """What is wrong with a rule in a chain that these hooks reach, in sentences.

    ``owned`` are the bits of the marks that are ours.
    """
    comment = rule.comment
    if rule.origin is None or comment is None or not rule.is_ours:
        yield "the rule does not say where it comes from"
    elif comment.removeprefix(OWN_COMMENT_PREFIX) != rule.origin.identity:
        yield "comment and origin differ"
    if comment is not None and len(comment.encode()) > MAX_COMMENT:
        yield f"the comment is longer than {MAX_COMMENT} bytes"
    protocol = next(
        (match.number for match in rule.matches if isinstance(match, ProtocolMatch)), None
    )
    for match in rule.matches:
        yield from _check_match(match, protocol, hooks, family, owned, is_builtin=is_builtin)
    yield from _check_target(rule, protocol, table, hooks, family, owned)


def _check_match(
    match: Match,
    protocol: int | None,
    hooks: frozenset[Hook],
    family: Family,
    owned: int,
    *,
    is_builtin: bool,
) -> Iterator[str]:
    match match:
        case InterfaceMatch(way=way, name=name):
            if not name or len(name.encode()) > MAX_INTERFACE_NAME or name == "+":
                yield f"interface name '{name}' does not fit"
            # a chain that several hooks reach may ask: where no packet leaves, it is not met
            if way is Way.OUT and hooks <= _NO_OUT:
                yield "-o where no packet leaves"
            if way is Way.IN and (hooks & _NO_IN or (is_builtin and Hook.POSTROUTING in hooks)):
                yield "-i where no packet comes in"
        case AddressMatch(net=net):
            if net.family is not family:
                yield f"an address of {net.family} among rules of {family}"
            if net.mask == 0:
                yield "a network of all addresses, which iptables does not keep"
        case MarkMatch(mark=mark):
            # bits of others may be asked for, but not some of both
            if mark.mask & owned or mark.mask == 0 or not mark.can_match:
                yield from _check_mark(mark, owned)
        case MacMatch():
            if not hooks <= _MAC_HOOKS:
                yield "-m mac where no frame has come in"
        case OwnerMatch():
            if not hooks <= _OWNER_HOOKS:
                yield "-m owner for packets that this host does not send"
        case TcpMatch():
            if protocol != TCP:
                yield "-m tcp without -p tcp"
        case UdpMatch():
            if protocol != UDP:
                yield "-m udp without -p udp"
        case IcmpMatch(module=module):
            if (protocol, family) != _ICMP_OF[module]:
                yield f"-m {module} without its protocol or in the wrong family"
        case MultiportMatch(ports=ports):
            slots = sum(1 if span.first == span.last else 2 for span in ports)
            if not 1 <= slots <= MULTIPORT_SLOTS:
                yield f"multiport with {slots} ports (the most is {MULTIPORT_SLOTS})"
            if protocol not in PROTOCOLS_WITH_PORTS:
                yield "-m multiport without a protocol that has ports"
        case UnknownMatch():
            yield "a match that netfw does not know"
        case _:
            pass


def _check_target(
    rule: Rule,
    protocol: int | None,
    table: TableName,
    hooks: frozenset[Hook],
    family: Family,
    owned: int,
) -> Iterator[str]:
    match rule.target:
        case SetMark(mark=mark) | SetConnmark(mark=mark):
            yield from _check_mark(mark, owned)
        case RestoreMark(nfmask=nfmask, ctmask=ctmask):
            if (nfmask | ctmask) & ~owned:
                yield f"restoring {nfmask:#x} from {ctmask:#x} reaches outside our bits"
        case Classify():
            if table is not TableName.MANGLE or not hooks <= _CLASSIFY_HOOKS:
                yield "CLASSIFY is legal in mangle FORWARD, OUTPUT and POSTROUTING only"
        case Accept():
            if table not in (TableName.FILTER, TableName.NAT):
                yield "ACCEPT outside of filter and nat"
        case Drop():
            if table is TableName.NAT:
                yield "DROP in nat, which most packets do not meet"
        case Reject(kind=kind):
            if table is not TableName.FILTER or not hooks <= _REJECT_HOOKS:
                yield "REJECT is legal in filter only"
            if kind == "tcp-reset" and protocol != TCP:
                yield "tcp-reset without -p tcp"
            if kind != "tcp-reset" and kind.startswith("icmp6-") is not (family is Family.IPV6):
                yield f"{kind} in the wrong family"
        case Log(prefix=prefix):
            if len(prefix.encode()) > MAX_LOG_PREFIX:
                yield f"the log prefix is longer than {MAX_LOG_PREFIX} bytes"
        case Nflog(prefix=prefix):
            if len(prefix.encode()) > MAX_NFLOG_PREFIX:
                yield f"the NFLOG prefix is longer than {MAX_NFLOG_PREFIX} bytes"
        case Dnat(to=to):
            if table is not TableName.NAT or not hooks <= _DNAT_HOOKS:
                yield "DNAT is legal in nat PREROUTING and OUTPUT only"
            if to.ports is not None and protocol not in TRANSLATED_PROTOCOLS:
                yield "a new port without a protocol that has ports"
        case Masquerade():
            if table is not TableName.NAT or hooks != {Hook.POSTROUTING}:
                yield "MASQUERADE is legal in nat POSTROUTING only"
        case UnknownTarget():
            yield "a target that netfw does not know"
        case _:
            pass


def _check_mark(mark: MaskedWord, owned: int) -> Iterator[str]:
    if mark.written & ~owned:
        yield f"mark {mark} reaches outside our bits {owned:#x}"
    if mark.mask == 0 or not mark.can_match:
        yield f"mark {mark} says nothing, or has bits outside its mask"
