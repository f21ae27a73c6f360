"""Reports of a verification, from data made for the purpose."""

import io
import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from netfw.errors import ExitCode, Where
from netfw.ir.mark_field import MarkField
from netfw.ir.names import Backend, Family
from netfw.ir.origin import Origin
from netfw.report.json_report import render_json
from netfw.report.junit import render_junit
from netfw.report.terminal import TerminalReport
from netfw.traverse.documented import documented_way
from netfw.traverse.situation import Situation
from netfw.traverse.traversal import End, Outcome, Traversal
from netfw.traverse.walk import Walker, loaded_stations
from netfw.verify.compare import compare
from netfw.verify.order_probes import order_layout, order_probes, order_ruleset
from netfw.verify.probe import Probe
from netfw.verify.result import Comparison, Difference, Result, Run, Verification

ORIGIN = Origin(Where("policy.yaml", 8, 9), "public/allow-ssh")


def walked() -> list[tuple[Probe, Comparison]]:
    """Every scenario of the documented order, with the prediction as what was observed."""
    layout = order_layout()
    ruleset = order_ruleset(Family.IPV4, conntrack=True)
    walker = Walker(ruleset, layout.facts())
    found = []
    for probe in order_probes(Family.IPV4, layout, conntrack=True):
        predicted = walker.walk(probe.packet)
        situation = Situation(Family.IPV4, probe.path, probe.phase, True, loaded_stations(ruleset))
        documented = documented_way(situation)
        found.append((probe, compare(probe, documented, predicted, predicted)))
    return found


def a_run(*comparisons: Comparison) -> Run:
    run = Run("policy.yaml", Backend.NFT.value, Family.IPV4, MarkField())
    run.comparisons = list(comparisons) or [comparison for _, comparison in walked()]
    step = run.comparisons[0].predicted.steps[0]
    place = (step.table.value, step.chain, step.rule)
    run.texts[place] = "-p tcp -m tcp --dport 22 -j MARK --set-xmark 0x30000/0x30000"
    run.origins[place] = ORIGIN
    return run


def differing() -> Comparison:
    probe, comparison = walked()[0]
    steps = list(comparison.predicted.steps)
    steps[0] = steps[0]._replace(mark_after=0x99)
    observed = replace(comparison.predicted, steps=tuple(steps))
    return compare(
        replace(probe, origin=ORIGIN), comparison.documented, comparison.predicted, observed
    )


def dropped() -> Comparison:
    probe, comparison = walked()[0]
    steps = comparison.predicted.steps[:3]
    cut = (*steps[:-1], steps[-1]._replace(outcome=Outcome.DROP))
    observed = Traversal(cut, End.DROPPED, "", cut[-1].mark_after)
    return compare(probe, comparison.documented, comparison.predicted, observed)


def unseen() -> Comparison:
    probe, comparison = walked()[0]
    return compare(probe, comparison.documented, comparison.predicted, None)


def verification(*runs: Run) -> Verification:
    return Verification("policy.yaml", {"netfw": "0", "kernel": "6.18"}, list(runs))


