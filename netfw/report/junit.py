"""A verification as a JUnit file, for CI servers.

A difference is a failure; what is inconclusive, or could not run here, is an error: never a
skip, which many servers count as well.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from netfw.report.drawing import title
from netfw.report.side_by_side import rows, rule_notes
from netfw.verify.result import Comparison, Result, Run, Verification

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(verification: Verification) -> str:
    """The XML document; one suite for each run, one case for each probe."""
    root = ElementTree.Element("testsuites", name=_clean(f"netfw verify {verification.subject}"))
    for run in verification.runs:
        root.append(_suite(run))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _suite(run: Run) -> ElementTree.Element:
    name = f"{run.subject} {run.backend} {run.family}"
    suite = ElementTree.Element("testsuite", name=_clean(name))
    for comparison in run.comparisons:
        suite.append(_case(comparison, run, name))
    failures = run.count(Result.DIFFER)
    errors = run.count(Result.INCONCLUSIVE)
    tests = len(run.comparisons)
    for problem in (difference.problem for difference in run.differences):
        suite.append(_whole(name, "failure", problem))
        failures, tests = failures + 1, tests + 1
    reasons = list(run.inconclusive)
    if run.missing:
        reasons.append(f"not verified: {run.missing}")
    if not run.comparisons and not reasons:
        reasons.append("no packet was sent")
    for reason in reasons:
        suite.append(_whole(name, "error", reason))
        errors, tests = errors + 1, tests + 1
    suite.set("tests", str(tests))
    suite.set("failures", str(failures))
    suite.set("errors", str(errors))
    suite.set("skipped", "0")
    suite.set("time", f"{run.times.total:.3f}")
    return suite


def _whole(suite: str, kind: str, message: str) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname=_clean(suite), name="the run as a whole", time="0"
    )
    ElementTree.SubElement(case, kind, message=_clean(message), type=kind)
    return case


def _case(comparison: Comparison, run: Run, suite: str) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname=_clean(suite), name=_clean(title(comparison.probe)), time="0"
    )
    if comparison.result is Result.AGREE:
        return case
    differs = comparison.result is Result.DIFFER
    kind = "failure" if differs else "error"
    problems = [difference.problem for difference in comparison.differences]
    message = problems[0] if differs and problems else comparison.reason
    child = ElementTree.SubElement(case, kind, message=_clean(message), type=kind)
    lines = [*problems, *rule_notes(comparison, run)]
    lines += [
        f"{'!' if row.differs else ' '} {row.documented} | {row.predicted} | {row.observed}"
        for row in rows(comparison)
    ]
    child.text = _clean("\n".join(lines))
    return case


def _clean(text: str) -> str:
    """XML 1.0 has no control characters but tab and line ends."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
