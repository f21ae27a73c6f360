"""A verification as JSON. ``schema`` counts up when a key changes its meaning or goes away."""

from __future__ import annotations

import json
from typing import Any

from netfw.traverse.traversal import Step, Traversal
from netfw.verify.result import Comparison, Result, Run, Verification

SCHEMA = 1


def render_json(verification: Verification) -> str:
    """The whole verification, every step of every probe; marks are hex strings."""
    return json.dumps(verification_data(verification), indent=1) + "\n"


def verification_data(verification: Verification) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "schema": SCHEMA,
        "subject": verification.subject,
        "host": dict(verification.host),
        "result": verification.result.value,
        "exit_code": int(verification.exit_code),
        "runs": [_run(run) for run in verification.runs],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "subject": run.subject,
        "backend": run.backend,
        "family": run.family.value,
        "mark_field": None if run.mark_field is None else f"{run.mark_field.mask:#x}",
        "result": run.result.value,
        "counts": {result.value: run.count(result) for result in Result},
        "missing": run.missing,
        "differences": [difference.problem for difference in run.differences],
        "inconclusive": list(run.inconclusive),
        "not_verified": list(run.not_verified),
        "trace_events": run.events,
        "kernel_refinements": {
            refinement.name: count for refinement, count in run.kernel_refinements.items()
        },
        "rules": {
            "reachable": len(run.reachable),
            "met": len(run.reachable) - len(run.unseen),
            "not_met": [
                {"table": table, "chain": chain, "rule": number}
                for table, chain, number in run.unseen
            ],
        },
        "seconds": {
            part: round(getattr(run.times, part), 6) for part in type(run.times).__slots__
        },
        "probes": [_comparison(comparison, run) for comparison in run.comparisons],
    }


def _comparison(comparison: Comparison, run: Run) -> dict[str, Any]:
    probe = comparison.probe
    return {
        "number": probe.number,
        "group": probe.group,
        "packet": probe.what,
        "path": probe.path.value,
        "phase": probe.phase.value,
        "expected": None if probe.expected is None else probe.expected.value,
        "origin": None if probe.origin is None else str(probe.origin),
        "result": comparison.result.value,
        "reason": comparison.reason,
        "differences": [
            {"problem": difference.problem, "step": difference.step}
            for difference in comparison.differences
        ],
        "documented": [str(station) for station in comparison.documented.stations],
        "refinements": [refinement.name for refinement in comparison.documented.refinements],
        "predicted": _traversal(comparison.predicted, run),
        "observed": (
            None if comparison.observed is None else _traversal(comparison.observed, run)
        ),
    }


def _traversal(traversal: Traversal, run: Run) -> dict[str, Any]:
    return {
        "end": traversal.end.value,
        "detail": traversal.detail,
        "mark": f"{traversal.mark:#x}",
        "steps": [_step(step, run) for step in traversal.steps],
    }


def _step(step: Step, run: Run) -> dict[str, Any]:
    origin = run.origins.get((step.table.value, step.chain, step.rule))
    return {
        "hook": step.hook.value,
        "table": step.table.value,
        "chain": step.chain,
        "rule": step.rule or None,
        "outcome": step.outcome.value,
        "mark_before": f"{step.mark_before:#x}",
        "mark_after": f"{step.mark_after:#x}",
        "origin": None if origin is None else str(origin),
    }
