"""Matches that count packets or connections, as far as that can be foretold.

For rules that nobody has asked anything before, as they are when they have just been loaded.
"""

from __future__ import annotations

from collections.abc import Callable

from netfw.ir.match import ConnlimitMatch, HashlimitMatch, LimitMatch
from netfw.traverse.skb import Skb

Predicate = Callable[[Skb], bool | None]
FORESEEN = 60
"""Seconds that a walk may take: in that time a slower rate gives nothing back."""
_DEFAULT_BURST = 5


def hashlimit_predicate(match: HashlimitMatch) -> Predicate:
    """hashlimit_mt in net/netfilter/xt_hashlimit.c: a bucket of ``burst`` for each key.

    The first packets find it full enough; behind them, only a slow rate is sure to be used up.
    """
    rate = match.upto or match.above
    mode = match.mode or frozenset()
    burst = match.burst if isinstance(match.burst, int) else _DEFAULT_BURST
    negate = match.above is not None
    used: dict[tuple[int, ...], int] = {}
    if rate is None or rate.unit not in LimitMatch.SECONDS or match.rate_match:
        return lambda skb: None
    is_slow = LimitMatch.SECONDS[rate.unit] >= FORESEEN * rate.amount

    def key_of(skb: Skb) -> tuple[int, ...]:
        bits = skb.packet.family.bits
        parts = {
            "srcip": skb.source >> (bits - (match.source_length or bits)),
            "dstip": skb.destination >> (bits - (match.destination_length or bits)),
            "srcport": skb.source_port,
            "dstport": skb.destination_port,
        }
        return tuple(parts[name] for name in sorted(mode))

    def test(skb: Skb) -> bool | None:
        key = key_of(skb)
        count = used.get(key, 0)
        if count < burst:
            used[key] = count + 1
            return not negate
        return negate if is_slow else None

    return test


def connlimit_predicate(match: ConnlimitMatch) -> Predicate:
    """connlimit_mt in net/netfilter/xt_connlimit.c: as long as no more connections have come than
    may be open, no more are. How many of them are still open is not known."""
    most = match.upto if match.above is None else match.above
    negate = match.above is not None
    seen: dict[int, set[object]] = {}

    def test(skb: Skb) -> bool | None:
        bits = skb.packet.family.bits
        address = skb.source if match.is_source else skb.destination
        group = address >> (bits - match.length) if match.length else 0
        connections = seen.setdefault(group, set())
        connections.add(
            (skb.protocol, skb.source, skb.source_port, skb.destination, skb.destination_port)
            if skb.packet.icmp_id == 0
            else (skb.protocol, skb.source, skb.destination, skb.packet.icmp_id)
        )
        return not negate if most is not None and len(connections) <= most else None

    return test
