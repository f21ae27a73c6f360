"""What is to be sent so that a finding can be seen, and what was seen of it."""

from __future__ import annotations

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
    ANEW = "the first packet of another connection like it"
    OWN_ANSWER = "what this host answers by itself"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A packet, and what follows it. One without ``in_interface`` is sent by a socket of the host,
    which has the packet's mark. ``then`` OWN_ANSWER has a service listen at the
    port, if it has one."""

    packet: Packet
    then: Turn | None = None
    is_known: bool = False
    """Whether its connection is one that the host has already, and the twin gets too."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the symptom was seen in a conversation, and in words what was."""

    shown: bool
    said: str
    is_about_it: bool = True
    """Whether the packet came by what the finding is about."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one conversation.

    ``packets`` are its own, at least the first, where not all of it may be ``unseen``; those that
    were not sent, or of which no event came, are missing at the end. ``came_out`` is the interface
    by which the last one left the twin (empty: it did not). ``further`` are packets that the host
    made meanwhile, and ``collided`` the tunnels that had a packet to send by themselves.
    """

    packets: tuple[ObservedPacket, ...]
    came_out: str = ""
    further: tuple[ObservedPacket, ...] = ()
    collided: tuple[str, ...] = ()

    @property
    def first(self) -> ObservedPacket:
        """The first one; there is none where all of it was unseen."""
        return self.packets[0]


class Symptom(Protocol):
    """What a finding does to packets, in such words that it can be looked for."""

    def judge(self, seen: Seen) -> Verdict:
        """Whether it is there."""


class Scene(Enum):
    """What links are in the twin; by themselves packets go through cables alone."""

    CABLES = "cables"
    BRIDGES = "bridges"
    TUNNELS = "tunnels"


@dataclass(frozen=True, slots=True)
class Probing:
    """Conversations, of which one has to show the symptom, or ``every`` one that can. With
    ``unseen`` it may be that no event comes of a packet at all."""

    conversations: tuple[Conversation, ...]
    symptom: Symptom
    every: bool = False
    scene: Scene = Scene.CABLES
    unseen: bool = False


@dataclass(frozen=True, slots=True)
class NoProbing:
    """Why no packet can show a finding."""

    why: str


ASKS_MORE = NoProbing("the reader asks for more, and a trace does not tell why it says no")
"""Where a symptom is that a reader does not take a packet, which may have other reasons."""


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
