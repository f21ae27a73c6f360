"""A verification for people: what was shown, a drawn path, and every contradiction."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TextIO

from netfw.ir.names import TableName
from netfw.ir.protocols import TCP
from netfw.report.drawing import draw, step_text, title
from netfw.report.glyphs import Glyphs, glyphs_for
from netfw.report.side_by_side import rows, rule_notes
from netfw.traverse.situation import Path
from netfw.verify.probe import Expected
from netfw.verify.result import Comparison, Result, Run, Verification

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN_PROBLEMS = 5
_STYLES = {Result.AGREE: "green", Result.DIFFER: "bold red", Result.INCONCLUSIVE: "yellow"}


class TerminalReport:
    """Prints a verification; ``colour`` is None for what the stream can do."""

    def __init__(self, stream: TextIO, *, colour: bool | None = None) -> None:
        from rich.console import Console

        self._glyphs: Glyphs = glyphs_for(stream)
        self._console: Console = Console(
            file=stream,
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=False,
            no_color=colour is False,
            force_terminal=True if colour else None,
        )

    def show(self, verification: Verification, *, verbose: bool = False) -> None:
        """The whole report, the result in its last line."""
        self._header(verification)
        if verbose:
            for run in verification.runs:
                self._every_step(run)
        self._paths(verification)
        self._runs(verification)
        self._refinements(verification)
        for run in verification.runs:
            self._problems(run)
        self._not_verified(verification)
        self._result(verification)

    def _line(self, text: str = "", style: str | None = None) -> None:
        self._console.print(text, style=style, overflow="fold", no_wrap=False)

    def _header(self, verification: Verification) -> None:
        facts = ", ".join(f"{name} {value}" for name, value in verification.host.items())
        self._line(f"netfw verify: {verification.subject}", "bold")
        self._line(facts, "dim")
        self._line()

    def _paths(self, verification: Verification) -> None:
        for comparison, run in _examples(verification):
            for line in draw(comparison, run, self._glyphs, self._console.width):
                self._line(line)
            self._line()

    def _runs(self, verification: Verification) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("run", overflow="fold")
        for name in ("backend", "family"):
            table.add_column(name)
        with_rules = any(run.reachable for run in verification.runs)
        for name in ("packets", "agree", "differ", "unsure", "seconds"):
            table.add_column(name, justify="right")
        if with_rules:
            table.add_column("rules", justify="right")
        for run in verification.runs:
            sign = {
                Result.AGREE: self._glyphs.good,
                Result.DIFFER: self._glyphs.bad,
                Result.INCONCLUSIVE: self._glyphs.unsure,
            }[run.result]
            table.add_row(
                f"{sign} {run.subject}",
                run.backend,
                str(run.family),
                str(len(run.comparisons)),
                *(str(run.count(result)) for result in Result),
                f"{run.times.total:.2f}",
                *((coverage_text(run),) if with_rules else ()),
                style=_STYLES[run.result],
            )
        self._console.print(table)
        self._line()

    def _refinements(self, verification: Verification) -> None:
        counts = Counter(
            (refinement.name, refinement.reason)
            for run in verification.runs
            for comparison in run.comparisons
            for refinement in comparison.documented.refinements
        )
        self._counted("Named refinements of the documented order that packets showed:", counts)
        of_kernel: Counter[tuple[str, str]] = Counter()
        for run in verification.runs:
            for refinement, count in run.kernel_refinements.items():
                of_kernel[refinement.name, refinement.reason] += count
        self._counted(
            "Named ways in which this kernel's trace differs from the newest:", of_kernel
        )

    def _counted(self, title: str, counts: Mapping[tuple[str, str], int]) -> None:
        if not counts:
            return
        self._line(title, "bold")
        for (name, reason), count in counts.items():
            line = f"  {count:>5} x {name}: {reason}"
            for wrapped in textwrap.wrap(line, self._console.width, subsequent_indent=" " * 10):
                self._line(wrapped)
        self._line()

    def _problems(self, run: Run) -> None:
        place = f"{run.subject}, {run.backend} {run.family}"
        for difference in run.differences[:_SHOWN_PROBLEMS]:
            self._line(f"{place}: {difference.problem}", _STYLES[Result.DIFFER])
        self._more(len(run.differences))
        for reason in run.inconclusive[:_SHOWN_PROBLEMS]:
            self._line(f"{place}: inconclusive: {reason}", _STYLES[Result.INCONCLUSIVE])
        self._more(len(run.inconclusive))
        bad = [c for c in run.comparisons if c.result is not Result.AGREE]
        for comparison in bad[:_SHOWN_PROBLEMS]:
            self._problem(comparison, run, place)
        self._more(len(bad))

    def _more(self, count: int) -> None:
        if count > _SHOWN_PROBLEMS:
            self._line(f"  and {count - _SHOWN_PROBLEMS} more")

    def _problem(self, comparison: Comparison, run: Run, place: str) -> None:
        from rich.table import Table

        self._line(f"{place}: {comparison.result.value}", _STYLES[comparison.result])
        self._line(f"  {title(comparison.probe)}")
        if comparison.probe.origin is not None:
            self._line(f"  for {comparison.probe.origin}")
        if comparison.reason:
            self._line(f"  {comparison.reason}")
        for difference in comparison.differences:
            self._line(f"  {difference.problem}")
        for note in rule_notes(comparison, run):
            self._line(f"  {note}")
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
        table.add_column("")
        for name in ("documented", "predicted", "observed"):
            table.add_column(name, overflow="fold")
        for row in rows(comparison):
            sign = self._glyphs.bad if row.differs else ""
            style = _STYLES[Result.DIFFER] if row.differs else None
            table.add_row(sign, row.documented, row.predicted, row.observed, style=style)
        self._console.print(table)
        self._line()

    def _not_verified(self, verification: Verification) -> None:
        for run in verification.runs:
            if run.missing:
                self._line(
                    f"not verified: {run.subject}, {run.backend} {run.family}: {run.missing}",
                    _STYLES[Result.INCONCLUSIVE],
                )
            elif run.unseen:
                self._unseen(run)
        for note in dict.fromkeys(note for run in verification.runs for note in run.not_verified):
            self._line(f"not verified: {note}", _STYLES[Result.INCONCLUSIVE])

    def _unseen(self, run: Run) -> None:
        """Rules that a packet can meet, by proof, but that no packet of this run has met."""
        for place in run.unseen[:_SHOWN_PROBLEMS]:
            table, chain, number = place
            self._line(
                f"not met by any packet: {run.backend} {run.family}: {table} {chain} "
                f"rule {number}: {run.texts.get(place, '')}",
                _STYLES[Result.INCONCLUSIVE],
            )
        self._more(len(run.unseen))

    def _result(self, verification: Verification) -> None:
        packets = sum(len(run.comparisons) for run in verification.runs)
        result = verification.result
        text = {
            Result.AGREE: "agree: documented order, prediction and kernel say the same of",
            Result.DIFFER: "differ: the witnesses contradict each other; of",
            Result.INCONCLUSIVE: "inconclusive: not everything could be shown; of",
        }[result]
        agreed = sum(run.count(Result.AGREE) for run in verification.runs)
        tail = (
            f"{packets} packets" if result is Result.AGREE else f"{packets} packets {agreed} agree"
        )
        unshown = len({note for run in verification.runs for note in run.not_verified})
        unshown += sum(len(run.unseen) for run in verification.runs if not run.missing)
        if unshown:
            tail += f"; {unshown} things could not be verified here, see above"
        self._line(f"{text} {tail}", _STYLES[result])

    def _every_step(self, run: Run) -> None:
        self._line(f"{run.subject}, {run.backend} {run.family}", "bold")
        for comparison in run.comparisons:
            self._line(f"{title(comparison.probe)}: {comparison.result.value}")
            observed = comparison.observed
            for step in observed.steps if observed is not None else ():
                mark = f"{step.mark_after:#x}"
                if step.mark_before != step.mark_after:
                    mark = f"{step.mark_before:#x} {self._glyphs.arrow} {mark}"
                self._line(f"    {step.table}.{step.hook}  {step_text(step, run)}  {mark}")
        self._line()


def coverage_text(run: Run) -> str:
    """Rules that the trace has shown, of those that any packet can meet."""
    if not run.reachable:
        return "-"
    met = len(run.reachable) - len(run.unseen)
    return f"{met}/{len(run.reachable)}"


def _examples(verification: Verification) -> Iterator[tuple[Comparison, Run]]:
    """One packet for each path: one that agrees and shows most."""
    for path in Path:
        best: tuple[int, Comparison, Run] | None = None
        for run in verification.runs:
            for comparison in run.comparisons:
                if comparison.probe.path is path and comparison.result is Result.AGREE:
                    score = _interest(comparison)
                    if best is None or score > best[0]:
                        best = (score, comparison, run)
        if best is not None:
            yield best[1], best[2]


def _interest(comparison: Comparison) -> int:
    """How much a packet's way has to show: a verdict, translation, changes of the mark."""
    steps = comparison.predicted.steps
    changes = sum(step.mark_before != step.mark_after for step in steps)
    translations = sum(step.table is TableName.NAT and step.rule > 0 for step in steps)
    tcp = comparison.probe.packet.protocol == TCP
    accepted = comparison.probe.expected is Expected.ACCEPTED
    return min(changes, 3) + 5 * translations + 3 * tcp + 10 * accepted
