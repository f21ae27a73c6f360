"""What became of the entries of the history: a list of events, the oldest first."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from netfw.errors import HostError
from netfw.host.clock import utc_now
from netfw.host.state_folder import StateFolder

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
    """Add an event; raises HostError. The folder's lock is needed."""
    events = [*read_events(state), Event(utc_now(), number, what, text)]
    state.write(_NAME, _KIND, [asdict(event) for event in events[-KEPT:]])


def _event(data: object) -> Event:
    match data:
        case {"time": str(time), "number": int(number), "what": str(what), "text": str(text)}:
            return Event(time, number, what, text)
        case _:
            raise ValueError("an event is not understood")
