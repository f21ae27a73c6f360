"""A program behind NFQUEUE may replace the mark between its writer and its reader."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import asked_by, goes_from, set_by
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import Ending, Word
from netfw.doctor.probing import NoProbing

CODE = "queue-may-wipe"
TITLE = "a program behind NFQUEUE sits between a mark's writer and its reader"
EXPLANATION = """\
A program that reads a queue of NFQUEUE sends a verdict for each packet, and with it a mark if it
likes: that replaces all 32 bits. Programs that send their own number or 0 wipe what rules before
have set (OpenSnitch and Portmaster did). Nothing in the rules shows it.

Set the mark behind the queue, in a later chain, or have the program send verdicts without a
mark.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each queueing rule between a writer of some bits and a reader of them."""
    writers = state.kinds_of_writers(Word.PACKET)
    for queue in state.uses:
        if queue.ending is not Ending.QUEUED:
            continue
        pairs = (
            (writer, reader)
            for writer in writers
            if writer is not queue and set_by(writer, Word.PACKET) and goes_from(writer, queue)
            for reader in state.kinds_of_readers(Word.PACKET)
            if asked_by(reader, Word.PACKET) & set_by(writer, Word.PACKET)
            and goes_from(queue, reader)
        )
        found = next(pairs, None)
        if found is None:
            continue
        writer, reader = found
        bits = asked_by(reader, Word.PACKET) & set_by(writer, Word.PACKET)
        owners = ", ".join(sorted({one.owner for one in state.queues if one.owner}))
        yield Finding(
            CODE,
            Severity.WARNING,
            f"{queue.spot} gives packets to a program ({owners or 'none reads the queue now'}), "
            f"behind {writer.spot}, which sets {bits:#x}, and before {reader.spot}, which asks "
            "for it",
            (queue.spot, writer.spot, reader.spot),
            "if the program's verdicts carry a mark, it replaces all 32 bits",
            ("set the mark in a chain behind the queue, or configure the program not to mark",),
        )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("the program that reads the queue, and sets the mark, is not in a twin")