def report(found: Verification, *, verbose: bool = False, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    TerminalReport(stream, colour=False).show(found, verbose=verbose)
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_where_all_agree_the_last_line_says_so() -> None:
    text = report(verification(a_run()))
    assert text.splitlines()[-1].startswith("agree: documented order, prediction and kernel")
    assert "nat-first-packet-only: nat skipped: not the first packet of its" in text


def test_one_packet_of_each_path_is_drawn_with_its_marks() -> None:
    text = report(verification(a_run()))
    for path in ("forwarded", "to this host", "from this host", "from this host to itself"):
        assert f"{path} · " in text
    assert "├─ routing" in text
    assert "0x0 → 0x1  public/allow-ssh" in text


def test_a_difference_is_shown_side_by_side_with_its_rule_and_origin() -> None:
    text = report(verification(a_run(differing())))
    assert "mark after the step: predicted 0x1, observed 0x99" in text
    assert "documented" in text
    assert "predicted" in text
    assert "observed" in text
    assert "-p tcp -m tcp --dport 22" in text
    assert "from policy.yaml:8:9 public/allow-ssh" in text
    assert text.splitlines()[-1].startswith("differ: ")


def test_only_some_of_many_differences_are_shown_and_the_rest_is_counted() -> None:
    text = report(verification(a_run(*[differing()] * 9)))
    assert text.count("mark after the step") == 5
    assert "and 4 more" in text


def test_what_was_never_seen_is_inconclusive_with_its_reason() -> None:
    text = report(verification(a_run(unseen())))
    assert "the trace never showed this packet" in text
    assert text.splitlines()[-1].startswith("inconclusive: ")


def test_a_missing_capability_is_named_and_is_no_pass() -> None:
    run = Run("policy.yaml", "legacy", Family.IPV6, missing="ip6tables: not installed")
    found = verification(a_run(), run)
    assert found.exit_code is ExitCode.HOST
    assert "not verified: policy.yaml, legacy IPv6: ip6tables: not installed" in report(found)


@pytest.mark.parametrize(
    ("runs", "result", "code"),
    [
        ([], Result.INCONCLUSIVE, ExitCode.HOST),
        ([a_run()], Result.AGREE, ExitCode.OK),
        ([a_run(), a_run(unseen())], Result.INCONCLUSIVE, ExitCode.HOST),
        ([a_run(unseen()), a_run(differing())], Result.DIFFER, ExitCode.DIFFERENCES),
        ([a_run(dropped())], Result.DIFFER, ExitCode.DIFFERENCES),
    ],
)
def test_the_worst_run_decides(runs: list[Run], result: Result, code: ExitCode) -> None:
    found = verification(*runs)
    assert (found.result, found.exit_code) == (result, code)


def test_a_run_whose_rules_were_not_read_back_differs_although_all_packets_agree() -> None:
    run = a_run()
    run.differences.append(Difference("rules read back from the kernel: -A FORWARD -j DROP"))
    assert verification(run).result is Result.DIFFER
    assert "-A FORWARD -j DROP" in report(verification(run))


def test_lost_events_make_a_run_inconclusive_although_all_packets_agree() -> None:
    run = a_run()
    run.inconclusive.append("3 trace events are missing")
    assert verification(run).result is Result.INCONCLUSIVE


def test_the_verbose_report_has_every_step_of_every_packet() -> None:
    run = a_run()
    text = report(verification(run), verbose=True)
    steps = sum(len(comparison.predicted.steps) for comparison in run.comparisons)
    assert sum(line.startswith("    ") and "." in line for line in text.splitlines()) >= steps


def test_a_terminal_without_unicode_gets_ascii() -> None:
    text = report(verification(a_run(), a_run(differing()), a_run(unseen())), encoding="ascii")
    assert "0x0 -> 0x1" in text


def test_json_holds_every_step_with_marks_in_hex() -> None:
    data = json.loads(render_json(verification(a_run(), a_run(differing()))))
    assert data["result"] == "differ"
    assert data["exit_code"] == 1
    first = data["runs"][0]["probes"][0]
    assert first["observed"]["steps"][0]["mark_after"] == "0x1"
    assert first["observed"]["steps"][0]["origin"] == str(ORIGIN)
    assert data["runs"][1]["counts"] == {"agree": 0, "differ": 1, "inconclusive": 0}


def test_junit_has_failures_and_errors_and_never_a_skip() -> None:
    missing = Run("policy.yaml", "legacy", Family.IPV6, missing="no such backend")
    found = verification(a_run(), a_run(differing(), unseen()), missing)
    root = ElementTree.fromstring(render_junit(found))
    suites = root.findall("testsuite")
    assert [suite.get("failures") for suite in suites] == ["0", "1", "0"]
    assert [suite.get("errors") for suite in suites] == ["0", "1", "1"]
    assert {suite.get("skipped") for suite in suites} == {"0"}
    for suite in suites:
        cases = suite.findall("testcase")
        assert suite.get("tests") == str(len(cases))
    failure = root.find(".//failure")
    assert failure is not None
    assert "mark after the step" in (failure.get("message") or "")


def test_junit_has_no_control_characters() -> None:
    probe, comparison = walked()[0]
    nasty = replace(comparison, probe=replace(probe, what="a\x00b\x1b[31m"))
    root = ElementTree.fromstring(render_junit(verification(a_run(nasty))))
    names = [case.get("name") or "" for case in root.iter("testcase")]
    assert any("a\N{REPLACEMENT CHARACTER}b" in name for name in names)
