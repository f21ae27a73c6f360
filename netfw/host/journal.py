"""What became of the entries of the history: a list of events, the oldest first."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

from netfw.errors import HostError
from netfw.host.clock import utc_now
from netfw.host.state_folder import StateFolder

_log = logging.getLogger("netfw")
KEPT = 500
"""Events that are kept."""
_NAME, _KIND = "journal.json", "journal"


@dataclass(frozen=True, slots=True)
class Event:
    """``what`` happened to an entry (``confirmed``, ``undone``, …), when (UTC), and more of it."""

    time: str
    number: int
    what: str
    text: str = ""


def read_events(state: StateFolder) -> list[Event]:
    """All events, the oldest first; raises HostError."""
    found = state.read(_NAME, _KIND)
    if found is None:
        return []
    try:
        if not isinstance(found, list):
            raise ValueError("no list")
        return list(map(_event, found))
    except ValueError as error:
        raise HostError.at(
            str(state.path / _NAME), f"this is no journal of netfw: {error}", "remove it"
        ) from None


def note(state: StateFolder, number: int, what: str, text: str = "") -> None:
    """Add an event. The folder's lock is needed.

    What happened has happened: where it cannot be written down, that is said and no error.
    """
    try:
        events = [*read_events(state), Event(utc_now(), number, what, text)]
        state.write(_NAME, _KIND, [asdict(event) for event in events[-KEPT:]])
    except HostError as error:
        _log.warning("entry %d is %s, which is not in the journal: %s", number, what, error)


def _event(data: object) -> Event:
    match data:
        case {"time": str(time), "number": int(number), "what": str(what), "text": str(text)}:
            return Event(time, number, what, text)
        case _:
            raise ValueError("an event is not understood")
