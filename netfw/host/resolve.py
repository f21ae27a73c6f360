"""Addresses of host names, as this host's resolver knows them."""

from __future__ import annotations

import socket

from netfw.ir.names import Family
from netfw.ir.net import Net, parse_address
from netfw.policy.lock import in_order
from netfw.policy.surroundings import SurroundingsFault

_FAMILIES = {socket.AF_INET: Family.IPV4, socket.AF_INET6: Family.IPV6}


def resolve(name: str) -> tuple[Net, ...]:
    """The addresses of a name, of both families, in order; raises SurroundingsFault.

    With a dot at the end, so that no search list of this host makes another name of it; a name
    without any dot is looked up as it is, as those of /etc/hosts are.
    """
    full = f"{name}." if "." in name else name
    try:
        answers = socket.getaddrinfo(full, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SurroundingsFault(
            f"'{name}' does not resolve: {reason}",
            "look at the name, or at the resolver of this host; nothing was changed",
        ) from None
    found = []
    for family, _, _, _, address in answers:
        if family in _FAMILIES:
            _, number = parse_address(str(address[0]).partition("%")[0])
            kind = _FAMILIES[family]
            found.append(Net(kind, number, (1 << kind.bits) - 1))
    if not found:
        raise SurroundingsFault(f"'{name}' has no address of IPv4 or IPv6")
    return in_order(found)
