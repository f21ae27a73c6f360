"""From a wish to a host that holds it: everything that is looked at first, then the change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netfw.apply.change import Made, make_change
from netfw.apply.guarded import Summons
from netfw.apply.intention import Glance, Intention, Wish, intend, refuse_if_others_need_it
from netfw.apply.take_back import settle
from netfw.apply.undo import undo
from netfw.errors import ConflictError
from netfw.host.history import confirmed_entry, next_number, read_entry
from netfw.host.pending_change import needed_numbers
from netfw.host.state_folder import StateFolder
from netfw.host.state_lock import locked
from netfw.host.trial import try_out
from netfw.plan.entry import Entry
from netfw.plan.novelty import novelty
from netfw.plan.step import describe

MakeWish = Callable[[list[Entry]], Wish]
"""Says what is wished, told what was applied before (the oldest first)."""
Tell = Callable[[str], None]
"""Says what is being done, a line at a time."""
Rehearse = Callable[[Intention], None]
"""Tries it on a copy of the host; raises NetfwError where that ends badly."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of it; ``made`` is None where the host held everything already."""

    intention: Intention
    made: Made | None


def apply_wish(
    make_wish: MakeWish,
    tell: Tell,
    *,
    confirm_within: float | None = None,
    rehearse: Rehearse | None = None,
    state: StateFolder | None = None,
) -> Applied:
    """Make this host hold what ``make_wish`` gives, which is told what was applied before.

    Raises NetfwError before the first write for everything that can be known then, and
    RolledBackError for what shows afterwards.
    """
    folder = state or StateFolder()
    with locked(folder):
        end_unfinished(folder, tell)
        glance = Glance()
        history = entries_that_count(folder)
        wish = make_wish(history)
        intention = intend(wish, history, glance)
        refuse_if_others_need_it(intention)
        if intention.is_done and _is_confirmed(folder, wish):
            return Applied(intention, None)
        # the guard needs a moment to start: as long as the rules are tried out
        with Summons(folder, next_number(folder)) as summons:
            _see_that_it_holds(intention, history, tell, rehearse)
            steps = ", ".join(map(describe, intention.plan.steps))
            tell(f"writing: {steps or 'the history alone'}")
            return Applied(intention, make_change(summons, intention, confirm_within))


def _see_that_it_holds(
    intention: Intention, history: list[Entry], tell: Tell, rehearse: Rehearse | None
) -> None:
    """Everywhere but on this host; raises NetfwError where it does not."""
    wish, backend = intention.wish, intention.variant.backend
    tried = novelty(wish.own, intention.now)
    if tried.tables or tried.sets:
        tell(f"trying the rules out in an empty namespace ({backend})")
        try_out(tried, backend, wish.origins)
    if rehearse is None:
        return
    rehearse(intention)
    # that took its time, and what was tried began from what had been there before
    if intend(wish, history).plan != intention.plan:
        raise ConflictError.at(
            "netfw",
            "somebody changed netfw's rules on this host while they were rehearsed",
            "nothing was written: see 'netfw status', and apply again",
        )


def end_unfinished(state: StateFolder, tell: Tell) -> None:
    """Undo what was broken off; raises ConflictError for a change that is still under way. The
    folder's lock is needed."""
    left = settle(state, undo)
    if left is None:
        return
    if not left.is_lost:
        raise ConflictError.at(str(state.path), left.problem, left.hint)
    tell(f"{left.problem}: it has been undone now")


def entries_that_count(state: StateFolder) -> list[Entry]:
    """The entries that may have left something on this host, the oldest first."""
    numbers = sorted(needed_numbers(state))
    return [read_entry(state, number) for number in numbers]


def _is_confirmed(state: StateFolder, wish: Wish) -> bool:
    """Whether the history knows what the host holds, so that it is there after a restart too."""
    entry = confirmed_entry(state)
    return entry.own == wish.own if entry is not None else wish.own.is_empty
