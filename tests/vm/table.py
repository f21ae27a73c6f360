"""Results by kernel as a table of Markdown, for the terminal and for ``netfw/docs/kernels.md``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netfw.traverse.kernel_refinements import KERNEL_REFINEMENTS
from tests.vm.findings import Findings

_COLUMNS = ("nft 4", "nft 6", "legacy 4", "legacy 6")


def markdown(found: Sequence[Findings]) -> str:
    """A row for each kernel: packets that agree of all that were sent, by backend and family, then
    tests, then the ways in which its trace differs from the newest kernel's, by name."""
    rows: list[Sequence[str]] = [
        ("kernel", "iptables", *_COLUMNS, "tests", "skipped", "refinements", "result")
    ]
    rows.append(["---"] * len(rows[0]))
    names = [refinement.name for refinement in KERNEL_REFINEMENTS]
    for one in found:
        shown = [f"{name} ({one.refinements[name]})" for name in names if one.refinements[name]]
        rows.append(
            (
                one.kernel or "?",
                one.iptables or "?",
                *(_counts(one, column) for column in _COLUMNS),
                _tests(one),
                str(one.tests["skipped"]),
                ", ".join(shown) or "-",
                one.verdict,
            )
        )
    return "\n".join(_line(row) for row in rows) + "\n"


def _tests(one: Findings) -> str:
    if not one.tests:
        return "not run"
    return f"{one.tests['passed']}/{one.tests.total() - one.tests['skipped']}"


def _counts(one: Findings, column: str) -> str:
    backend, _, family = column.partition(" ")
    good, every = one.verified(backend, family)
    return f"{good}/{every}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
