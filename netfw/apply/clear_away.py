"""What iptables made for rules of ours and nobody needs any longer: tables, built-in chains."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from netfw.errors import HostError
from netfw.host.base_chains import Place, remove_unused
from netfw.ir.names import Backend
from netfw.plan.entry import Entry
from netfw.plan.own import Own

_log = logging.getLogger("netfw")


def tables_before(
    there: Mapping[Place, tuple[str, ...]], now: Own, history: list[Entry]
) -> dict[Place, tuple[str, ...]]:
    """The tables of nf_tables and their built-in chains as they were before netfw wrote in them.

    ``there`` is what is there now, which says it of a table that has nothing of ours; of another
    one the last entry knows.
    """
    if not history:
        return {place: chains for place, chains in there.items() if place not in now.tables}
    last = history[-1]
    held = last.own.tables.keys() | now.tables.keys()
    found = {place: chains for place, chains in there.items() if place not in held}
    found |= {place: chains for place, chains in last.tables_before.items() if place in held}
    return found


def clear_away(
    places: Iterable[Place],
    holds: Own,
    backend: Backend,
    before: Mapping[Place, tuple[str, ...]],
) -> None:
    """Remove from the tables at ``places``, in which rules of ours were, what was not there
    ``before`` and is not used: neither by what the host ``holds`` of ours nor by anybody else.

    A table that cannot be removed does no harm, so that nothing is raised. Nothing happens with
    legacy, whose tables a namespace keeps for its life.
    """
    if backend is Backend.LEGACY:
        return
    for family, table in dict.fromkeys(places):
        if (family, table) in holds.tables:
            continue
        try:
            remove_unused(None, family, table, before.get((family, table)))
        except (HostError, OSError) as error:
            _log.warning("%s table %s stays, though nobody uses it: %s", family, table, error)
