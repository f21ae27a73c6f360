"""A probe: one packet that is really sent, and what is known of it beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.ir.mark import Mark
from netfw.ir.origin import Origin
from netfw.traverse.packet import Packet
from netfw.traverse.situation import Path, Phase


class Expected(Enum):
    """What the policy itself says of a packet, without looking at compiled rules."""

    ACCEPTED = "accepted"
    DENIED = "denied"
    NOT_COVERED = "not covered"


@dataclass(frozen=True, slots=True)
class Probe:
    """One packet to send.

    ``number`` (1 to 65535) is carried in the packet and recognises it again. ``group`` names the
    scenario or the policy rule that it is for. ``wave`` counts from 0: all packets of a wave have
    gone their way before the next wave is sent, so that replies follow what they answer.
    ``expected`` and ``origin`` are there where a policy speaks of the packet.
    """

    number: int
    group: str
    what: str
    packet: Packet
    path: Path
    phase: Phase
    wave: int = 0
    expected: Expected | None = None
    origin: Origin | None = None
    leaves_by: str = ""
    """The interface by which it leaves, where it is let through; empty: not said."""
    steered: Mark | None = None
    """What its steering bits are at the end, where a policy steers."""
