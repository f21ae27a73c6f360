"""Answers of this host's own services leave unmarked, and so by another uplink."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import given_by
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import RoutingRule, Socket
from netfw.doctor.place import Spot, Stage, System
from netfw.doctor.steering import (
    bits_of,
    is_ordinary,
    leaves_by,
    may_obey,
    routes_of,
    sample_of,
    spot_of,
    steering_rules,
)
from netfw.ir.match import InterfaceMatch
from netfw.ir.match_header import Way

CODE = "answers-unmarked"
TITLE = "the answers of a local service do not carry the mark of what they answer"
EXPLANATION = """\
A mark that is set on packets that come in is not on the answers: a socket accepted from a
listener gets the listener's mark (none), not that of the SYN, unless
'net.ipv4.tcp_fwmark_accept' is 1; ping replies and RST are unmarked unless
'net.ipv4.fwmark_reflect' is 1. Where a routing rule sends marked packets back by the uplink that
they came by, the answers leave by the default uplink, and the client never sees them.

Set these sysctls, or save the mark to the connection in PREROUTING and restore it in mangle
OUTPUT.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each mark of what comes in by an uplink that also is the way back of this mark."""
    if state.setting("net/ipv4/tcp_fwmark_accept") != 0:
        return
    listener = next((one for one in state.sockets if _is_service(one)), None)
    if listener is None:
        return
    for one in steering_rules(state):
        if one.rule.in_interface not in ("", "lo") or one.rule.invert:
            continue
        if _is_marked_in_output(state, bits_of(one)):
            continue
        for writer in state.writers(Word.PACKET):
            name = _comes_by(writer)
            if name and may_obey(writer, one) and _is_way_back(state, one, name):
                yield _finding(writer, one, listener, name)
                break


def _is_service(one: Socket) -> bool:
    is_local = one.local.startswith(("127.", "[::1]", "::1"))
    return one.protocol == "tcp" and one.state == "LISTEN" and not one.mark and not is_local


def _comes_by(writer: MarkUse) -> str:
    """The interface whose packets a writer at the entry is for; empty where it is for others."""
    early = any(where.stage in (Stage.PREROUTING, Stage.INGRESS) for where in writer.passages)
    names = [
        one.name
        for one in (*writer.matches, *writer.calls)
        if isinstance(one, InterfaceMatch) and one.way is Way.IN and not one.negate
    ]
    if not names and early and 'iifname "' in writer.spot.text:
        names = [writer.spot.text.partition('iifname "')[2].partition('"')[0]]
    return names[0] if early and names else ""


def _is_way_back(state: HostState, one: RoutingRule, name: str) -> bool:
    """Whether the mark leads out by the interface, and without it packets leave by another."""
    for route in routes_of(state, one):
        if is_ordinary(route) and route.interface == name:
            other = leaves_by(state, one.rule.family, sample_of(route), 0)
            if other is not None and is_ordinary(other) and other.interface != name:
                return True
    return False


def _is_marked_in_output(state: HostState, bits: int) -> bool:
    return any(
        given_by(use, Word.PACKET) & bits
        and any(where.stage is Stage.OUTPUT for where in use.passages)
        for use in state.writers(Word.PACKET)
    )


def _finding(writer: MarkUse, one: RoutingRule, listener: Socket, name: str) -> Finding:
    bits = bits_of(one)
    who = listener.owner or "a program"
    sysctl = Spot(
        System.SYSCTL, None, "net.ipv4", "tcp_fwmark_accept", text="net.ipv4.tcp_fwmark_accept = 0"
    )
    socket = Spot(
        System.SOCKET, listener.family, listener.protocol, who, text=f"{who} at {listener.local}"
    )
    mask = f"{bits:#x}" if one.rule.mark is None else f"{one.rule.mark.mask:#x}"
    return Finding(
        CODE,
        Severity.WARNING,
        f"what comes in by {name} gets mark {bits:#x} ({writer.spot}), and the answers of local "
        f"services ({who} at {listener.local}) do not: tcp_fwmark_accept is 0 and nothing in "
        "OUTPUT restores it",
        (sysctl, writer.spot, spot_of(one), socket),
        f"SYN-ACKs leave unmarked, and so not by {name}: the client never gets an answer",
        (
            "sysctl -w net.ipv4.tcp_fwmark_accept=1 net.ipv4.fwmark_reflect=1",
            f"or: iptables -t mangle -A PREROUTING -i {name} -j CONNMARK --save-mark --mask "
            f"{mask};"
            f" iptables -t mangle -A OUTPUT -j CONNMARK --restore-mark --mask {mask}",
        ),
    )
