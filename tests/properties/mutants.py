"""Rulesets that differ from a given one in a single rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netfw.ir.mark import MaskedWord
from netfw.ir.match import (
    AddressMatch,
    CommentMatch,
    ConntrackMatch,
    InterfaceMatch,
    Match,
    MultiportMatch,
    PortRange,
    Ports,
    TcpMatch,
    UdpMatch,
)
from netfw.ir.net import Net
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table
from netfw.ir.target import Accept, Drop, Return, SetMark, Target
from netfw.render.rule import render_rule

VERDICTS: tuple[Target, ...] = (Accept(), Drop(), Return())


def mutants(ruleset: Ruleset, bits: tuple[int, ...]) -> Iterator[tuple[str, Ruleset]]:
    """Every single change: rules left out, swapped with the next, sent elsewhere, with a match
    less, another port, net, interface or state, another bit or mask of the mark."""
    for table in ruleset.tables:
        for chain in table.chains:
            for at, rule in enumerate(chain.rules):
                place = f"{table.name} {chain.name} {at + 1}: {render_rule(rule, ruleset.family)}"
                for what, rules in _changes(chain.rules, at, rule, bits):
                    yield f"{what}: {place}", _with(ruleset, table, chain, rules)


def _with(ruleset: Ruleset, table: Table, chain: Chain, rules: tuple[Rule, ...]) -> Ruleset:
    chains = tuple(
        replace(other, rules=rules) if other is chain else other for other in table.chains
    )
    tables = tuple(
        Table(table.name, chains) if other is table else other for other in ruleset.tables
    )
    return replace(ruleset, tables=tables)


def _changes(
    rules: tuple[Rule, ...], at: int, rule: Rule, bits: tuple[int, ...]
) -> Iterator[tuple[str, tuple[Rule, ...]]]:
    before, behind = rules[:at], rules[at + 1 :]
    yield "left out", before + behind
    if behind:
        yield "swapped", (*before, behind[0], rule, *behind[1:])
    for target in VERDICTS:
        if rule.target != target:
            yield f"to {target}", (*before, replace(rule, target=target), *behind)
    if isinstance(rule.target, SetMark):
        for mark in _other_marks(rule.target.mark, bits):
            yield f"mark {mark}", (*before, replace(rule, target=SetMark(mark)), *behind)
    for index, match in enumerate(rule.matches):
        if isinstance(match, CommentMatch):
            continue
        left, right = rule.matches[:index], rule.matches[index + 1 :]
        yield f"without match {index}", (*before, replace(rule, matches=left + right), *behind)
        other = _other(match)
        if other is not None:
            changed = replace(rule, matches=(*left, other, *right))
            yield f"other match {index}", (*before, changed, *behind)


def _other_marks(mark: MaskedWord, bits: tuple[int, ...]) -> Iterator[MaskedWord]:
    for bit in bits:
        yield MaskedWord(mark.value ^ bit, mark.mask | bit)
        yield MaskedWord(mark.value & ~bit, mark.mask ^ bit)


def _other(match: Match) -> Match | None:
    match match:
        case TcpMatch(destination=Ports(span)) | UdpMatch(destination=Ports(span)):
            return replace(match, destination=Ports(PortRange(span.first - 1, span.last)))
        case MultiportMatch(ports=(_, *rest)):
            return replace(match, ports=tuple(rest)) if rest else None
        case AddressMatch(net=net) if net.mask:
            shorter = net.mask << 1 & ((1 << net.family.bits) - 1)
            return replace(match, net=Net(net.family, net.address & shorter, shorter))
        case InterfaceMatch(name=name):
            return replace(match, name="eth7" if name != "eth7" else "eth8")
        case ConntrackMatch(negate=negate):
            return replace(match, negate=not negate)
        case _:
            return None
