"""The last pass of the compiler refuses what iptables or the kernel would."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from netfw.compiler.attach_hooks import attach_hooks
from netfw.compiler.check_ruleset import check_ruleset
from netfw.compiler.draft import Draft, make_rule
from netfw.errors import NetfwBug, Where
from netfw.ir.mark import MaskedWord
from netfw.ir.match import (
    AddressMatch,
    InterfaceMatch,
    MarkMatch,
    Match,
    MultiportMatch,
    PortRange,
    PortSide,
    ProtocolMatch,
    Side,
    TcpMatch,
    Way,
)
from netfw.ir.names import Family, TableName
from netfw.ir.net import Net
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import (
    Accept,
    Dnat,
    Drop,
    Goto,
    Jump,
    Log,
    Masquerade,
    NatRange,
    Reject,
    SetMark,
    Target,
)
from netfw.policy.read import load

ORIGIN = Origin(Where("p.yaml", 1, 1), "p/rule")
PORTS = tuple(PortRange(port, port) for port in range(1, 17))


def rule(target: Target, *matches: Match) -> Rule:
    return make_rule(ORIGIN, target, *matches)


def draft_with(
    *rules: Rule,
    table: TableName = TableName.FILTER,
    chain: str = "NETFW-INPUT",
    family: Family = Family.IPV4,
    others: tuple[Chain, ...] = (),
) -> Draft:
    """A draft whose one chain has these rules, with the rule that leads to it."""
    draft = Draft(load("version: 1\n", "p.yaml"), family, {})
    return attach_hooks(draft.with_chains(table, Chain(chain, rules), *others))


def test_sound_ruleset_passes():
    draft = draft_with(rule(Accept(), InterfaceMatch(Way.IN, "eth0")))
    assert check_ruleset(draft) is draft


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (rule(Jump("NETFW-GONE")), "there is no chain NETFW-GONE"),
        (rule(Goto("INPUT")), "INPUT is a built-in chain"),
        (rule(Jump("NETFW-INPUT")), "in a loop"),
        (rule(Drop(), InterfaceMatch(Way.OUT, "eth0")), "-o where no packet leaves"),
        (rule(Drop(), InterfaceMatch(Way.IN, "eth-number-0000-1")), "does not fit"),
        (rule(Drop(), InterfaceMatch(Way.IN, "+")), "does not fit"),
        (rule(SetMark(MaskedWord(1, 1))), "reaches outside our bits"),
        (rule(Drop(), MarkMatch(MaskedWord(0, 0))), "says nothing"),
        (rule(Drop(), AddressMatch(Side.SOURCE, Net.parse("::1"))), "an address of IPv6"),
        (rule(Drop(), TcpMatch()), "-m tcp without -p tcp"),
        (
            rule(Drop(), ProtocolMatch(6), MultiportMatch(PortSide.DESTINATION, PORTS)),
            "multiport with 16 ports",
        ),
        (rule(Reject("tcp-reset")), "tcp-reset without -p tcp"),
        (rule(Reject("icmp6-port-unreachable")), "in the wrong family"),
        (rule(Log(prefix="x" * 30)), "the log prefix is longer than 29 bytes"),
        (rule(Dnat(NatRange((1, 1)))), "DNAT is legal in nat PREROUTING and OUTPUT only"),
        (rule(Masquerade()), "MASQUERADE is legal in nat POSTROUTING only"),
        (replace(rule(Drop()), origin=None), "does not say where it comes from"),
        (replace(rule(Drop()), matches=()), "does not say where it comes from"),
        (make_rule(replace(ORIGIN, identity="x" * 300), Drop()), "the comment is longer"),
    ],
)
def test_unsound_rule_is_refused(found: Rule, problem: str):
    with pytest.raises(NetfwBug, match=problem):
        check_ruleset(draft_with(found))


@pytest.mark.parametrize("target", [Accept(), Reject("icmp-port-unreachable")])
def test_verdict_outside_of_filter_is_refused(target: Target):
    with pytest.raises(NetfwBug, match="filter"):
        check_ruleset(draft_with(rule(target), table=TableName.RAW, chain="NETFW-OUTPUT"))


def test_incoming_interface_in_output_is_refused():
    found = rule(Drop(), InterfaceMatch(Way.IN, "eth0"))
    with pytest.raises(NetfwBug, match="-i where no packet comes in"):
        check_ruleset(draft_with(found, chain="NETFW-OUTPUT"))


def test_incoming_interface_is_legal_in_a_chain_that_postrouting_calls():
    found = rule(Masquerade(), InterfaceMatch(Way.IN, "eth1"), InterfaceMatch(Way.OUT, "eth0"))
    check_ruleset(draft_with(found, table=TableName.NAT, chain="NETFW-POSTROUTING"))


def test_legality_follows_jumps():
    inner = Chain("NETFW-INNER", (rule(Drop(), InterfaceMatch(Way.OUT, "eth0")),))
    with pytest.raises(NetfwBug, match="NETFW-INNER:1: -o where no packet leaves"):
        check_ruleset(draft_with(rule(Jump("NETFW-INNER")), others=(inner,)))


def test_chain_that_nothing_leads_to_is_refused():
    with pytest.raises(NetfwBug, match="no hook leads to this chain"):
        check_ruleset(draft_with(rule(Drop()), others=(Chain("NETFW-LOST"),)))


def test_chain_without_our_prefix_is_refused():
    with pytest.raises(NetfwBug, match="does not say that the chain is ours"):
        check_ruleset(draft_with(rule(Jump("MINE")), others=(Chain("MINE"),)))


def test_two_origins_of_one_identity_are_refused():
    other = make_rule(replace(ORIGIN, where=Where("p.yaml", 9, 9)), Drop())
    with pytest.raises(NetfwBug, match="identity 'p/rule' is also at"):
        check_ruleset(draft_with(rule(Drop()), other))


@pytest.mark.parametrize(("depth", "is_sound"), [(15, True), (16, False)])
def test_chains_nest_no_deeper_than_nf_tables_allows(depth: int, is_sound: bool):
    names = [f"NETFW-{number}" for number in range(2, depth + 1)]
    others = [Chain(name, (rule(Jump(callee)),)) for name, callee in pairwise(names)]
    others.append(Chain(names[-1]))
    draft = draft_with(rule(Jump(names[0])), others=tuple(others))
    if is_sound:
        check_ruleset(draft)
    else:
        with pytest.raises(NetfwBug, match="16 chains deep"):
            check_ruleset(draft)
