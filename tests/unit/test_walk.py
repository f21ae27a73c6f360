"""The prediction, case by case; kernel tests confirm it."""

from dataclasses import replace

import pytest

from netfw.ir.mark import Mark, MaskedWord
from netfw.ir.match import (
    AddressMatch,
    ConnectionState,
    ConntrackMatch,
    InterfaceMatch,
    LimitMatch,
    MarkMatch,
    ProtocolMatch,
    Side,
    UnknownMatch,
    Way,
)
from netfw.ir.names import ChainPolicy, Family, Hook, TableName
from netfw.ir.net import Net, parse_address
from netfw.ir.protocols import TCP, UDP
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table
from netfw.ir.target import (
    Accept,
    Ct,
    Dnat,
    Drop,
    Goto,
    Jump,
    Log,
    Masquerade,
    NatRange,
    Redirect,
    RestoreMark,
    Return,
    SaveMark,
    SetMark,
    UnknownTarget,
)
from netfw.traverse.host_facts import HostFacts, InterfaceAddress, Route, RoutingRule
from netfw.traverse.packet import ACK, SYN, Packet
from netfw.traverse.traversal import End, Outcome
from netfw.traverse.walk import Walker, needs_conntrack, walk


def a(text: str) -> int:
    return parse_address(text)[1]


FACTS = HostFacts(
    addresses={
        "lan": (InterfaceAddress(Family.IPV4, a("10.1.0.1"), 24),),
        "wan": (InterfaceAddress(Family.IPV4, a("10.2.0.1"), 24),),
        "alt": (InterfaceAddress(Family.IPV4, a("10.3.0.1"), 24),),
    },
    routes=(
        Route(Net.parse("0.0.0.0/0"), "wan", a("10.2.0.2")),
        Route(Net.parse("0.0.0.0/0"), "alt", a("10.3.0.2"), table=100),
    ),
    rules=(RoutingRule(100, MaskedWord(0x100, 0x100), 100, Family.IPV4),),
)
FORWARDED = Packet(
    Family.IPV4, a("10.1.0.2"), a("203.0.113.9"), UDP, 40000, 53, in_interface="lan"
)
LOCAL = Packet(Family.IPV4, a("10.2.0.1"), a("203.0.113.9"), UDP, 40000, 53)


def ruleset(**chains: list[Rule] | Chain) -> Ruleset:
    """``ruleset(filter_FORWARD=[…], filter__user=[…])``; two underscores make a user chain."""
    tables: dict[TableName, list[Chain]] = {}
    for name, rules in chains.items():
        table, _, chain = name.partition("_")
        if isinstance(rules, Chain):
            made = rules
        elif chain.startswith("_"):
            made = Chain(chain[1:], tuple(rules))
        else:
            made = Chain(chain, tuple(rules), ChainPolicy.ACCEPT)
        tables.setdefault(TableName(table), []).append(made)
    return Ruleset(
        Family.IPV4,
        tuple(Table.with_builtins(name, tuple(made)) for name, made in tables.items()),
    )


def rule(target, *matches) -> Rule:
    return Rule(matches, target)


def steps(traversal) -> list[tuple[str, int, str]]:
    return [(step.chain, step.rule, step.outcome.value) for step in traversal.steps]


def test_a_jump_comes_back_behind_its_rule_and_an_end_is_a_step() -> None:
    found = walk(
        ruleset(filter_FORWARD=[rule(Jump("A")), rule(Drop())], filter__A=[rule(Return())]),
        FORWARDED,
        FACTS,
    )
    assert steps(found) == [("FORWARD", 1, "jump"), ("A", 1, "return"), ("FORWARD", 2, "drop")]
    assert found.end is End.DROPPED


def test_a_goto_comes_back_to_where_its_chain_was_called_from() -> None:
    found = walk(
        ruleset(
            filter_FORWARD=[rule(Jump("A")), rule(Accept())],
            filter__A=[rule(Goto("B")), rule(Drop())],
            filter__B=[rule(SetMark(Mark(1, 1)))],
        ),
        FORWARDED,
        FACTS,
    )
    assert steps(found) == [
        ("FORWARD", 1, "jump"),
        ("A", 1, "goto"),
        ("B", 1, "continue"),
        ("B", 0, "return"),
        ("FORWARD", 2, "accept"),
    ]


def test_a_goto_out_of_a_built_in_chain_ends_in_its_policy() -> None:
    found = walk(
        ruleset(
            filter_FORWARD=Chain("FORWARD", (rule(Goto("A")), rule(Accept())), ChainPolicy.DROP),
            filter__A=[],
        ),
        FORWARDED,
        FACTS,
    )
    assert steps(found) == [("FORWARD", 1, "goto"), ("A", 0, "return"), ("FORWARD", 0, "drop")]


def test_return_in_a_built_in_chain_leads_to_its_policy() -> None:
    found = walk(ruleset(filter_FORWARD=[rule(Return()), rule(Drop())]), FORWARDED, FACTS)
    assert steps(found) == [("FORWARD", 1, "return"), ("FORWARD", 0, "accept")]


