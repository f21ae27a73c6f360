"""How many probes have come to a rule that counts, by the words of the language."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from netfw.policy.connection_count import ConnectionCount
from netfw.policy.flow import Flow
from netfw.policy.packet_rate import UNITS, PacketRate
from netfw.policy.rule import PolicyRule
from netfw.traverse.evaluate_counted import FORESEEN


@dataclass(slots=True)
class Counters:
    """Answers for rules with ``rate`` or ``connections``; every question counts a packet, until
    ``settle`` says that it is sent."""

    _sent: dict[object, int] = field(default_factory=dict)
    _asked: dict[object, int] = field(default_factory=dict)
    """Counts with the packet that is asked about, where they differ."""
    _is_sure: bool = True

    def settle(self) -> bool:
        """Keep what was counted for one packet; False (and nothing kept) where nobody can foretell
        what a rule says of it: that depends on how fast the probes are sent."""
        is_sure = self._is_sure
        if is_sure:
            self._sent |= self._asked
        self._asked, self._is_sure = {}, True
        return is_sure

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Questions that are asked meanwhile count nothing."""
        asked, is_sure = dict(self._asked), self._is_sure
        yield
        self._asked, self._is_sure = asked, is_sure

    def answer(self, rule: PolicyRule, flow: Flow) -> bool | None:
        """Whether a packet meets what a rule counts; None where that is not known, or where it
        is something else of the rule that is not known."""
        counting = [
            extra
            for extra in rule.criteria.extras
            if isinstance(extra, PacketRate | ConnectionCount)
        ]
        others = (
            extra.holds(flow)
            for extra in rule.criteria.extras
            if not isinstance(extra, PacketRate | ConnectionCount)
        )
        if not counting or None in others:
            return None
        return all([self._is_met(extra, rule, flow) for extra in counting])

    def _is_met(self, extra: PacketRate | ConnectionCount, rule: PolicyRule, flow: Flow) -> bool:
        key = (f"{extra.KEY} {rule.identity}", extra.per.key(flow))
        count = self._asked.get(key, self._sent.get(key, 0))
        most = extra.most if isinstance(extra, ConnectionCount) else extra.burst
        if count < most:
            self._asked[key] = count + 1
            return not extra.negate
        is_slow = isinstance(extra, PacketRate) and UNITS[extra.unit] >= FORESEEN * extra.amount
        if not is_slow:
            self._is_sure = False
        return extra.negate
