"""A packet as somebody described it, and what of it was left out."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.match import ConnectionState
from netfw.traverse.packet import Packet

ASSUMED_SOURCE_PORT = 40000
"""A port that no service has: the first of a client's usual ones (IANA's begin at 49152, Linux'
at 32768)."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A packet of which source and way may still be missing.

    ``packet`` has the source 0 where ``has_source`` is false, and no interface where nothing was
    said of one. ``leaves_by`` is empty where nothing was said. ``state`` is None where the
    connections before it decide. ``completed`` says in words what has been filled in so far.
    """

    packet: Packet
    has_source: bool = True
    leaves_by: str = ""
    state: ConnectionState | None = ConnectionState.NEW
    completed: tuple[str, ...] = ()

    @property
    def has_way(self) -> bool:
        """Whether something was said of its interfaces."""
        return bool(self.packet.in_interface or self.leaves_by)


class CompletionError(ValueError):
    """What was left out cannot be found: a sentence, and what to do."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint
