"""How a host is, compared with what was applied to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from netfw.ir.names import Backend
from netfw.plan.change import Change
from netfw.plan.count import Counts
from netfw.plan.entry import Entry


@dataclass(frozen=True, slots=True)
class Condition:
    """``entry`` is the one that counts, None where nothing is applied.

    ``drift`` are lines that would come or go if what was applied were brought back: what somebody
    has changed by hand, the other way round. ``unfinished`` says what is under way or was left
    behind, ``undone`` which change was undone since, and why. ``elsewhere`` says that rules of
    ours are in the backend that the host does not use, ``mixed`` that others use both. ``late``
    are hooks at which others' rules stand before ours. ``counts`` are the kernel's, by identity.
    """

    backend: Backend
    entry: Entry | None
    drift: tuple[Change, ...] = ()
    unfinished: str = ""
    undone: str = ""
    elsewhere: bool = False
    mixed: bool = False
    late: tuple[str, ...] = ()
    counts: Counts = field(default_factory=Counts)

    @property
    def is_well(self) -> bool:
        """Whether the host holds what was applied, and nothing is left to be done."""
        return not (self.drift or self.unfinished or self.elsewhere)
