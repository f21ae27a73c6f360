"""A rule accepts packets by their mark, and another firewall's chain drops them all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netfw.doctor.asked import RULES, asked_by, set_by
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import Ending, MarkUse, Word
from netfw.doctor.place import Spot, Stage, System
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.way_symptoms import Overruled
from netfw.ir.names import BUILTIN_CHAINS, ChainPolicy, Family, TableName

CODE = "accept-overruled"
TITLE = "an accept by mark ends one chain, and a chain of another firewall drops what comes by"
EXPLANATION = """\
'accept' ends the base chain that it stands in, and no other: the chains of other tables at the
same hook are asked as well, and each of them can drop the packet. A mark that one firewall
accepts is no permission to the other, whose policy is drop and which does not ask for the mark.
(Docker 29 has --bridge-accept-fwmark for that.)

Accept the mark in the other chain too, or keep all rules of that hook in one firewall.
"""
_HOOKS = {"input": Stage.INPUT, "forward": Stage.FORWARD, "output": Stage.OUTPUT}
_FILTERS = range(-10, 100)
"""Priorities at which rulesets filter: those of mangle and raw only accept to be quick."""


class _Dropping(NamedTuple):
    """A base chain whose policy is drop, and whose table it is of."""

    spot: Spot
    stage: Stage
    families: tuple[Family, ...]

    def is_of(self, use: MarkUse) -> bool:
        """Whether a rule stands in the same table of the same kind of rules."""
        mine, its = self.spot, use.spot
        if mine.system is System.NFTABLES or its.system is System.NFTABLES:
            return (mine.system, mine.table) == (its.system, its.table)
        return (mine.system, mine.family, mine.table) == (its.system, its.family, its.table)


def find(state: HostState) -> Iterator[Finding]:
    """Each chain that drops by its policy, beside a rule that accepts by a mark it does not ask
    for."""
    accepting = [use for use in state.kinds_of_readers(Word.PACKET) if _accepts(use)]
    if not accepting:
        return
    for chain in (*_of_iptables(state), *_of_nftables(state)):
        for use in accepting:
            if chain.is_of(use) or not _meets(use, chain):
                continue
            bits = asked_by(use, Word.PACKET)
            if not any(
                chain.is_of(other) and asked_by(other, Word.PACKET) & bits
                for other in state.kinds_of_readers(Word.PACKET)
            ):
                yield _finding(use, chain, bits)
                break


def _accepts(use: MarkUse) -> bool:
    return (
        use.spot.system in RULES
        and use.ending is Ending.ACCEPTED
        and not use.is_first_only
        and any(test.word is Word.PACKET and test.needed for test in use.tests)
    )


def _meets(use: MarkUse, chain: _Dropping) -> bool:
    """Whether the rule accepts at the hook of the chain, where one filters."""
    family = use.spot.family
    return (family is None or family in chain.families) and any(
        where.stage is chain.stage and where.priority in _FILTERS for where in use.passages
    )


def _of_iptables(state: HostState) -> Iterator[_Dropping]:
    for held in state.rules:
        table = held.ruleset.table(TableName.FILTER)
        for hook in () if table is None else BUILTIN_CHAINS[TableName.FILTER]:
            chain = None if table is None else table.builtin(hook)
            if chain is None or chain.policy is not ChainPolicy.DROP:
                continue
            system = System.of_backend(held.backend)
            text = f"-P {hook.value} DROP"
            spot = Spot(system, held.family, "filter", hook.value, text=text)
            yield _Dropping(spot, Stage.of_hook(hook), (held.family,))


def _of_nftables(state: HostState) -> Iterator[_Dropping]:
    of = {"inet": tuple(Family), "ip": (Family.IPV4,), "ip6": (Family.IPV6,)}
    for table in state.tables:
        for chain in table.chains:
            stage = _HOOKS.get(chain.hook)
            if stage is not None and chain.policy == "drop" and table.family in of:
                name = f"{table.family} {table.name}"
                text = (
                    f"type {chain.kind} hook {chain.hook} priority {chain.priority}; policy drop"
                )
                spot = Spot(System.NFTABLES, None, name, chain.name, text=text)
                yield _Dropping(spot, stage, of[table.family])


def _finding(use: MarkUse, chain: _Dropping, bits: int) -> Finding:
    return Finding(
        CODE,
        Severity.WARNING,
        f"{use.spot} accepts packets with mark bits {bits:#x}, and {chain.spot}, of another table "
        "at the same hook, drops by its policy and does not ask for them",
        (chain.spot, use.spot),
        "a packet that is accepted for its mark is dropped there, if no other rule of that table "
        "lets it through",
        (f"accept mark {bits:#x} in {chain.spot} as well",),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that the rule accepts for its mark."""
    chain, spot = finding.evidence
    use = state.use_at(spot)
    needed = 0
    for test in () if use is None else use.tests:
        needed |= test.needed if test.word is Word.PACKET else 0
    if not needed:
        return NoProbing("its rule is not there any more")
    setters = [
        one.spot
        for one in state.kinds_of_writers(Word.PACKET)
        if one.spot.system in RULES and set_by(one, Word.PACKET) & needed == needed
    ]
    found = [
        conversation
        for setter in setters[:3]
        for conversation in conversations(state, Wanted((spot, setter)))
    ]
    found += conversations(state, Wanted((spot,), mark=needed))
    return Probing(tuple(found), Overruled(spot, chain))
