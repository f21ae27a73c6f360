"""What doctor has to say: what is wrong, the evidence, what it does to a packet, and the fix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from netfw.doctor.host_state import HostState
from netfw.doctor.place import Spot

if TYPE_CHECKING:
    from netfw.doctor.probing import NoProbing, Probing


class Severity(Enum):
    """How bad it is."""

    ERROR = "error"
    """Packets go wrong, or will as soon as some come by."""
    WARNING = "warning"
    """It depends on the traffic, or on what somebody meant."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    ``problem`` is one sentence with the values; ``evidence`` the spots, the guilty one first;
    ``effect`` what a packet meets; ``fix`` one or several commands, or what to do, a line each.
    """

    code: str
    severity: Severity
    problem: str
    evidence: tuple[Spot, ...]
    effect: str
    fix: tuple[str, ...]


class FindingKind(Protocol):
    """What a module in ``findings/`` has.

    ``CODE`` is printed and taken as an argument (``mark-overwritten``); ``TITLE`` one line;
    ``EXPLANATION`` paragraphs for ``netfw explain-finding``.
    """

    CODE: str
    TITLE: str
    EXPLANATION: str

    def find(self, state: HostState) -> Iterator[Finding]:
        """Every such thing on the host; pure."""

    def probe(self, finding: Finding, state: HostState) -> Probing | NoProbing:
        """Which packets show one of them, and what is to be seen then; pure."""
