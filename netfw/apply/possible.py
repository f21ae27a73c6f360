"""Bringing a host as far as it can come now: interfaces and addresses may not be there yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from netfw.apply.transition import bring_to
from netfw.host.loader import take
from netfw.host.own_routing import read_routing
from netfw.host.refused import RefusedError
from netfw.host.sysctl import read_settings
from netfw.ir.names import Backend
from netfw.plan.own import Own
from netfw.plan.step import LoadRouting


@dataclass(frozen=True, slots=True)
class Brought:
    """How many steps were taken, and in words what waits for an interface or its address."""

    steps: int
    waits: tuple[str, ...]


def bring_as_far_as_possible(
    wanted: Own, recorded: Own, backend: Backend, before: Mapping[str, str]
) -> Brought:
    """Like ``bring_to``, but sysctls of interfaces that are not there, and routes for which one
    is not ready, are left out. Raises as ``bring_to``."""
    values = read_settings(wanted.settings)
    settings = {name: value for name, value in wanted.settings.items() if name in values}
    routing = {
        family: read_routing(None, family, lines) for family, lines in wanted.routing.items()
    }
    there = replace(wanted, routing=routing, settings=settings)
    steps = bring_to(there, recorded, backend, before)
    waits = [f"sysctl {name}" for name in wanted.settings if name not in values]
    for family, lines in wanted.routing.items():
        for line in lines:
            if line in routing[family]:
                continue
            try:
                take(LoadRouting(family, f"{line}\n"), backend)
                steps += 1
            except RefusedError:
                if " dev " not in line:
                    raise
                waits.append(f"{family} {line.removeprefix('route replace ')}")
    return Brought(steps, tuple(waits))
