"""Targets as iptables-save prints them."""

from __future__ import annotations

from typing import assert_never

from netfw.ir.limits import check_target
from netfw.ir.names import Family
from netfw.ir.net import format_address
from netfw.ir.spelling import SpelledTarget
from netfw.ir.target import (
    Accept,
    Ct,
    Dnat,
    Drop,
    Goto,
    Jump,
    Log,
    Masquerade,
    NatRange,
    Nflog,
    NoTarget,
    Redirect,
    Reject,
    RestoreMark,
    Return,
    SaveMark,
    SetConnmark,
    SetMark,
    Snat,
    Target,
    Trace,
    UnknownTarget,
)
from netfw.render.forms import render_options
from netfw.render.quote import quote, quote_if_needed

_DEFAULT_LEVEL = 4


def render_target(target: Target, family: Family) -> str:
    """One target with its ``-j`` or ``-g``; empty for a rule that only counts.

    Raises ValueError with a sentence for what iptables cannot hold.
    """
    check_target(target, family)
    match target:
        case Accept():
            return "-j ACCEPT"
        case Drop():
            return "-j DROP"
        case Return():
            return "-j RETURN"
        case Trace():
            return "-j TRACE"
        case NoTarget():
            return ""
        case Jump(chain):
            return f"-j {chain}"
        case Goto(chain):
            return f"-g {chain}"
        case Reject(kind):
            return f"-j REJECT --reject-with {kind}"
        case SetMark(mark):
            return f"-j MARK --set-xmark {mark}"
        case SetConnmark(mark):
            return f"-j CONNMARK --set-xmark {mark}"
        case SaveMark(nfmask, ctmask):
            return f"-j CONNMARK --save-mark --nfmask {nfmask:#x} --ctmask {ctmask:#x}"
        case RestoreMark(nfmask, ctmask):
            return f"-j CONNMARK --restore-mark --nfmask {nfmask:#x} --ctmask {ctmask:#x}"
        case Ct(alias=True):
            return "-j NOTRACK"
        case Ct(notrack, words):
            notracked = ("--notrack",) if notrack else ()
            return " ".join(("-j CT", *notracked, *map(quote_if_needed, words)))
        case Log(prefix, level, flags):
            text = "-j LOG"
            if prefix:
                text += f" --log-prefix {quote(prefix)}"
            if level != _DEFAULT_LEVEL:
                text += f" --log-level {level}"
            return " ".join((text, *flags))
        case Nflog():
            return _nflog(target)
        case Snat(to):
            return f"-j SNAT --to-source {_nat(to, family)}{_flags(to)}"
        case Dnat(to):
            return f"-j DNAT --to-destination {_nat(to, family)}{_flags(to)}"
        case Masquerade(to):
            return f"-j MASQUERADE{_to_ports(to)}{_flags(to)}"
        case Redirect(to):
            return f"-j REDIRECT{_to_ports(to)}{_flags(to)}"
        case SpelledTarget():
            return f"-j {target.MODULE}{render_options(target, family)}"
        case UnknownTarget(name, words):
            return " ".join(("-j", name, *map(quote_if_needed, words)))
        case _:
            assert_never(target)


def _nflog(target: Nflog) -> str:
    text = "-j NFLOG"
    if target.prefix:
        text += f" --nflog-prefix {quote(target.prefix)}"
    if target.group:
        text += f" --nflog-group {target.group}"
    if target.size is not None:
        text += f" --nflog-size {target.size}"
    if target.threshold:
        text += f" --nflog-threshold {target.threshold}"
    return text


def _nat(to: NatRange, family: Family) -> str:
    text = ""
    if to.addresses is not None:
        first, last = (format_address(family, address) for address in to.addresses)
        bracket = family is Family.IPV6 and to.ports is not None
        text = first if first == last else f"{first}-{last}"
        if bracket:
            text = f"[{text}]"
    if to.ports is not None:
        text += f":{_port_range(to.ports)}"
        if to.base is not None:
            text += f"/{to.base}"
    return text


def _port_range(ports: tuple[int, int]) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"


def _to_ports(to: NatRange) -> str:
    return "" if to.ports is None else f" --to-ports {_port_range(to.ports)}"


def _flags(to: NatRange) -> str:
    return "".join(f" {flag}" for flag in to.flags)
