"""Several conditions of which one is enough, as a set of native nftables says them."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.match import Match


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these is met: ``iifname { "lan", "wlan" }``. Never empty."""

    matches: tuple[Match, ...]


Condition = Match | AnyOf
"""What a rule asks of a packet, of whatever kind of rules."""
