"""IP protocol numbers, and the names by which iptables knows them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ICMP = 1
IGMP = 2
TCP = 6
UDP = 17
DCCP = 33
ICMPV6 = 58
SCTP = 132
UDPLITE = 136

PRINTED_NAMES: Mapping[int, str] = MappingProxyType(
    {
        1: "icmp",
        6: "tcp",
        17: "udp",
        50: "esp",
        51: "ah",
        58: "ipv6-icmp",
        132: "sctp",
        136: "udplite",
    }
)
"""Names that every ``iptables-save`` prints (xtables_chain_protos in libxtables/xtables.c).

Other protocols are numbers here, as iptables 1.8.11 prints them; 1.8.9 looks them up in
/etc/protocols, if that is there."""

_OTHER_NAMES = {
    "all": 0,
    "hopopt": 0,
    "ip": 0,
    "igmp": 2,
    "ggp": 3,
    "ipencap": 4,
    "st": 5,
    "egp": 8,
    "igp": 9,
    "pup": 12,
    "hmp": 20,
    "xns-idp": 22,
    "rdp": 27,
    "iso-tp4": 29,
    "dccp": 33,
    "xtp": 36,
    "ddp": 37,
    "idpr-cmtp": 38,
    "ipv6": 41,
    "ipv6-route": 43,
    "ipv6-frag": 44,
    "idrp": 45,
    "rsvp": 46,
    "gre": 47,
    "skip": 57,
    "icmpv6": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "rspf": 73,
    "vmtp": 81,
    "eigrp": 88,
    "ospf": 89,
    "ax.25": 93,
    "ipip": 94,
    "etherip": 97,
    "encap": 98,
    "pim": 103,
    "ipcomp": 108,
    "vrrp": 112,
    "l2tp": 115,
    "isis": 124,
    "fc": 133,
    "ipv6-mh": 135,
    "mh": 135,
    "mobility-header": 135,
    "mpls-in-ip": 137,
    "manet": 138,
    "hip": 139,
    "shim6": 140,
    "wesp": 141,
    "rohc": 142,
    "ethernet": 143,
}
"""Names by which iptables knows the others: its own, and those of the usual /etc/protocols."""
_NUMBERS = {name: number for number, name in PRINTED_NAMES.items()} | _OTHER_NAMES
PROTOCOL_NAMES = tuple(_NUMBERS.items())
"""Every name of a protocol, with its number."""


def protocol_number(text: str) -> int | None:
    """The number of a protocol given by name or number (0 to 255), or None."""
    if text.isascii() and text.isdigit():
        return int(text) if int(text) <= 255 else None
    return _NUMBERS.get(text.lower())
