"""Answers of this host's own services leave unmarked, and so by another uplink."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse
from netfw.doctor.observed import RoutingRule, Socket
from netfw.doctor.place import Spot, System
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import bits_of, rule_at, spot_of
from netfw.doctor.way_back import asked_from_afar, comes_by, unmarked_ways_back
from netfw.doctor.way_symptoms import UnmarkedAnswer
from netfw.ir.protocols import TCP

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
    for one, writer, name in unmarked_ways_back(state):
        yield _finding(writer, one, listener, name)


def _is_service(one: Socket) -> bool:
    is_local = one.local.startswith(("127.", "[::1]", "::1"))
    return one.protocol == "tcp" and one.state == "LISTEN" and not one.mark and not is_local


def _finding(writer: MarkUse, one: RoutingRule, listener: Socket, name: str) -> Finding:
    bits = bits_of(one)
    who = listener.owner or "a program"
    sysctl = Spot(
        System.SYSCTL, None, "net.ipv4", "tcp_fwmark_accept", text="net.ipv4.tcp_fwmark_accept = 0"
    )
    socket = Spot(
        System.SOCKET, listener.family, listener.protocol, who, text=f"{who} at {listener.local}"
    )
    program = "ip6tables" if one.rule.family.value == 6 else "iptables"
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
            f"or: {program} -t mangle -A PREROUTING -i {name} -j CONNMARK --save-mark --mask "
            f"{mask};"
            f" {program} -t mangle -A OUTPUT -j CONNMARK --restore-mark --mask {mask}",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """The first packet of a connection to the service, and what is answered."""
    writer = state.use_at(finding.evidence[1])
    one = rule_at(state, finding.evidence[2])
    listener = next((one for one in state.sockets if _is_service(one)), None)
    if writer is None or one is None or listener is None:
        return NoProbing("what it is about is not there any more")
    port = int(listener.local.rpartition(":")[2])
    found = asked_from_afar(state, writer, one, TCP, port)
    return Probing(found, UnmarkedAnswer(comes_by(writer), bits_of(one)))
