"""Names of ICMP and ICMPv6 types, as iptables spells them, with their numbers.

Numbers: IANA "ICMP Parameters" and "ICMPv6 Parameters"; names: extensions/libxt_icmp.h.
"""

from __future__ import annotations

from netfw.ir.protocols import ICMP, ICMPV6
from netfw.policy.traffic import IcmpKind

_ICMP = {
    "echo-reply": IcmpKind(0),
    "destination-unreachable": IcmpKind(3),
    "network-unreachable": IcmpKind(3, (0, 0)),
    "host-unreachable": IcmpKind(3, (1, 1)),
    "protocol-unreachable": IcmpKind(3, (2, 2)),
    "port-unreachable": IcmpKind(3, (3, 3)),
    "fragmentation-needed": IcmpKind(3, (4, 4)),
    "source-quench": IcmpKind(4),
    "redirect": IcmpKind(5),
    "echo-request": IcmpKind(8),
    "router-advertisement": IcmpKind(9),
    "router-solicitation": IcmpKind(10),
    "time-exceeded": IcmpKind(11),
    "parameter-problem": IcmpKind(12),
    "timestamp-request": IcmpKind(13),
    "timestamp-reply": IcmpKind(14),
    "address-mask-request": IcmpKind(17),
    "address-mask-reply": IcmpKind(18),
}
_ICMPV6 = {
    "destination-unreachable": IcmpKind(1),
    "no-route": IcmpKind(1, (0, 0)),
    "communication-prohibited": IcmpKind(1, (1, 1)),
    "address-unreachable": IcmpKind(1, (3, 3)),
    "port-unreachable": IcmpKind(1, (4, 4)),
    "packet-too-big": IcmpKind(2),
    "time-exceeded": IcmpKind(3),
    "parameter-problem": IcmpKind(4),
    "echo-request": IcmpKind(128),
    "echo-reply": IcmpKind(129),
    "router-solicitation": IcmpKind(133),
    "router-advertisement": IcmpKind(134),
    "neighbour-solicitation": IcmpKind(135),
    "neighbour-advertisement": IcmpKind(136),
    "redirect": IcmpKind(137),
}

ICMP_NAMES = {ICMP: _ICMP, ICMPV6: _ICMPV6}
"""Names by protocol number."""

BOTH_ICMP_NAMES = {
    name: (_ICMP[name], _ICMPV6[name]) for name in sorted(_ICMP.keys() & _ICMPV6)
} | {
    # one thing under two names: RFC 4443, section 3.1 and 3.2, RFC 792, RFC 1812
    "packet-too-big": (_ICMP["fragmentation-needed"], _ICMPV6["packet-too-big"]),
    "network-unreachable": (_ICMP["network-unreachable"], _ICMPV6["no-route"]),
    "host-unreachable": (_ICMP["host-unreachable"], _ICMPV6["address-unreachable"]),
    "admin-prohibited": (IcmpKind(3, (13, 13)), _ICMPV6["communication-prohibited"]),
}
"""Names that both know, with what they are in ICMP and in ICMPv6."""
