"""Looks for a case on which model and kernel contradict each other, and makes it small."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings

from netfw.ir.names import Family
from netfw.traverse.walk import Walker
from tests.fuzz.arena import Arena
from tests.fuzz.differential import LostEvents, MakeWalker, Played, play
from tests.fuzz.generate import Case, cases

SHRINK_SECONDS = 90.0
"""How long a difference is made smaller."""


@dataclass(slots=True)
class Tally:
    """What ran without a difference, and the smallest case of the first difference."""

    rulesets: int = 0
    packets: int = 0
    undecided: int = 0
    skipped: int = 0
    lost: int = 0
    steps: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    failure: str = ""

    def add(self, played: Played) -> None:
        """Count a case."""
        self.rulesets += 1
        self.packets += played.agreed
        self.undecided += played.undecided
        self.skipped += played.skipped
        self.steps += sum(len(c.predicted.steps) for c in played.comparisons)
        self.reasons.update(played.reasons)

    def __str__(self) -> str:
        sent = self.packets + self.undecided
        share = 100 * self.undecided / sent if sent else 0.0
        return (
            f"{self.rulesets} rulesets loaded, {self.packets} packets and {self.steps} steps "
            f"without a difference; {self.undecided} packets undecided ({share:.1f} %), "
            f"{self.skipped} not sent behind them, {self.lost} cases with lost events"
        )


class _Differs(AssertionError):
    pass


class _SmallEnough(BaseException):
    """Ends Hypothesis, which takes no exception of this kind for a failure."""


def search(
    arenas: Sequence[Arena],
    family: Family,
    number: int,
    most: int,
    tally: Tally,
    make_walker: MakeWalker = Walker,
    *,
    until: float = float("inf"),
    shrink_seconds: float = SHRINK_SECONDS,
) -> None:
    """Play up to ``most`` cases of a seed on each backend's arena.

    A difference is made small, and told in the tally.
    """
    smallest: list[Played] = []
    shrink_until = float("inf")
    repeat = f"to repeat it: NETFW_FUZZ_SEED={number}"

    @seed(number)
    @settings(
        max_examples=most,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(family))
    def agrees(case: Case) -> None:
        nonlocal shrink_until
        now = time.monotonic()
        if now > shrink_until:
            raise _SmallEnough
        if not smallest and now > until:
            return
        for arena in arenas:
            try:
                played = play(case, arena, make_walker)
            except LostEvents:
                tally.lost += 1
                continue
            if played.different:
                if not smallest:
                    shrink_until = now + shrink_seconds
                if not smallest or _size(played) <= _size(smallest[0]):
                    smallest[:] = [played]
                raise _Differs
            if not smallest:
                tally.add(played)

    try:
        agrees()
    except (_Differs, _SmallEnough):
        tally.failure = f"{smallest[0]}\n{repeat}"
    except Exception as error:
        if not smallest:
            raise
        # Hypothesis could not repeat it: what was seen last is still what was seen
        tally.failure = f"{smallest[0]}\nit does not always happen: {error!r}\n{repeat}"


def _size(played: Played) -> tuple[int, int]:
    return played.case.ruleset.rule_count, len(played.case.sendings)
