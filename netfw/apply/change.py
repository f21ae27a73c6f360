"""One change of a host, from its first write to its last word.

Nothing is written before the guard stands, and whatever happens from then on, the host ends in
the old state or in the new one: if a step fails, here; if this process ends, by the guard; if
both end, by the next command, which finds the change unfinished.
"""

from __future__ import annotations

from dataclasses import dataclass

from netfw.apply.clear_away import clear_away
from netfw.apply.guarded import Guarded, Summons, guarded
from netfw.apply.intention import Intention, Wish
from netfw.apply.transition import carry_out
from netfw.apply.undo import undo
from netfw.errors import ExitCode, HostError, NetfwError
from netfw.host.caller import find_caller
from netfw.host.clock import utc_now
from netfw.host.history import add_entry
from netfw.host.own_host import read_own
from netfw.host.pending_change import confirmed_number
from netfw.plan.change import Change
from netfw.plan.entry import Entry
from netfw.plan.own import Own
from netfw.plan.plan import plan


class RolledBackError(HostError):
    """A change was begun and taken back: the host is as it was."""

    exit_code = ExitCode.ROLLED_BACK


@dataclass(frozen=True, slots=True)
class Made:
    """A change that was written, and for how many seconds it waits (None: it is kept)."""

    entry: Entry
    waits: float | None


def make_change(
    summons: Summons, intention: Intention, confirm_within: float | None = None
) -> Made:
    """Write what is intended under a guard. The lock of the state folder is needed.

    With ``confirm_within`` (seconds) the guard undoes it unless somebody confirms in time. Raises
    RolledBackError with what went wrong, after which the host is as it was; any other HostError
    before the first write.
    """
    entry = add_entry(summons.state, _entry(intention.wish, intention))
    with guarded(summons, confirmed_number(summons.state)) as guard:
        try:
            _write(intention, entry)
            if confirm_within is None:
                guard.keep()
            else:
                guard.wait_for_confirmation(confirm_within)
        except NetfwError as error:
            raise _taken_back(guard, error) from error
    return Made(entry, confirm_within)


def _write(intention: Intention, entry: Entry) -> None:
    """Take the steps, and see that the host holds what it shall."""
    wish, backend = intention.wish, intention.variant.backend
    carry_out(intention.plan, backend, origins=entry.origins)
    if not intention.elsewhere.own.is_empty:
        # now that the new rules stand, those in the other backend may go
        carry_out(plan(intention.elsewhere.own, Own()), intention.variant.other)
        held, _ = read_own(backend, recorded=wish.own)
        # the sets that they asked
        carry_out(plan(held, wish.own), backend)
        emptied = intention.elsewhere.own.tables
        clear_away(emptied, Own(), intention.variant.other, entry.tables_before)
    found, _ = read_own(backend, recorded=wish.own)
    left = plan(found, wish.own).changes
    if left:
        raise HostError.at("read back", f"the host does not hold what was loaded: {_few(left)}")
    clear_away(intention.held, wish.own, backend, entry.tables_before)


def _taken_back(guard: Guarded, error: NetfwError) -> NetfwError:
    """Undo what was written, and say so."""
    guard.take_back(undo, str(error))
    return RolledBackError.of(error.faults)


def _entry(wish: Wish, intention: Intention) -> Entry:
    return Entry(
        utc_now(),
        find_caller(),
        wish.why,
        wish.policy,
        wish.policy_hash,
        intention.variant.backend,
        wish.own,
        wish.origins,
        intention.before,
        intention.tables_before,
    )


def _few(changes: tuple[Change, ...]) -> str:
    first = changes[0]
    more = f" and {len(changes) - 1} more lines" if len(changes) > 1 else ""
    return f"{'missing' if first.comes else 'too many'}: {first.place}: {first.text}{more}"
