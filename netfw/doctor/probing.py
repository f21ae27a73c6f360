"""What is to be sent so that a finding can be seen, and what was seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from netfw.doctor.finding import Finding
from netfw.traverse.observed import ObservedPacket
from netfw.traverse.packet import Packet


class Turn(Enum):
    """What follows the first packet of a conversation."""

    AGAIN = "a second packet of its connection"
    ANSWER = "the answer to it, as it comes back by the interface that it left by"
    OWN_ANSWER = "what this host answers by itself"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A packet, and what follows it. One without ``in_interface`` is sent by a socket of the host,
    which has the packet's mark. ``then`` OWN_ANSWER has a service listen at the
    port, if it has one."""

    packet: Packet
    then: Turn | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the symptom was seen in a conversation, and in words what was."""

    shown: bool
    said: str
    is_about_it: bool = True
    """Whether the packet came by what the finding is about."""


class Symptom(Protocol):
    """What a finding does to packets, in such words that it can be looked for."""

    def judge(self, seen: Sequence[ObservedPacket]) -> Verdict:
        """Whether it is there. ``seen`` are the packets of one conversation, at least the first;
        those that were not sent, or of which nothing was seen, are missing at the end."""


@dataclass(frozen=True, slots=True)
class Probing:
    """Conversations, of which one has to show the symptom, or ``every`` one that can."""

    conversations: tuple[Conversation, ...]
    symptom: Symptom
    every: bool = False


@dataclass(frozen=True, slots=True)
class NoProbing:
    """Why no packet can show a finding."""

    why: str


class Outcome(Enum):
    """What came of it."""

    SHOWN = "shown"
    """The symptom was seen."""
    NOT_SHOWN = "not shown"
    """Packets were sent, and it was not there."""
    INCONCLUSIVE = "inconclusive"
    """Nobody can be sure of what was seen."""
    NOT_PROBED = "not probed"
    """No packet can show it."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A finding, and what packets in a twin of the host show of it.

    ``said`` is one sentence: the symptom, what happened instead, or why nothing can be said.
    ``packets`` are those of the one conversation that it is about, ``sent`` how many packets were
    sent for the finding in all.
    """

    finding: Finding
    outcome: Outcome
    said: str
    packets: tuple[ObservedPacket, ...] = ()
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """All of them, in the order of the findings; ``lacking`` is what the twin lacks, ``seconds``
    how long all of it took."""

    all: tuple[Demonstration, ...]
    lacking: tuple[str, ...] = ()
    seconds: float = 0.0

    def count(self, outcome: Outcome) -> int:
        """How many came out like this."""
        return sum(one.outcome is outcome for one in self.all)
