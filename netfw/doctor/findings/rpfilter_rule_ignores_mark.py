"""A rule that drops what has no way back does not know the mark by which packets were sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from netfw.doctor.any_of import Condition
from netfw.doctor.conditions import exclude
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.iptables_uses import spot_of as rule_spot
from netfw.doctor.mark_use import Word
from netfw.doctor.nft_conditions import conditions
from netfw.doctor.nft_uses import nft_reach, nft_spot
from netfw.doctor.observed import RoutingRule
from netfw.doctor.place import Passage, Spot, Stage
from netfw.doctor.place import Way as PacketWay
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing, Turn
from netfw.doctor.steering import (
    is_ordinary,
    may_obey,
    rule_at,
    spot_of,
    steering_rules,
    tables_of,
)
from netfw.doctor.way_back import other_way
from netfw.doctor.way_symptoms import AnswerDropped
from netfw.ir.match import AddressMatch, InterfaceMatch, RpfilterMatch, Side, Way
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.target import Drop

CODE = "rpfilter-rule-ignores-mark"
TITLE = "a rule drops the answers to marked packets: it looks for the way back without a mark"
EXPLANATION = """\
'-m rpfilter --invert -j DROP' and 'fib saddr . iif oif missing drop' (firewalld's IPv6_rpfilter)
drop a packet whose source would not be reached by the interface that it came in by. Without
'--validmark' and without 'mark' in the fib expression they ask as if it had no mark; with them,
the mark counts that the packet has there, which is none before it is restored from the
connection. Where a routing rule sends marked packets another way than unmarked ones, the answers
come in by an interface that the lookup does not name, and are dropped.

Restore the connection's mark in a chain before the rule, and have the rule ask with it; or ask
loosely ('--loose', 'fib saddr oif missing').
"""


class _Check(NamedTuple):
    """A rule that drops what has no way back, at which passages, and whether it asks the mark."""

    spot: Spot
    families: tuple[Family, ...]
    passages: tuple[Passage, ...]
    asked: tuple[Condition, ...]
    uses_mark: bool


def find(state: HostState) -> Iterator[Finding]:
    """Each such rule once, with an interface by which answers come in that it drops."""
    rules = list(steering_rules(state))
    if not rules:
        return
    for check in (*_of_iptables(state), *_of_nftables(state)):
        found = next(
            (
                (one, *names)
                for one in rules
                if one.rule.family in check.families
                if not (check.uses_mark and _is_marked_before(state, one, check))
                for names in _ways(state, one, check)
            ),
            None,
        )
        if found is not None:
            yield _finding(check, *found)


def _ways(state: HostState, one: RoutingRule, check: _Check) -> Iterator[tuple[str, str]]:
    """Interfaces by which answers to marked packets come in, and what the lookup names."""
    for routes in tables_of(state, one.rule.family).routes.values():
        for route in routes:
            if is_ordinary(route) and not exclude(
                check.asked, (InterfaceMatch(Way.IN, route.interface),)
            ):
                other = other_way(state, one, route)
                if other is not None:
                    yield route.interface, other


def _is_marked_before(state: HostState, one: RoutingRule, check: _Check) -> bool:
    return any(
        may_obey(use, one) and any(a.may_precede(b) for a in use.passages for b in check.passages)
        for use in state.writers(Word.PACKET)
    )


def _of_iptables(state: HostState) -> Iterator[_Check]:
    for held in state.rules:
        for table in held.ruleset.tables:
            for chain in table.chains:
                for number, rule in enumerate(chain.rules, start=1):
                    if not isinstance(rule.target, Drop):
                        continue
                    for match in rule.matches:
                        if isinstance(match, RpfilterMatch) and match.negate and not match.loose:
                            entries = held.reach.entries(table.name, chain.name)
                            yield _Check(
                                rule_spot(held, table.name, chain.name, number),
                                (held.family,),
                                tuple(entry.passage(number) for entry in entries),
                                (*rule.matches, *(entries[0].calls if entries else ())),
                                match.uses_mark,
                            )


def _of_nftables(state: HostState) -> Iterator[_Check]:
    for table in state.tables:
        families = {"ip": (Family.IPV4,), "ip6": (Family.IPV6,), "inet": tuple(Family)}.get(
            table.family, ()
        )
        for chain in table.chains:
            for number, rule in enumerate(chain.rules, start=1):
                flags = _flags(rule.expressions)
                if flags is None or not families:
                    continue
                passages = tuple(
                    entry.passage(number)
                    for entry in nft_reach(table).get(chain.name, ())
                    if entry.stage is Stage.PREROUTING
                )
                asked = tuple(conditions(rule.expressions))
                narrowed = tuple(one for one in families if not exclude(asked, _all_of(one)))
                if passages:
                    spot = nft_spot(table, chain, number)
                    yield _Check(spot, narrowed, passages, asked, "mark" in flags)


def _all_of(family: Family) -> tuple[Condition, ...]:
    return (AddressMatch(Side.SOURCE, Net.everything(family)),)


def _flags(expressions: tuple[Any, ...]) -> tuple[str, ...] | None:
    """What a rule looks up that drops packets without a way back by their own interface."""
    drops = any(isinstance(one, Mapping) and "drop" in one for one in expressions)
    for one in expressions:
        match = one.get("match") if isinstance(one, Mapping) else None
        left = match.get("left") if isinstance(match, Mapping) else None
        fib = left.get("fib") if isinstance(left, Mapping) else None
        if not drops or not isinstance(match, Mapping) or not isinstance(fib, Mapping):
            continue
        flags = tuple(fib.get("flags", ()))
        is_missing = (match.get("op", "=="), match.get("right")) == ("==", False)
        if is_missing and fib.get("result") == "oif" and {"saddr", "iif"} <= set(flags):
            return flags
    return None


def _finding(check: _Check, one: RoutingRule, interface: str, other: str) -> Finding:
    mark = one.rule.mark
    asks = "with the mark, which no rule sets before it" if check.uses_mark else "without a mark"
    bits = 0 if mark is None else mark.mask
    program = "ip6tables" if one.rule.family is Family.IPV6 else "iptables"
    return Finding(
        CODE,
        Severity.ERROR,
        f"{check.spot} drops what has no way back by its interface and asks {asks}, while "
        f"{spot_of(one)} sends packets with mark {mark} out by {interface} and others by {other}",
        (check.spot, spot_of(one)),
        f"answers to marked packets come in by {interface}, the lookup says {other}, and the rule "
        "drops them",
        (
            f"restore the mark before it ({program} -t raw cannot: in mangle PREROUTING): -j "
            f"CONNMARK --restore-mark --mask {bits:#x}, and ask with it: --validmark, or mark in "
            "the fib expression",
            "or ask loosely: -m rpfilter --loose --invert, or fib saddr oif missing",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A marked packet of this host, and the answer to it."""
    spot, reader = finding.evidence
    one = rule_at(state, reader)
    if one is None or one.rule.mark is None:
        return NoProbing("its routing rule is not there any more")
    mark = one.rule.mark.value & one.rule.mark.mask
    wanted = Wanted((), one, mark, frozenset({PacketWay.FROM_HOST}), one.rule.family)
    return Probing(conversations(state, wanted, Turn.ANSWER), AnswerDropped(spot))
