"""How a rejected packet is answered."""

from __future__ import annotations

from enum import Enum

from netfw.ir.names import Family

_ANSWERS = {
    "port-unreachable": ("icmp-port-unreachable", "icmp6-port-unreachable"),
    "host-unreachable": ("icmp-host-unreachable", "icmp6-addr-unreachable"),
    "net-unreachable": ("icmp-net-unreachable", "icmp6-no-route"),
    "proto-unreachable": ("icmp-proto-unreachable", None),
    "admin-prohibited": ("icmp-admin-prohibited", "icmp6-adm-prohibited"),
    "tcp-reset": ("tcp-reset", "tcp-reset"),
}
"""The kernel's words for the answers, IPv4 and IPv6 (ipt_REJECT.h, ip6t_REJECT.h). IPv6 has no
message for a protocol that is not known."""


class RejectKind(Enum):
    """What ``with`` says. A reset answers TCP alone; the others are ICMP messages."""

    PORT_UNREACHABLE = "port-unreachable"
    HOST_UNREACHABLE = "host-unreachable"
    NET_UNREACHABLE = "net-unreachable"
    PROTO_UNREACHABLE = "proto-unreachable"
    ADMIN_PROHIBITED = "admin-prohibited"
    TCP_RESET = "tcp-reset"

    def answer(self, family: Family) -> str | None:
        """The kernel's word for it, None where the family has no such answer."""
        return _ANSWERS[self.value][0 if family is Family.IPV4 else 1]
