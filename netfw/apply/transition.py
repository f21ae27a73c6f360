"""From one state of a host to another: the engine of apply, rollback, repair, remove and boot.

It plans from what the host really holds at that moment, so that it does not matter how the host
came there: a change that was broken off anywhere is mended by going to either end of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from netfw.compiler.source_map import SourceMap
from netfw.errors import ConflictError
from netfw.host.loader import take
from netfw.host.own_host import read_own
from netfw.ir.names import Backend
from netfw.plan.own import Own
from netfw.plan.plan import Plan, plan

_MOST_ROUNDS = 3
"""How often a plan is made anew where somebody else writes rules at the same time."""


def carry_out(found: Plan, backend: Backend, origins: SourceMap | None = None) -> None:
    """Take all steps; raises as ``take`` where one fails, after which the host is between both
    states."""
    for step in found.steps:
        take(step, backend, origins=origins)


def bring_to(wanted: Own, recorded: Own, backend: Backend, before: Mapping[str, str]) -> int:
    """Make this host hold this, whatever of ours it holds now; gives the number of steps taken.

    ``recorded`` is what may have been written, ``before`` are values of sysctls before netfw.
    Raises as ``take``, and ConflictError where somebody else changes it as fast as we do.
    """
    taken = 0
    for _ in range(_MOST_ROUNDS):
        now, foreign = read_own(backend, recorded=recorded)
        # a set that others ask by now cannot go: it is in nobody's way, and nothing waits for it
        found = plan(now, wanted, before, kept=foreign.needed)
        if not found.steps:
            return taken
        carry_out(found, backend)
        taken += len(found.steps)
    raise ConflictError.at(
        "netfw", "the host still differs from what was loaded", "see who else changes its rules"
    )
