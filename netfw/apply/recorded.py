"""What netfw knows to have written, for what a host does not say whose it is."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable

from netfw.ir.names import Family
from netfw.plan.entry import Entry
from netfw.plan.own import Own


def recorded_in(entries: Iterable[Entry]) -> Own:
    """Everything that some of these entries held. Of what differs, the last one counts."""
    found = Own()
    for entry in entries:
        own = entry.own
        routing = {
            family: tuple(
                dict.fromkeys((*found.routing.get(family, ()), *own.routing.get(family, ())))
            )
            for family in Family
        }
        found = Own(
            {**found.tables, **own.tables},
            ChainMap(own.sets, found.sets),  # type: ignore[arg-type]
            {family: lines for family, lines in routing.items() if lines},
            {**found.settings, **own.settings},
        )
    return found


def settings_before(entries: Iterable[Entry]) -> dict[str, str]:
    """The values that sysctls had before netfw first wrote them: the oldest entry knows best."""
    found: dict[str, str] = {}
    for entry in entries:
        for name, value in entry.settings_before.items():
            found.setdefault(name, value)
    return found
