"""Several conditions of which one is enough, as a set of native nftables says them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netfw.ir.match import Match


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these is met: ``iifname { "lan", "wlan" }``. Never empty."""

    matches: tuple[Match, ...]


Condition = Match | AnyOf
"""What a rule asks of a packet, of whatever kind of rules."""


def each_of(conditions: Iterable[Condition]) -> Iterator[Match]:
    """All conditions, and of those of which one is enough each."""
    for one in conditions:
        if isinstance(one, AnyOf):
            yield from one.matches
        else:
            yield one
