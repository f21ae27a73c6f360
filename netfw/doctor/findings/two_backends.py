"""Both iptables of a host hold rules, and one of them writes marks unseen by the other."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import Spot, System
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.symptoms import LegacyWrote
from netfw.ir.names import Backend, Family

CODE = "two-backends"
TITLE = "iptables-legacy and nft rules are loaded at once, and legacy rules write marks"
EXPLANATION = """\
The legacy tables and nf_tables hang on the same hooks, at the same priorities: a packet meets
both, in the order in which they were registered. 'iptables -S' (nft) does not show legacy rules,
and nft tools and traces do not see what they write: a mark changes between two events with no
rule between them.

Move the rules to one backend, and empty the other: 'iptables-legacy-save' shows them (and,
unlike 'iptables-legacy -S', makes no table).
"""


def find(state: HostState) -> Iterator[Finding]:
    """One finding for a family, with the legacy rules that write marks."""
    for family in Family:
        legacy = [
            use
            for word in Word
            for use in state.writers(word)
            if use.spot.system is System.IPTABLES_LEGACY and use.spot.family is family
        ]
        others = _nft_rules(state, family)
        if legacy and others:
            yield _finding(family, legacy, others)


def _nft_rules(state: HostState, family: Family) -> int:
    count = sum(
        held.ruleset.rule_count
        for held in state.rules
        if held.backend is Backend.NFT and held.family is family
    )
    names = ("inet", "ip" if family is Family.IPV4 else "ip6")
    return count + sum(
        len(chain.rules)
        for table in state.tables
        if table.family in names
        for chain in table.chains
    )


def _finding(family: Family, legacy: list[MarkUse], others: int) -> Finding:
    program = "iptables" if family is Family.IPV4 else "ip6tables"
    spots: dict[Spot, None] = dict.fromkeys(use.spot for use in legacy)
    first = next(iter(spots))
    return Finding(
        CODE,
        Severity.WARNING,
        f"{len(spots)} legacy rule{'s write' if len(spots) > 1 else ' writes'} marks "
        f"({first}: {first.text}) beside {others} rules in nf_tables",
        tuple(spots),
        "packets meet both; the nft tools show neither these rules nor what they change",
        (
            f"look at {program}-legacy-save; {program}-legacy -t {first.table} -D {first.chain} "
            f"{first.number} takes the first one away",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """Packets that the legacy rules are for."""
    found = tuple(
        conversation
        for spot in finding.evidence[:3]
        for conversation in conversations(state, Wanted((spot,)))
    )
    return Probing(found, LegacyWrote(finding.evidence))
