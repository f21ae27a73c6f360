"""A change of a host that is being made, or waits to be confirmed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """How far a change has come."""

    WRITING = "writing"
    """Its steps are being taken."""
    WAITING = "waiting"
    """All steps are taken, and somebody has to confirm."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A change from one entry of the history to another.

    ``number`` is that of the new entry, ``before`` of the one to go back to (0: nothing of ours).
    ``deadline`` is in seconds of CLOCK_BOOTTIME, which nobody can set, since the start of the
    machine that ``boot`` names: for the end of the phase, whereupon the change is undone.
    """

    number: int
    before: int
    phase: Phase
    deadline: float
    boot: str


def pending_data(pending: Pending) -> dict[str, object]:
    """Plain data for a JSON file."""
    return {
        "number": pending.number,
        "before": pending.before,
        "phase": pending.phase.value,
        "deadline": pending.deadline,
        "boot": pending.boot,
    }


def pending_from(data: object) -> Pending:
    """Read back what ``pending_data`` gave; raises ValueError for anything else."""
    match data:
        case {
            "number": int(number),
            "before": int(before),
            "phase": str(phase),
            "deadline": float(deadline),
            "boot": str(boot),
            **rest,
        } if not rest:
            return Pending(number, before, Phase(phase), deadline, boot)
        case _:
            raise ValueError("this is no change that waits")
