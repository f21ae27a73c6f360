"""A mark is set in a nat chain, which sees only the first packet of a connection."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import asked_by, effects_on, program_of, set_by, shares_way
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import Ending, MarkUse, Word
from netfw.doctor.place import System
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing, Turn
from netfw.doctor.steering import rule_at
from netfw.doctor.symptoms import FirstOnly
from netfw.ir.match import ConntrackMatch, Match, StateMatch
from netfw.ir.match_connection import ConnectionState
from netfw.ir.target import Accept

CODE = "mark-in-nat"
TITLE = "a mark is set in a nat chain, and so on the first packet of each connection alone"
EXPLANATION = """\
Chains of nat are asked once for each connection, with its first packet; the later ones are
translated without any rule. A mark set there is missing on all of them. Where nothing in the
namespace uses conntrack, nat chains are not asked at all.

Set the mark in mangle (in nftables: a chain of type filter or route), or save it to the
connection mark and restore it in mangle PREROUTING. A mark that nat POSTROUTING alone asks for
may be set in nat: it is the same packet.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each writer in a nat chain whose bits matter for later packets."""
    for writer in state.kinds_of_writers(Word.PACKET):
        bits = set_by(writer, Word.PACKET)
        if not writer.is_first_only or not bits or _is_saved(state, bits):
            continue
        for reader in state.kinds_of_readers(Word.PACKET):
            if reader.is_first_only or not reader.shares_family(writer):
                continue
            # without its first packet there is no connection, and each packet is the first
            if reader.ending is Ending.DROPPED or _lets_others_pass(state, reader):
                continue
            if asked_by(reader, Word.PACKET) & bits and shares_way(writer, reader):
                yield _finding(writer, reader, bits)
                break


def _is_saved(state: HostState, bits: int) -> bool:
    return any(
        effect.mixed & bits
        for use in state.kinds_of_writers(Word.CONNECTION)
        for effect in effects_on(use, Word.CONNECTION)
    )


def _lets_others_pass(state: HostState, reader: MarkUse) -> bool:
    """Whether a rule that accepts by the mark stands beside one that accepts all of a connection.

    Only the first packet needs the mark then, as with kube-proxy's KUBE-FORWARD.
    """
    spot = reader.spot
    if reader.ending is not Ending.ACCEPTED:
        return False
    for held in state.rules:
        if held.family is not spot.family or System.of_backend(held.backend) is not spot.system:
            continue
        for table in held.ruleset.tables:
            if table.name.value == spot.table and any(
                isinstance(rule.target, Accept) and any(map(_is_established, rule.matches))
                for chain in table.chains
                for rule in chain.rules
            ):
                return True
    return spot.system is System.NFTABLES and any(
        "established" in rule.text and "accept" in rule.text
        for table in state.tables
        if f"{table.family} {table.name}" == spot.table
        for chain in table.chains
        for rule in chain.rules
    )


def _is_established(match: Match) -> bool:
    return (
        isinstance(match, StateMatch | ConntrackMatch)
        and ConnectionState.ESTABLISHED in match.states
        and not match.negate
    )


def _finding(writer: MarkUse, reader: MarkUse, bits: int) -> Finding:
    spot = writer.spot
    fix = (
        f"move the rule to a chain of type filter at the same hook, priority mangle: {spot.text}"
        if spot.system is System.NFTABLES
        else f"{program_of(spot)} -t nat -D {spot.chain} {spot.number}; "
        f"{program_of(spot)} -t mangle {spot.text}"
    )
    return Finding(
        CODE,
        Severity.ERROR,
        f"{spot} sets packet mark {bits:#x} in a nat chain, and {reader.spot} asks for it with "
        "every packet",
        (spot, reader.spot),
        "only the first packet of each connection has the mark; the others go another way, or are "
        "treated as unmarked",
        (fix,),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """Two packets of one connection."""
    spot, reader = finding.evidence
    writer = state.use_at(spot)
    if writer is None:
        return NoProbing("its rule is not there any more")
    wanted = Wanted((spot, reader), rule_at(state, reader))
    bits = set_by(writer, Word.PACKET)
    return Probing(conversations(state, wanted, Turn.AGAIN), FirstOnly(spot, bits))
