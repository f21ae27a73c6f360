"""Answers of UDP services do not carry the mark of what they answer."""

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
from netfw.ir.names import Family
from netfw.ir.protocols import UDP

CODE = "udp-answers-unmarked"
TITLE = "the answers of a local UDP service do not carry the mark of what they answer"
EXPLANATION = """\
A socket of UDP has a mark of its own (none, unless its program gave it one), and every packet
that it sends has that one: no sysctl has it take over the mark of what it received, as
'tcp_fwmark_accept' does for TCP. Where a routing rule sends marked packets back by the uplink
that they came by, the answers of name servers, VPN and QUIC leave by the default uplink. The
same goes for a socket that is connected.

Save the mark to the connection in PREROUTING and restore it in mangle OUTPUT, let the program
mark its socket, or bind one socket for each uplink and route by source address.
"""


_FIRST_OF_CLIENTS = 32768
"""Where the ports begin that programs get without asking (net.ipv4.ip_local_port_range)."""
_OF_THE_LINK = frozenset({68, 546, 1900, 5353, 5355})
"""DHCP clients, SSDP, mDNS and LLMNR: their packets stay on the link."""


def find(state: HostState) -> Iterator[Finding]:
    """Each mark of what comes in by an uplink that also is the way back, beside such a socket."""
    services = [one for one in state.sockets if _is_service(one)]
    if not services:
        return
    for one, writer, name in unmarked_ways_back(state):
        family = one.rule.family
        socket = next((each for each in services if _serves(each, family)), None)
        if socket is not None:
            yield _finding(writer, one, socket, name)


def _is_service(one: Socket) -> bool:
    port = one.local.rpartition(":")[2]
    return (
        one.protocol == "udp"
        and one.state in ("UNCONN", "ESTAB")
        and not one.mark
        and not one.local.startswith(("127.", "[::1]", "::1"))
        and port.isdigit()
        and int(port) < _FIRST_OF_CLIENTS
        and int(port) not in _OF_THE_LINK
    )


def _serves(one: Socket, family: Family) -> bool:
    """A socket of IPv6 at any address serves IPv4 as well, if its program did not say no."""
    is_both = one.family is Family.IPV6 and one.local.startswith(("*:", "[::]:"))
    return one.family is family or is_both


def _finding(writer: MarkUse, one: RoutingRule, socket: Socket, name: str) -> Finding:
    bits = bits_of(one)
    who = socket.owner or "a program"
    spot = Spot(
        System.SOCKET,
        socket.family,
        socket.protocol,
        who,
        text=f"{who} at {socket.local}, no mark",
    )
    mask = bits if one.rule.mark is None else one.rule.mark.mask
    program = "ip6tables" if one.rule.family.value == 6 else "iptables"
    return Finding(
        CODE,
        Severity.WARNING,
        f"what comes in by {name} gets mark {bits:#x} ({writer.spot}), and the answers of UDP "
        f"services ({who} at {socket.local}) do not: nothing in OUTPUT restores it",
        (writer.spot, spot_of(one), spot),
        f"answers leave unmarked, and so not by {name}: the client never sees them",
        (
            f"{program} -t mangle -A PREROUTING -i {name} -j CONNMARK --save-mark --mask "
            f"{mask:#x}; {program} -t mangle -A OUTPUT -j CONNMARK --restore-mark --mask "
            f"{mask:#x}",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A question to the service, and what is answered."""
    writer = state.use_at(finding.evidence[0])
    one = rule_at(state, finding.evidence[1])
    if writer is None or one is None:
        return NoProbing("what it is about is not there any more")
    services = [each for each in state.sockets if _is_service(each)]
    local = next(each.local for each in services if _serves(each, one.rule.family))
    port = int(local.rpartition(":")[2])
    found = asked_from_afar(state, writer, one, UDP, port)
    return Probing(found, UnmarkedAnswer(comes_by(writer), bits_of(one)))
