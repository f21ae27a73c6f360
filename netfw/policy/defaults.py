"""What becomes of packets before any rule of a policy is asked, as far as it can be changed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.errors import Where


class Handling(Enum):
    """What becomes of packets of a kind before the rules are asked."""

    ALLOW = "allow"
    DENY = "deny"
    ASK = "ask"
    """Nothing: the rules decide."""


class OnAccept(Enum):
    """What a packet that is allowed meets next in the filter table."""

    ACCEPT = "accept"
    """Nothing: no other rule of the table is asked."""
    RETURN = "return"
    """The rules of others behind netfw's."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """The settings under ``defaults``.

    ``established`` (ALLOW or ASK) are packets of connections and what is related to them,
    ``invalid`` those that belong to none. ``neighbour_discovery``, ``dhcp`` and ``path_mtu`` say
    whether that traffic of this host is let through. ``strict_exit`` drops what leaves by a host
    endpoint and was not allowed, whatever way it took.
    """

    established: Handling = Handling.ALLOW
    invalid: Handling = Handling.DENY
    neighbour_discovery: bool = True
    dhcp: bool = True
    path_mtu: bool = True
    on_accept: OnAccept = OnAccept.ACCEPT
    strict_exit: bool = False
    where: Where | None = None