def test_marks_are_carried_from_table_to_table() -> None:
    found = walk(
        ruleset(
            mangle_PREROUTING=[rule(SetMark(Mark(0x40000, 0xF0000)))],
            filter_FORWARD=[rule(Drop(), MarkMatch(Mark(0x40000, 0x40000)))],
        ),
        replace(FORWARDED, mark=0xABC00001),
        FACTS,
    )
    assert found.steps[0].mark_before == 0xABC00001
    assert found.steps[0].mark_after == found.mark == 0xABC40001
    assert found.end is End.DROPPED


def test_a_mark_set_in_prerouting_chooses_the_route() -> None:
    mark = rule(SetMark(Mark(0x100, 0x100)))
    assert walk(ruleset(mangle_PREROUTING=[mark]), FORWARDED, FACTS).detail == "alt"
    assert walk(ruleset(mangle_FORWARD=[mark]), FORWARDED, FACTS).detail == "wan"


def test_after_a_reroute_output_still_sees_the_old_interface() -> None:
    mark = rule(SetMark(Mark(0x100, 0x100)))
    seen = rule(SetMark(Mark(0x1, 0x1)), InterfaceMatch(Way.OUT, "wan"))
    late = rule(SetMark(Mark(0x2, 0x2)), InterfaceMatch(Way.OUT, "alt"))
    found = walk(
        ruleset(mangle_OUTPUT=[mark], filter_OUTPUT=[seen], mangle_POSTROUTING=[late]),
        LOCAL,
        FACTS,
    )
    assert (found.detail, found.mark) == ("alt", 0x103)


def test_a_mark_set_in_raw_output_does_not_reroute() -> None:
    found = walk(ruleset(raw_OUTPUT=[rule(SetMark(Mark(0x100, 0x100)))]), LOCAL, FACTS)
    assert found.detail == "wan"


def test_nat_is_not_entered_while_conntrack_is_off() -> None:
    rules = ruleset(nat_PREROUTING=[rule(Accept())])
    assert not needs_conntrack(rules)
    assert steps(walk(rules, FORWARDED, FACTS)) == []


def test_only_the_first_packet_asks_the_nat_table() -> None:
    walker = Walker(ruleset(nat_POSTROUTING=[rule(Masquerade())]), FACTS)
    first, second = walker.walk(FORWARDED), walker.walk(FORWARDED)
    assert [step.chain for step in first.steps] == ["PREROUTING", "POSTROUTING"]
    assert second.steps == ()


def test_a_reply_is_translated_back_before_routing() -> None:
    walker = Walker(ruleset(nat_POSTROUTING=[rule(Masquerade())]), FACTS)
    walker.walk(FORWARDED)
    reply = Packet(
        Family.IPV4, a("203.0.113.9"), a("10.2.0.1"), UDP, 53, 40000, in_interface="wan"
    )
    found = walker.walk(reply)
    assert (found.end, found.detail) == (End.SENT, "lan")
    assert found.final is not None
    assert found.final.destination == a("10.1.0.2")


def test_a_port_forward_changes_what_forward_sees() -> None:
    target = Dnat(NatRange((a("10.1.0.5"),) * 2, (443, 443)))
    inner = AddressMatch(Side.DESTINATION, Net.parse("10.1.0.5"))
    dnat = ConntrackMatch(frozenset({ConnectionState.DNAT}))
    walker = Walker(
        ruleset(
            nat_PREROUTING=[rule(target, InterfaceMatch(Way.IN, "wan"), ProtocolMatch(TCP))],
            filter_FORWARD=[
                rule(Accept(), inner, dnat),
                rule(Drop(), InterfaceMatch(Way.IN, "wan")),
            ],
        ),
        FACTS,
    )
    packet = Packet(
        Family.IPV4,
        a("203.0.113.9"),
        a("10.2.0.1"),
        TCP,
        40000,
        8443,
        tcp_flags=SYN,
        in_interface="wan",
    )
    found = walker.walk(packet)
    assert (found.end, found.detail) == (End.SENT, "lan")
    assert found.final is not None
    assert (found.final.destination, found.final.destination_port) == (a("10.1.0.5"), 443)
    back = Packet(
        Family.IPV4,
        a("10.1.0.5"),
        a("203.0.113.9"),
        TCP,
        443,
        40000,
        tcp_flags=SYN | ACK,
        in_interface="lan",
    )
    answered = walker.walk(back)
    assert answered.final is not None
    assert (answered.final.source, answered.final.source_port) == (a("10.2.0.1"), 8443)


def test_a_redirect_delivers_to_this_host() -> None:
    found = walk(
        ruleset(nat_PREROUTING=[rule(Redirect(NatRange(ports=(8080, 8080))))]), FORWARDED, FACTS
    )
    assert found.end is End.DELIVERED


