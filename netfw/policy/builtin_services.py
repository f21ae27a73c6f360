"""Services that every policy knows.

The list belongs to version 1 of the language and does not grow within it, so that an upgrade of
netfw never gives a new meaning to a name in somebody's policy.
"""

from __future__ import annotations

_LITERALS = {
    "bgp": ("tcp/179",),
    "dhcp": ("udp/67",),
    "dhcp-client": ("udp/68",),
    "dhcpv6": ("udp/547",),
    "dhcpv6-client": ("udp/546",),
    "dns": ("udp/53", "tcp/53"),
    "dns-over-tls": ("tcp/853",),
    "http": ("tcp/80",),
    "http3": ("udp/443",),
    "https": ("tcp/443",),
    "imap": ("tcp/143",),
    "imaps": ("tcp/993",),
    "ipsec": ("udp/500", "udp/4500", "esp"),
    "ldap": ("tcp/389",),
    "ldaps": ("tcp/636",),
    "mdns": ("udp/5353",),
    "mysql": ("tcp/3306",),
    "ntp": ("udp/123",),
    "ping": ("icmp/8", "icmpv6/128"),
    "postgresql": ("tcp/5432",),
    "rdp": ("tcp/3389", "udp/3389"),
    "smtp": ("tcp/25",),
    "snmp": ("udp/161",),
    "ssh": ("tcp/22",),
    "submission": ("tcp/587",),
    "syslog": ("udp/514",),
    "traceroute": ("udp/33434-33534",),
    "wireguard": ("udp/51820",),
}

BUILTIN_SERVICES = dict(_LITERALS)
"""Service literals by name."""
