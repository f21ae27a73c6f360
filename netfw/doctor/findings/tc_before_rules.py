"""tc asks for a mark where packets come in, before any rule has set it."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, asked_by, given_by
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import Stage, System
from netfw.doctor.probing import NoProbing

CODE = "tc-before-rules"
TITLE = "tc classifies what comes in by a mark that rules set later"
EXPLANATION = """\
The ingress side of tc, and an ifb device that it feeds, see a packet before netfilter does: no
rule has marked it yet. A filter by mark there, and 'cake fwmark', put every packet into the same
class.

Take the mark from the connection: 'action connmark' (or 'action ctinfo cpmark MASK') at ingress,
before the filter or the redirection to the ifb, and save the mark with CONNMARK where packets
leave.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each such reader, where rules set the bits and nothing at ingress restores them."""
    fed = {link.name for link in state.links if link.kind == "ifb"}
    for reader in state.uses:
        if reader.spot.system is not System.TC:
            continue
        device = reader.spot.table
        is_early = any(where.stage is Stage.INGRESS for where in reader.passages)
        bits = asked_by(reader, Word.PACKET) or reader.read(Word.PACKET)
        if not bits or not (is_early or device in fed):
            continue
        if _is_given_there(state, reader, bits, anywhere=device in fed):
            continue
        writer = next(
            (
                use
                for use in state.kinds_of_writers(Word.PACKET)
                if use.spot.system in RULES and given_by(use, Word.PACKET) & bits
            ),
            None,
        )
        if writer is not None:
            yield _finding(reader, writer, bits)


def _is_given_there(state: HostState, reader: MarkUse, bits: int, *, anywhere: bool) -> bool:
    """Whether tc itself gives packets the bits on the way in, on this device or, for an ifb, on
    any (which one feeds it is not read)."""
    return any(
        use is not reader
        and use.spot.system in (System.TC, System.BPF)
        and any(where.stage is Stage.INGRESS for where in use.passages)
        and given_by(use, Word.PACKET) & bits
        and (anywhere or use.spot.system is System.BPF or use.spot.table == reader.spot.table)
        for use in state.writers(Word.PACKET)
    )


def _finding(reader: MarkUse, writer: MarkUse, bits: int) -> Finding:
    device = reader.spot.table
    return Finding(
        CODE,
        Severity.WARNING,
        f"{reader.spot} asks for mark bits {bits:#x} of what comes in, and {writer.spot} sets "
        "them later: tc comes before netfilter there",
        (reader.spot, writer.spot),
        "packets have no mark yet, and all go into the same class",
        (
            f"tc filter add dev {device} ingress matchall action connmark (before the filter, on "
            "the device by which packets come in)",
            f"iptables -t mangle -A POSTROUTING -j CONNMARK --save-mark --mask {bits:#x}",
        ),
    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("filters of tc are not copied into a twin")
