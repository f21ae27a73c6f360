"""What is printed of a rehearsal."""

from __future__ import annotations

import json

from netfw.apply.rehearsal import Rehearsal, Topic
from netfw.errors import ExitCode, Where
from netfw.ir.origin import Origin
from netfw.report.glyphs import ASCII, UNICODE
from netfw.report.rehearsal import rehearsal_json, rehearsal_lines
from netfw.verify.result import Result


def found() -> Rehearsal:
    rehearsal = Rehearsal("policy.yaml", "nft", lacking=("tunnel wg0",))
    rehearsal.add(Topic.CHANGE, "4 steps, taken and read back", Result.AGREE)
    rehearsal.add(Topic.CONNECTION, "a new connection", Result.DIFFER, "nobody answers")
    origin = Origin(Where("policy.yaml", 9, 5), "assert/denied-1")
    rehearsal.add(Topic.ASSERTION, "tcp to port 22", Result.AGREE, origin=origin)
    for number in range(8):
        reason = "the twin lacks tunnel wg0"
        rehearsal.add(Topic.PACKET, f"packet {number}", Result.INCONCLUSIVE, reason)
    return rehearsal


def test_problems_are_shown_by_topic_and_a_few_of_each():
    assert list(rehearsal_lines(found(), UNICODE)) == [
        "policy.yaml, rehearsed with nft in a twin of this host",
        "  the twin lacks: tunnel wg0",
        "✓ the change itself: 1 of 1 as they should be",
        "· what others have: others have no rules here",
        "✗ your connection: 0 of 1 as they should be",
        "  ✗ a new connection",
        "      nobody answers",
        "✓ assertions: 1 of 1 as they should be",
        "? packets: 0 of 8 as they should be",
        *(
            line
            for number in range(5)
            for line in (f"  ? packet {number}", "      the twin lacks tunnel wg0")
        ),
        "    and 3 more (-v shows all)",
        "",
        "✗ this change would lock you out",
        "",
        "✗ differ: on this host the change does not do what it should (0.0 s)",
    ]


def test_verbose_shows_every_check_with_its_place():
    lines = list(rehearsal_lines(found(), ASCII, verbose=True))
    assert "  ok policy.yaml:9:5: tcp to port 22" in lines
    assert sum("packet " in line for line in lines) == 8


def test_json_has_every_check():
    data = json.loads(rehearsal_json(found()))
    assert data["result"] == "differ"
    assert data["cuts_connection"] is True
    assert [check["topic"] for check in data["checks"]].count("packet") == 8
    assert data["checks"][2]["origin"]["line"] == 9


def test_the_worst_check_is_the_result():
    rehearsal = Rehearsal("policy.yaml", "nft")
    assert rehearsal.result is Result.INCONCLUSIVE
    rehearsal.add(Topic.CHANGE, "the steps", Result.AGREE)
    assert rehearsal.exit_code == ExitCode.OK
    rehearsal.add(Topic.PACKET, "a packet", Result.INCONCLUSIVE)
    assert rehearsal.exit_code == ExitCode.HOST
    rehearsal.add(Topic.FOREIGN, "a table", Result.DIFFER)
    assert rehearsal.exit_code == ExitCode.DIFFERENCES
    assert not rehearsal.cuts_connection
