"""What a verification found: agree, differ or inconclusive, packet by packet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from netfw.errors import ExitCode
from netfw.ir.mark_field import MarkField
from netfw.ir.names import Family
from netfw.ir.origin import Origin
from netfw.traverse.documented import Documented
from netfw.traverse.kernel_refinements import KernelRefinement
from netfw.traverse.traversal import Traversal
from netfw.verify.probe import Probe

RulePlace = tuple[str, str, int]
"""A rule by table, chain and number (from 1)."""


class Result(Enum):
    """The three results, for a packet, a run, or all of it."""

    AGREE = "agree"
    DIFFER = "differ"
    INCONCLUSIVE = "inconclusive"


EXIT_CODES = {
    Result.AGREE: ExitCode.OK,
    Result.DIFFER: ExitCode.DIFFERENCES,
    Result.INCONCLUSIVE: ExitCode.HOST,
}
"""What a process says of each."""


def worst(results: Iterable[Result]) -> Result:
    """DIFFER beats INCONCLUSIVE beats AGREE; of none at all it is inconclusive."""
    found = set(results)
    if Result.DIFFER in found:
        return Result.DIFFER
    if Result.INCONCLUSIVE in found or not found:
        return Result.INCONCLUSIVE
    return Result.AGREE


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing on which two witnesses contradict each other.

    ``step`` is the index of the first step that differs, or None where it is about the whole.
    """

    problem: str
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One probe and what the three witnesses say of it.

    ``observed`` is None where the kernel's trace never showed the packet.
    ``reason`` says why the result is inconclusive.
    """

    probe: Probe
    documented: Documented
    predicted: Traversal
    observed: Traversal | None
    result: Result
    differences: tuple[Difference, ...] = ()
    reason: str = ""


@dataclass(slots=True)
class RunTimes:
    """Seconds spent in each part of a run."""

    setup: float = 0.0
    build: float = 0.0
    inject: float = 0.0
    trace: float = 0.0
    walk: float = 0.0
    compare: float = 0.0

    @property
    def total(self) -> float:
        """All parts together."""
        return self.setup + self.build + self.inject + self.trace + self.walk + self.compare


@dataclass(slots=True)
class Run:
    """All probes of one subject on one backend and family.

    ``subject`` is what was loaded ("documented order, conntrack off" or the policy's name).
    ``differences`` are those of the run as a whole, such as rules that were not read back as
    they were loaded. ``missing`` says which capability the machine lacks: then nothing was sent.
    ``origins`` leads from (table, chain, rule number) to the policy.
    """

    subject: str
    backend: str
    family: Family
    mark_field: MarkField | None = None
    """The policy's mark field, where there is a policy."""
    comparisons: list[Comparison] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    inconclusive: list[str] = field(default_factory=list)
    missing: str = ""
    times: RunTimes = field(default_factory=RunTimes)
    not_verified: list[str] = field(default_factory=list)
    """What this run cannot show on its stage, such as rules about addresses that none can send."""
    events: int = 0
    """How many trace events were read."""
    kernel_refinements: dict[KernelRefinement, int] = field(default_factory=dict)
    """In how many of them this kernel differs from the newest, by the name of it."""
    reachable: frozenset[RulePlace] = frozenset()
    """The rules that some packet can meet, by proof; empty where nobody has asked."""
    seen: set[RulePlace] = field(default_factory=set)
    """The rules that the kernel's trace has shown."""
    origins: dict[RulePlace, Origin] = field(default_factory=dict)
    texts: dict[RulePlace, str] = field(default_factory=dict)
    """The text of each rule, by table, chain and number."""

    @property
    def unseen(self) -> list[RulePlace]:
        """Rules that a packet can meet, but none that was sent did."""
        return sorted(self.reachable - self.seen)

    @property
    def result(self) -> Result:
        """DIFFER beats INCONCLUSIVE beats AGREE; a run without a packet is inconclusive."""
        results = {comparison.result for comparison in self.comparisons}
        if self.differences or Result.DIFFER in results:
            return Result.DIFFER
        if self.missing or self.inconclusive or Result.INCONCLUSIVE in results or not results:
            return Result.INCONCLUSIVE
        return Result.AGREE

    def count(self, result: Result) -> int:
        """How many probes have this result."""
        return sum(comparison.result is result for comparison in self.comparisons)


@dataclass(slots=True)
class Verification:
    """Every run, and the machine it was made on.

    ``host`` names versions: kernel, iptables, netfw.
    """

    subject: str
    host: Mapping[str, str]
    runs: list[Run] = field(default_factory=list)

    @property
    def result(self) -> Result:
        """The worst result of all runs; without any run inconclusive."""
        return worst(run.result for run in self.runs)

    @property
    def exit_code(self) -> ExitCode:
        """0 where all agree, 1 where something differs, 4 where it is inconclusive."""
        return EXIT_CODES[self.result]
