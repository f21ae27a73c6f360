"""When everything that packets do has been seen, on however busy a machine."""

from __future__ import annotations

from pathlib import Path

from netfw.host.backlog import Backlog
from netfw.ir.names import Hook, TableName
from netfw.traverse.traversal import End, Outcome, Step, Traversal
from netfw.verify.observe import has_shown

BEFORE = Step(Hook.INPUT, TableName.FILTER, "INPUT", 1, Outcome.JUMP, 0, 0)
LOG = Step(Hook.INPUT, TableName.FILTER, "OURS", 1, Outcome.CONTINUE, 0, 0)
DROP = Step(Hook.INPUT, TableName.FILTER, "OURS", 2, Outcome.DROP, 0, 0)


def test_a_packet_that_was_logged_is_over_only_with_its_last_step():
    """Its log line may come or not; two steps of three are not the end where it has come."""
    predicted = Traversal((BEFORE, LOG, DROP), End.DROPPED, "", 0, optional=frozenset({1}))
    assert not has_shown([BEFORE], predicted)
    assert not has_shown([BEFORE, LOG], predicted)
    assert has_shown([BEFORE, LOG, DROP], predicted)
    assert has_shown([BEFORE, DROP], predicted)


def test_what_cannot_be_foretold_is_over_when_all_that_was_foretold_has_come():
    predicted = Traversal((BEFORE,), End.UNDECIDED, "a program decides", 0)
    assert not has_shown([], predicted)
    assert has_shown([BEFORE, DROP], predicted)


def line(dropped: int, waiting: int | None) -> str:
    """A processor's line of /proc/net/softnet_stat; older kernels end before what is waiting."""
    words = ["000001f0", f"{dropped:08x}", *["00000000"] * 9]
    words += [] if waiting is None else [f"{waiting:08x}", "00000000"]
    return " ".join(words) + "\n"


def test_packets_wait_in_the_queues_of_all_processors(tmp_path: Path):
    file = tmp_path / "softnet_stat"
    file.write_text(line(3, 0x10) + line(0, 2))
    backlog = Backlog(file)
    assert backlog.waiting == 18
    file.write_text(line(3, None) + line(0, None))
    assert backlog.waiting == 0


def test_only_what_is_dropped_from_now_on_is_lost(tmp_path: Path):
    file = tmp_path / "softnet_stat"
    file.write_text(line(3, 0) + line(0xFFFFFFFF, 0))
    backlog = Backlog(file)
    assert backlog.lost == ""
    file.write_text(line(5, 0) + line(1, 0))
    assert "dropped 4 packets" in backlog.lost
