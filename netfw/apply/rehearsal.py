"""What a rehearsal found: a change tried in a twin of the host, check by check."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from netfw.errors import ExitCode
from netfw.ir.origin import Origin
from netfw.verify.result import EXIT_CODES, Result, worst


class Topic(Enum):
    """What a check is about."""

    CHANGE = "the change itself"
    FOREIGN = "what others have"
    CONNECTION = "your connection"
    ASSERTION = "assertions"
    PACKET = "packets"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried. ``reason`` says why it differs or is inconclusive; ``origin`` is
    the place in the policy that it is about, if any."""

    topic: Topic
    what: str
    result: Result
    reason: str = ""
    origin: Origin | None = None


@dataclass(slots=True)
class Rehearsal:
    """All checks, and what the twin lacks.

    ``lacking`` is by name what of the host could not be copied: checks that depend on it are
    inconclusive. ``seconds`` is wall clock, by part.
    """

    subject: str
    backend: str
    checks: list[Check] = field(default_factory=list)
    lacking: tuple[str, ...] = ()
    steps: int = 0
    """How many steps the change took."""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def result(self) -> Result:
        """DIFFER beats INCONCLUSIVE beats AGREE; without any check inconclusive."""
        return worst(check.result for check in self.checks)

    @property
    def exit_code(self) -> ExitCode:
        """0 where all agree, 1 where something differs, 4 where it is inconclusive."""
        return EXIT_CODES[self.result]

    @property
    def cuts_connection(self) -> bool:
        """Whether the change would cut the connection of whoever asks for it, or would keep them
        from connecting again."""
        return any(
            check.topic is Topic.CONNECTION and check.result is Result.DIFFER
            for check in self.checks
        )

    def of(self, topic: Topic) -> list[Check]:
        """The checks of a topic, in their order."""
        return [check for check in self.checks if check.topic is topic]

    def add(
        self,
        topic: Topic,
        what: str,
        result: Result,
        reason: str = "",
        origin: Origin | None = None,
    ) -> None:
        """Add a check."""
        self.checks.append(Check(topic, what, result, reason, origin))
