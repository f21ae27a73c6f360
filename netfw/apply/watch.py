"""Watch over a host: what somebody changes of what was applied is told, and mended if wished.

The kernel says when something changes, so that nothing is asked over and over. It says nothing of
sets of ipset, legacy tables and most sysctls: those are looked at when it says anything else, and
once in a while where a host has them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from netfw.apply.application import entries_that_count
from netfw.apply.condition import find_condition
from netfw.apply.possible import bring_as_far_as_possible
from netfw.apply.recorded import recorded_in, settings_before
from netfw.errors import CapabilityError, ConflictError, FactError, HostError, NetfwError
from netfw.host.clock import since_boot
from netfw.host.history import confirmed_entry
from netfw.host.notices import Notice, Notices
from netfw.host.pending_change import PENDING, UNDOING, confirmed_number, read_pending
from netfw.host.state_folder import StateFolder
from netfw.host.state_lock import LOCK, is_held, locked
from netfw.ir.names import Backend
from netfw.plan.change import Change
from netfw.plan.condition import Condition
from netfw.plan.own import Own

_QUIET, _LONGEST = 0.2, 2.0
"""Seconds without a notice after which it is looked, and how long notices may go on before."""
_UNDER_WAY = 1.0
"""Seconds after which it is looked again while a change is being written, or waits."""
MOST_REPAIRS, _WITHIN = 5, 60.0
"""How often it is mended within how many seconds, before somebody else is left to it."""
_LOCK_PATIENCE = 1.0
_MOST_NAMES = 4
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class What(Enum):
    """What a report is about."""

    WATCHING = "watching"
    DRIFT = "drift"
    """Something differs that did not before."""
    WELL = "well"
    """Nothing differs any more."""
    REPAIRED = "repaired"
    NOT_REPAIRED = "not repaired"
    UNSEEN = "not looked at"
    """The host cannot be looked at now."""
    UNDER_WAY = "under way"
    """A change waits, or was left unfinished."""


@dataclass(frozen=True, slots=True)
class Report:
    """``text`` says more; ``changes`` are lines that would come back or go again; ``by`` are the
    programs that changed rules since the last look, as far as the kernel names them."""

    what: What
    text: str = ""
    changes: tuple[Change, ...] = ()
    by: tuple[str, ...] = ()


class Watch:
    """Watches the host that this process is in, until it is ended.

    ``every`` is how many seconds pass at most between two looks, where the host holds something
    of whose changes the kernel does not tell.
    """

    def __init__(self, tell: Callable[[Report], None], *, repair: bool, every: float) -> None:
        self._tell, self._repair, self._every = tell, repair, every
        self._drift: frozenset[Change] = frozenset()
        self._said: dict[What, str] = {}
        self._by: dict[str, None] = {}
        self._repairs: list[float] = []
        self._looked = 0.0
        self._has_looked = False
        self._is_under_way = self._is_silent = self._is_late = False

    def run(self) -> None:
        """Watch; raises HostError where the host cannot be looked at, and ConflictError where
        somebody changes it as often as it is mended."""
        try:
            notices = Notices()
        except OSError as error:
            raise CapabilityError.at(
                "netfw watch", f"the kernel tells nothing of changes here: {error.strerror}"
            ) from None
        with notices:
            number = confirmed_number(StateFolder())
            self._tell(Report(What.WATCHING, f"change {number}" if number else "nothing yet"))
            self._look(notices)
            while True:
                left = self._left()
                if self._gather(notices, notices.wait(left)) or self._left() == 0:
                    self._look(notices)

    def _left(self) -> float | None:
        """Seconds until the next look, if nothing is told before; None: there is none then."""
        if self._is_late:
            return 0.0
        if self._is_under_way:
            pause = _UNDER_WAY
        elif self._is_silent:
            pause = self._every
        else:
            return None
        return max(0.0, self._looked + pause - since_boot())

    def _gather(self, notices: Notices, first: list[Notice]) -> bool:
        """Wait for the end of a row of notices; whether there were any."""
        until = since_boot() + _LONGEST
        found = first
        while found:
            self._by |= dict.fromkeys(notice.by for notice in found if notice.by)
            found = notices.wait(_QUIET) if since_boot() < until else []
        return bool(first)

    def _look(self, notices: Notices) -> None:
        """Compare the host with what was applied, unless somebody is just applying something."""
        self._looked, self._is_late = since_boot(), False
        try:
            found = _stable_condition()
        except (HostError, FactError) as error:
            if not self._has_looked:
                raise
            # rules that change while they are read, a full table of processes: it will pass
            self._once(What.UNSEEN, str(error))
            self._is_silent, self._is_under_way = True, False
            return
        self._has_looked = True
        if found is None:
            self._is_under_way = True
            return
        self._said.pop(What.UNSEEN, None)
        # what was seen may be told only now, and what is told only now not have been seen: so it
        # counts for this look and for the next one, which comes at once
        late = notices.wait(0)
        names = {notice.by: None for notice in late if notice.by}
        by, self._by = tuple(self._by | names)[-_MOST_NAMES:], names
        self._is_late = bool(late)
        self._is_under_way = bool(found.unfinished)
        self._take_interest(notices, found)
        self._once(What.UNDER_WAY, found.unfinished)
        new = tuple(change for change in found.drift if change not in self._drift)
        if new:
            self._tell(Report(What.DRIFT, "", new, by))
        elif self._drift and not found.drift:
            self._tell(Report(What.WELL))
        self._drift = frozenset(found.drift)
        if not found.drift:
            self._said.pop(What.NOT_REPAIRED, None)
        elif self._repair:
            if found.unfinished:
                self._once(What.NOT_REPAIRED, "a change is under way")
            else:
                self._mend(notices, found, by)

    def _mend(self, notices: Notices, found: Condition, by: tuple[str, ...]) -> None:
        now = since_boot()
        self._repairs = [time for time in self._repairs if now - time < _WITHIN]
        if len(self._repairs) >= MOST_REPAIRS:
            who = ", ".join(by) or "nobody whom the kernel names"
            raise ConflictError.at(
                "netfw watch",
                f"repaired {MOST_REPAIRS} times within {_WITHIN:g} seconds, and changed again;"
                f" rules were changed last by {who}",
                "see who else writes netfw's rules; then start netfw watch again",
            )
        try:
            with _not_ended(), locked(StateFolder(), _LOCK_PATIENCE):
                steps = _bring_back(found.backend)
        except NetfwError as error:
            self._once(What.NOT_REPAIRED, str(error))
            self._is_under_way = isinstance(error, ConflictError)
            return
        # what is told now was done by ourselves
        notices.wait(0)
        if steps:
            self._repairs.append(now)
            self._tell(Report(What.REPAIRED, "", found.drift, by))
            # what was changed again meanwhile may have been told already
            self._drift, self._is_late = frozenset(), True
        else:
            # it waits for something of which the kernel tells
            first = found.drift[0]
            self._once(What.NOT_REPAIRED, f"not possible yet: {first.place}: {first.text}")

    def _take_interest(self, notices: Notices, found: Condition) -> None:
        own = Own() if found.entry is None else found.entry.own
        notices.tables = frozenset(_tables_of(own))
        self._is_silent = bool(own.sets or own.settings) or found.backend is Backend.LEGACY

    def _once(self, what: What, text: str) -> None:
        if text and self._said.get(what) != text:
            self._tell(Report(what, text))
        self._said[what] = text


def _bring_back(backend: Backend) -> int:
    """Bring back what was confirmed. The folder's lock is needed."""
    state = StateFolder()
    if read_pending(state, PENDING) or read_pending(state, UNDOING):
        raise ConflictError.at(str(state.path), "a change is under way")
    entry, entries = confirmed_entry(state), entries_that_count(state)
    wanted = Own() if entry is None else entry.own
    recorded = recorded_in(entries)
    return bring_as_far_as_possible(wanted, recorded, backend, settings_before(entries)).steps


def _stable_condition() -> Condition | None:
    """How the host is; None where somebody was changing it by netfw meanwhile."""
    before = _decided()
    if before is None:
        return None
    found = find_condition(StateFolder())
    return found if _decided() == before else None


def _decided() -> tuple[object, ...] | None:
    """What the host shall hold by the state folder; None while somebody is changing it."""
    state = StateFolder()
    if is_held(state, LOCK):
        return None
    return confirmed_number(state), read_pending(state, PENDING), read_pending(state, UNDOING)


def _tables_of(own: Own) -> Iterator[int]:
    for lines in own.routing.values():
        yield from _numbers(line for line in lines if line.startswith("route "))


def _numbers(lines: Iterable[str]) -> Iterator[int]:
    for line in lines:
        for word, value in pairwise(line.split()):
            if word == "table":
                yield int(value)


@contextmanager
def _not_ended() -> Iterator[None]:
    """Whoever ends us waits until a host that is being mended is whole."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
