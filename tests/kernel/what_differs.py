"""Why a run of a verification does not agree, for a test that fails."""

from __future__ import annotations

from netfw.verify.result import Result, Run


def what_differs(run: Run) -> str:
    """The differences of the run, and every packet that differs or is inconclusive, whole."""
    lines = [*map(str, run.differences), *run.inconclusive, run.missing]
    lines += (str(one) for one in run.comparisons if one.result is not Result.AGREE)
    return "\n".join(line for line in lines if line)