def test_a_dropped_first_packet_leaves_no_connection() -> None:
    rules = ruleset(
        nat_PREROUTING=[],
        filter_FORWARD=[rule(Drop(), ConntrackMatch(frozenset({ConnectionState.NEW})))],
    )
    walker = Walker(rules, FACTS)
    for _ in range(2):
        found = walker.walk(FORWARDED)
        assert [(step.table.value, step.chain) for step in found.steps] == [
            ("nat", "PREROUTING"),
            ("filter", "FORWARD"),
        ]


def test_connection_marks_are_saved_and_restored_through_masks() -> None:
    walker = Walker(
        ruleset(
            mangle_PREROUTING=[
                rule(RestoreMark(0xFF00, 0xFF00)),
                rule(SetMark(Mark(0x1200, 0xFF00)), MarkMatch(Mark(0, 0xFF00))),
                rule(SaveMark(0xFF00, 0xFF00)),
            ]
        ),
        FACTS,
    )
    assert walker.walk(FORWARDED).mark == 0x1200
    second = walker.walk(FORWARDED)
    rules = [step.rule for step in second.steps if step.chain == "PREROUTING"]
    assert second.steps[0].mark_after == 0x1200
    assert rules == [1, 3, 0]


def test_notrack_makes_a_packet_untracked() -> None:
    untracked = ConntrackMatch(frozenset({ConnectionState.UNTRACKED}))
    found = walk(
        ruleset(
            raw_PREROUTING=[rule(Ct(notrack=True))],
            nat_PREROUTING=[],
            filter_FORWARD=[rule(Drop(), untracked)],
        ),
        FORWARDED,
        FACTS,
    )
    assert [step.table for step in found.steps] == [TableName.RAW, TableName.RAW, TableName.FILTER]
    assert found.end is End.DROPPED


def test_a_packet_to_this_host_itself_keeps_its_mark_over_lo() -> None:
    packet = Packet(Family.IPV4, a("127.0.0.1"), a("127.0.0.1"), UDP, 40000, 53)
    found = walk(
        ruleset(
            mangle_OUTPUT=[rule(SetMark(Mark(1, 1)))],
            filter_INPUT=[rule(SetMark(Mark(2, 2)), InterfaceMatch(Way.IN, "lo"))],
        ),
        packet,
        FACTS,
    )
    assert (found.end, found.mark) == (End.DELIVERED, 3)


@pytest.mark.parametrize(
    ("packet", "facts", "detail"),
    [
        (replace(FORWARDED, ttl=1), FACTS, "TTL or hop limit ran out"),
        (FORWARDED, HostFacts(addresses=FACTS.addresses), "no route to the destination"),
        (FORWARDED, replace(FACTS, forwarding=False), "forwarding is off"),
    ],
)
def test_the_kernel_may_stop_a_packet_between_hooks(packet, facts, detail: str) -> None:
    found = walk(ruleset(filter_FORWARD=[]), packet, facts)
    assert (found.end, found.detail) == (End.STOPPED, detail)


def test_an_unknown_match_before_a_verdict_leaves_the_end_undecided() -> None:
    unknown = UnknownMatch("quota", ("--quota", "1"))
    found = walk(ruleset(filter_FORWARD=[rule(Drop(), unknown)]), FORWARDED, FACTS)
    assert found.end is End.UNDECIDED
    assert "rule 1 of filter.FORWARD" in found.detail


def test_an_unknown_match_is_not_asked_where_another_match_fails() -> None:
    unknown = UnknownMatch("quota", ("--quota", "1"))
    found = walk(
        ruleset(filter_FORWARD=[rule(Drop(), unknown, ProtocolMatch(TCP))]), FORWARDED, FACTS
    )
    assert found.end is End.SENT


def test_an_unknown_target_leaves_the_end_undecided() -> None:
    found = walk(ruleset(filter_FORWARD=[rule(UnknownTarget("TARPIT"))]), FORWARDED, FACTS)
    assert found.end is End.UNDECIDED


def test_a_rate_limited_log_is_a_step_that_may_or_may_not_happen() -> None:
    found = walk(
        ruleset(filter_FORWARD=[rule(Log("x"), LimitMatch(5, "min")), rule(Accept())]),
        FORWARDED,
        FACTS,
    )
    assert found.optional == {0}
    assert found.steps[0].outcome is Outcome.CONTINUE
    assert found.end is End.SENT


def test_a_missing_interface_is_met_by_the_bare_wildcard_only() -> None:
    for name, met in (("+", True), ("wan", False)):
        match = InterfaceMatch(Way.OUT, name)
        found = walk(ruleset(mangle_PREROUTING=[rule(Drop(), match)]), FORWARDED, FACTS)
        assert (found.end is End.DROPPED) is met


def test_hooks_are_named_after_their_chains() -> None:
    found = walk(ruleset(filter_FORWARD=[rule(Jump("A"))], filter__A=[]), FORWARDED, FACTS)
    assert {step.hook for step in found.steps} == {Hook.FORWARD}
