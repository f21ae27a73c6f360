"""Programs of eBPF see packets before rules ask for their mark."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, asked_by, goes_from, wiped_between
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import System
from netfw.doctor.probing import NoProbing

CODE = "bpf-may-mark"
TITLE = "an eBPF program sees packets before a rule asks for their mark"
EXPLANATION = """\
A program of eBPF at an interface (tc, tcx, netkit) or at a cgroup that sees new sockets may give
packets any mark, or take it off; what it does cannot be read from outside. Rules that ask for a
mark behind it may be answered by it, and a mark that appears without a rule may be its work.

Look at it with 'bpftool net' and 'bpftool cgroup tree'; clear the bits that you use where packets
come in, if nobody else is to set them. 'netfw trace' shows a mark that changes without a rule.
"""
_ONLY_LOOK = frozenset({"ingress packets", "egress packets"})
"""Programs at cgroups that filter packets: systemd has them on every host."""
_SHOWN = 4


def find(state: HostState) -> Iterator[Finding]:
    """One finding with all programs before a reader, and that reader."""
    between: list[MarkUse] = []
    first = None
    for program in state.uses:
        if not _is_program(program):
            continue
        reader = _reader(state, program)
        if reader is not None:
            between.append(program)
            first = first or reader
    if first is not None:
        yield _finding(between, first)


def _is_program(use: MarkUse) -> bool:
    if use.spot.system is System.TC:
        return any("eBPF" in effect.why for effect in use.effects)
    return use.spot.system is System.BPF and use.spot.text not in _ONLY_LOOK


def _reader(state: HostState, program: MarkUse) -> MarkUse | None:
    """Whoever asks for bits that nobody clears between."""
    for reader in state.kinds_of_readers(Word.PACKET):
        bits = asked_by(reader, Word.PACKET)
        if not bits or reader.spot.system not in (*RULES, System.ROUTING):
            continue
        if goes_from(program, reader) and not wiped_between(
            state, program, reader, bits, Word.PACKET
        ):
            return reader
    return None


def _finding(programs: list[MarkUse], reader: MarkUse) -> Finding:
    names = ", ".join(str(use.spot) for use in programs[:_SHOWN])
    more = f" and {len(programs) - _SHOWN} more" if len(programs) > _SHOWN else ""
    many = len(programs) > 1
    return Finding(
        CODE,
        Severity.WARNING,
        f"{len(programs)} eBPF program{'s' if many else ''} ({names}{more}) may give packets any "
        f"mark, and {reader.spot} asks for {asked_by(reader, Word.PACKET):#x} behind that",
        (*(use.spot for use in programs), reader.spot),
        "what becomes of a packet there may depend on the program, which no rule shows",
        (
            "bpftool net; bpftool cgroup tree (what the programs are)",
            "clear the bits at the entry if nobody else may set them: "
            f"iptables -t raw -I PREROUTING -j MARK --set-xmark "
            f"0x0/{asked_by(reader, Word.PACKET):#x}",
        ),
    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("programs of eBPF are not copied into a twin")
