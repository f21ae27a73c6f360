"""The interfaces of a host, as far as a policy may ask for them, and their form as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass

from netfw.errors import FactError
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
    """The interfaces of a host, in order of name."""

    interfaces: tuple[HostInterface, ...]

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
    """JSON, the same for the same interfaces."""
    data = {
        "schema": SCHEMA,
        "interfaces": {
            each.name: {
                "addresses": [format_address(*address) for address in each.addresses],
                "default_routes": [family.value for family in each.default_routes],
            }
            for each in names.interfaces
        },
    }
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
    except json.JSONDecodeError as error:
        place = f"{file}:{error.lineno}:{error.colno}"
        raise FactError.at(place, f"this is not JSON: {error.msg}", _HINT) from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise FactError.at(file, "these are not facts of a host", _HINT) from None
    return HostNames(tuple(found))


def _order(address: tuple[Family, int]) -> tuple[int, int]:
    return address[0].value, address[1]


_HINT = "write them with 'netfw facts > FILE'"
