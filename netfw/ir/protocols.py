"""IP protocol numbers and the names by which iptables prints them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PRINTED_NAMES: Mapping[int, str] = MappingProxyType(
    {
        1: "icmp",
        2: "igmp",
        4: "ipencap",
        6: "tcp",
        17: "udp",
        33: "dccp",
        41: "ipv6",
        43: "ipv6-route",
        44: "ipv6-frag",
        46: "rsvp",
        47: "gre",
        50: "esp",
        51: "ah",
        58: "ipv6-icmp",
        59: "ipv6-nonxt",
        60: "ipv6-opts",
        88: "eigrp",
        89: "ospf",
        94: "ipip",
        103: "pim",
        108: "ipcomp",
        112: "vrrp",
        115: "l2tp",
        132: "sctp",
        135: "mobility-header",
        136: "udplite",
    }
)
"""Names as ``iptables-save`` prints them with the usual /etc/protocols (proto_to_name in
iptables' xshared.c); other numbers are printed as numbers."""

_ALIASES = {
    "all": 0,
    "icmpv6": 58,
    "mh": 135,
    "ipv6-mh": 135,
    "ip": 0,
}
_NUMBERS = {name: number for number, name in PRINTED_NAMES.items()} | _ALIASES


def protocol_number(text: str) -> int | None:
    """The number of a protocol given by name or number (0 to 255), or None."""
    if text.isascii() and text.isdigit():
        return int(text) if int(text) <= 255 else None
    return _NUMBERS.get(text.lower())
