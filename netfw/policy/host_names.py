"""What a policy may ask of a host, interfaces, users and groups, and its form as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from netfw.errors import FactError
from netfw.ir.form import UINT32
from netfw.ir.names import Family
from netfw.ir.net import format_address, parse_address

SCHEMA = 1
"""The version of the form."""


@dataclass(frozen=True, slots=True)
class HostInterface:
    """An interface: its addresses (family and number), and the families with a default route by
    it."""

    name: str
    addresses: tuple[tuple[Family, int], ...] = ()
    default_routes: tuple[Family, ...] = ()


@dataclass(frozen=True, slots=True)
class HostNames:
    """The interfaces of a host, in order of name, and the numbers of its users and groups.

    None says nothing of users (groups).
    """

    interfaces: tuple[HostInterface, ...]
    users: Mapping[str, int] | None = None
    groups: Mapping[str, int] | None = None

    def with_address(self, family: Family, address: int) -> tuple[str, ...]:
        """The interfaces that have an address."""
        return tuple(each.name for each in self.interfaces if (family, address) in each.addresses)

    def with_default_route(self, families: tuple[Family, ...]) -> tuple[str, ...]:
        """The interfaces by which a default route of one of these families leads."""
        return tuple(
            each.name
            for each in self.interfaces
            if any(family in each.default_routes for family in families)
        )


def format_host_names(names: HostNames) -> str:
    """JSON, the same for the same facts."""
    data: dict[str, object] = {
        "schema": SCHEMA,
        "interfaces": {
            each.name: {
                "addresses": [format_address(*address) for address in each.addresses],
                "default_routes": [family.value for family in each.default_routes],
            }
            for each in names.interfaces
        },
    }
    for what, numbers in (("users", names.users), ("groups", names.groups)):
        if numbers is not None:
            data[what] = dict(sorted(numbers.items()))
    return json.dumps(data, indent=1) + "\n"


def parse_host_names(text: str, file: str) -> HostNames:
    """What ``format_host_names`` has written; raises FactError."""
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise FactError.at(
                file, f"this has the form {data['schema']}, and netfw knows {SCHEMA}"
            )
        found = [
            HostInterface(
                str(name),
                tuple(sorted(map(parse_address, each["addresses"]), key=_order)),
                tuple(sorted(map(Family, each["default_routes"]), key=lambda one: one.value)),
            )
            for name, each in sorted(data["interfaces"].items())
        ]
        users, groups = (_numbers(data.get(what)) for what in ("users", "groups"))
    except json.JSONDecodeError as error:
        place = f"{file}:{error.lineno}:{error.colno}"
        raise FactError.at(place, f"this is not JSON: {error.msg}", _HINT) from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise FactError.at(file, "these are not facts of a host", _HINT) from None
    return HostNames(tuple(found), users, groups)


def _numbers(data: Mapping[object, object] | None) -> dict[str, int] | None:
    """Numbers by name; raises ValueError for what is none of a user or group."""
    if data is None:
        return None
    found: dict[str, int] = {}
    for name, number in data.items():
        if type(number) is not int or not 0 <= number < UINT32:
            raise ValueError(f"'{name}' has the number {number!r}")
        found[str(name)] = number
    return found


def _order(address: tuple[Family, int]) -> tuple[int, int]:
    return address[0].value, address[1]


_HINT = "write them with 'netfw facts > FILE'"
