"""The lock file of a policy: the addresses of host names as they were when they were resolved.

What is locked is used, so that a policy means the same until somebody asks for it anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from netfw.errors import PolicyError
from netfw.ir.net import Net, format_address

SCHEMA = 1
"""The version of the form."""
Locked = Mapping[str, tuple[Net, ...]]
"""Single addresses by host name."""


def format_lock(locked: Locked) -> str:
    """JSON, the same for the same names and addresses."""
    names = {
        name: [format_address(net.family, net.address) for net in in_order(locked[name])]
        for name in sorted(locked)
    }
    return json.dumps({"schema": SCHEMA, "names": names}, indent=1) + "\n"


def parse_lock(text: str, file: str) -> dict[str, tuple[Net, ...]]:
    """What ``format_lock`` has written; raises PolicyError."""
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise PolicyError.at(
                file, f"this has the form {data['schema']}, and netfw knows {SCHEMA}"
            )
        found = {
            str(name): in_order(map(Net.parse, addresses))
            for name, addresses in data["names"].items()
        }
        if not all(nets and all(net.is_single for net in nets) for nets in found.values()):
            raise ValueError("a name without addresses, or with more than single ones")
    except json.JSONDecodeError as error:
        place = f"{file}:{error.lineno}:{error.colno}"
        raise PolicyError.at(place, f"this is not JSON: {error.msg}", _HINT) from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise PolicyError.at(file, "this is not a lock file of netfw", _HINT) from None
    return found


def in_order(nets: Iterable[Net]) -> tuple[Net, ...]:
    """Addresses in the order of a lock file, each once: IPv4 before IPv6, then by number."""
    return tuple(sorted(set(nets), key=lambda net: (net.family.value, net.address)))


def changes(before: Locked, after: Locked) -> list[str]:
    """What is gone and what is new, a line each, in order of names."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, ()), after.get(name, ())
        for net in in_order((*old, *new)):
            if (net in old) is not (net in new):
                sign = "-" if net in old else "+"
                lines.append(f"{sign} {name} {format_address(net.family, net.address)}")
    return lines


_HINT = "remove it, and 'netfw lock POLICY' makes a new one"
