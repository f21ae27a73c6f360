"""One thing that goes wrong in the middle of a change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.faults.faulty_host import FaultyHost


def nothing(_: FaultyHost) -> None:
    """Nothing is to be arranged."""


@dataclass(frozen=True)
class Fault:
    """``kind`` is the line of the table, ``name`` says which one of it.

    ``trap`` is the script that programs read (``FaultyHost.set_trap``), ``inject`` what strace
    does to netfw's own process (a system call, and which time). ``before`` and ``after`` arrange
    the host, and take that away again, as whoever is in charge of the host would. ``words`` go to
    ``netfw apply``. ``is_unguarded`` says that netfw and its guard are both ended: only the next
    command can mend the host. ``needs_disk`` asks for a disk of the state folder's own. ``ends``
    are the states in which the host may be, as the change sees them.
    """

    kind: str
    name: str
    trap: str = ""
    inject: tuple[str, int] | None = None
    before: Callable[[FaultyHost], None] = nothing
    after: Callable[[FaultyHost], None] = nothing
    environment: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    is_unguarded: bool = False
    needs_disk: bool = False
    ends: frozenset[str] = frozenset({"old", "new"})

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"
