"""What counts packets or connections: its answer is one unknown for each rule of a policy."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.match import ConnlimitMatch, HashlimitMatch
from netfw.ir.names import Family
from netfw.policy.connection_count import ConnectionCount
from netfw.policy.packet_rate import UNITS, PacketRate

_MICROSECONDS = 1_000_000
_DEFAULT_BURST = 5
"""XT_HASHLIMIT_BURST, extensions/libxt_hashlimit.c."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How something counts, and for whom: ``owner`` is the identity of a rule of a policy.

    ``every`` is the period of a rate in microseconds, as the kernel keeps it, 0 for connections;
    ``most`` the burst, or the number of connections. Lengths are those of the prefixes for which
    it counts apart, None where that end says nothing.
    """

    owner: str
    every: int
    most: int
    source: int | None
    destination: int | None
    place: int = 1
    """1, or more where a chain has several rules of that owner which count."""

    def __str__(self) -> str:
        what = f"{self.most} connections" if not self.every else f"a rate of bursts of {self.most}"
        return f"{self.owner} is within {what}"


def of_criterion(criterion: PacketRate | ConnectionCount, family: Family, owner: str) -> Counted:
    """What a rule of the policy counts, by the words of the language."""
    source, destination = criterion.per.lengths(family)
    if isinstance(criterion, ConnectionCount):
        return Counted(owner, 0, criterion.most, source, destination)
    every = _MICROSECONDS * UNITS[criterion.unit] // criterion.amount
    return Counted(owner, every, criterion.burst, source, destination)


def of_match(
    match: HashlimitMatch | ConnlimitMatch, family: Family, owner: str, place: int
) -> tuple[Counted, bool] | None:
    """What a match of a rule of netfw's counts, and whether it is negated; None where the language
    has no such thing."""
    if isinstance(match, ConnlimitMatch):
        most = match.upto if match.above is None else match.above
        assert most is not None
        length = match.length
        source, destination = (length, None) if match.is_source else (None, length)
        return Counted(owner, 0, most, source, destination, place), match.above is not None
    rate = match.upto or match.above
    mode = match.mode or frozenset()
    odd = (match.size, match.most, match.collect_interval, match.expire, match.rate_interval)
    if rate is None or rate.unit not in UNITS or mode - {"srcip", "dstip"} or match.rate_match:
        return None
    if any(value is not None for value in odd) or isinstance(match.burst, type(rate)):
        return None
    source = (match.source_length or family.bits) if "srcip" in mode else None
    destination = (match.destination_length or family.bits) if "dstip" in mode else None
    every = _MICROSECONDS * UNITS[rate.unit] // rate.amount
    burst = match.burst if isinstance(match.burst, int) else _DEFAULT_BURST
    return Counted(owner, every, burst, source, destination, place), match.above is not None
