"""What comes out of guests, and one clear line where there can be none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netfw.traverse.kernel_refinements import NFT_RETURN_EVENTS
from tests.vm import machine
from tests.vm.findings import Findings, read_findings
from tests.vm.kernel import Kernel
from tests.vm.table import markdown
from tests.vm.unavailable import Unavailable

ENVIRONMENT = b'{"kernel": "6.1.0-1-cloud-amd64", "iptables": "iptables v1.8.9 (nf_tables)"}'


def verification(**changes: object) -> bytes:
    """A report of ``netfw verify --json`` with one run and one probe."""
    probe = {"packet": "tcp syn", "refinements": [], "differences": [], "result": "agree"}
    run = {
        "subject": "order",
        "backend": "nft",
        "family": 4,
        "counts": {"agree": 1, "differ": 0, "inconclusive": 0},
        "probes": [probe],
        "kernel_refinements": {NFT_RETURN_EVENTS.name: 7},
        "missing": "",
        "differences": [],
        "inconclusive": [],
    }
    return json.dumps({"runs": [{**run, **changes}]}).encode()


def test_packets_that_agree_and_refinements_stand_in_the_table():
    found = read_findings(
        {"environment.json": ENVIRONMENT, "order.json": verification()}, ["order.json"]
    )
    assert found.status == 0
    row = markdown([found]).splitlines()[-1]
    assert row.startswith("| 6.1.0-1-cloud-amd64 | 1.8.9 | 1/1 | 0/0 |")
    assert "nft-return-events (7)" in row
    assert row.endswith("| agree |")


def test_a_report_that_did_not_come_out_is_no_pass():
    found = read_findings({"environment.json": ENVIRONMENT}, ["order.json"])
    assert found.problems == ["order.json: no such report came out of the guest"]
    assert found.status == 1


def test_a_difference_is_a_problem_and_what_nobody_can_say_is_no_pass_either():
    def found(**changes: object) -> Findings:
        files = {"environment.json": ENVIRONMENT, "order.json": verification(**changes)}
        return read_findings(files, ["order.json"])

    differs = found(differences=["a rule is missing"])
    assert (differs.problems, differs.unknown) == (["order nft 4: a rule is missing"], [])
    assert (differs.status, differs.verdict) == (1, "1 problem")
    for changes in ({"missing": "events were lost"}, {"inconclusive": ["events were lost"]}):
        open_question = found(**changes)
        assert (open_question.problems, open_question.unknown) == (
            [],
            ["order nft 4: events were lost"],
        )
        assert (open_question.status, open_question.verdict) == (4, "1 inconclusive")
    probe = {"packet": "tcp syn", "refinements": [], "differences": []}
    unclear = found(probes=[{**probe, "result": "inconclusive", "reason": "no event came"}])
    assert (unclear.problems, unclear.unknown) == ([], ["order nft 4: tcp syn: no event came"])
    both = found(differences=["a rule is missing"], inconclusive=["events were lost"])
    assert (both.status, both.verdict) == (1, "1 problem, 1 inconclusive")
    assert (Findings().status, Findings().verdict) == (4, "nothing was run")


def test_tests_that_failed_were_skipped_or_never_ran_are_told_apart():
    xml = b"""<testsuites><testsuite><testcase classname="tests.kernel.test_a" name="one"/>
    <testcase classname="tests.kernel.test_a" name="two">
    <failure message="assert 1 == 2"/></testcase>
    <testcase classname="tests.kernel.test_a" name="three"><skipped message="no tc"/></testcase>
    </testsuite></testsuites>"""
    found = read_findings({"environment.json": ENVIRONMENT, "t.xml": xml}, ["t.xml"])
    assert found.problems == ["test_a::two: assert 1 == 2"]
    assert dict(found.tests) == {"passed": 1, "failed": 1, "skipped": 1}
    assert dict(found.skipped) == {"no tc": 1}
    none = read_findings({"t.xml": b"<testsuites/>"}, ["t.xml"])
    assert none.problems == ["no test was run"]


def test_without_an_emulator_one_line_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "QEMU", "qemu-that-nobody-has")
    assert machine.missing_program() == (
        "no qemu-that-nobody-has on this machine (the package qemu-system-x86)"
    )


def test_an_accelerator_that_does_not_exist_is_refused(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("NETFW_VM_ACCELERATOR", "warp")
    kernel = Kernel("6.1", "test-of-accelerators", Path("v"), Path("m"))
    with pytest.raises(Unavailable, match="NETFW_VM_ACCELERATOR=warp: it is kvm, tcg or auto"):
        machine.choose_accelerator(kernel)
