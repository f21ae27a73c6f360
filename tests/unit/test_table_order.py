"""Which table changes first; kernel/test_traffic_through_changes.py sends packets meanwhile."""

from __future__ import annotations

import pytest

from netfw.compiler.pipeline import compile_policy
from netfw.ir.names import Family, Hook
from netfw.plan.own import Own, OwnTable
from netfw.plan.own_of import own_of
from netfw.plan.plan import plan
from netfw.plan.step import LoadTable
from netfw.plan.trend import Trend, trend_of
from netfw.policy.read import load

EARLY = "  - {name: early, at: wan, acts: pre-dnat, ingress: [{allow: tcp/80}, {deny: tcp/81}]}\n"
NORMAL = "  - {name: public, at: wan, ingress: [{deny: tcp/81}, {allow: tcp/80-82}]}\n"
FORWARD = "  - {name: inwards, from: wan, to: lan, forward: [{allow: ssh}]}\n"
STRICT = "defaults: {strict-exit: yes}\n"


def own(policies: str, head: str = "", rest: str = "") -> Own:
    text = "version: 1\nendpoints: {wan: {host: eth0}, lan: {host: eth1}}\n"
    return own_of(compile_policy(load(f"{text}{head}policies:\n{policies}{rest}", "p.yaml")), {})


def dnat(port: int) -> str:
    return f'nat: [{{dnat: {{in: wan, service: tcp/90, to: "10.0.0.2:{port}"}}}}]\n'


def order(before: Own, after: Own) -> list[str]:
    return [
        step.table.value
        for step in plan(before, after).steps
        if isinstance(step, LoadTable) and step.family is Family.IPV4
    ]


def test_early_rules_come_before_filter_loses_its_own_and_go_when_it_has_them() -> None:
    normal, early = own(FORWARD + NORMAL), own(EARLY + FORWARD)
    assert order(normal, early) == ["mangle", "filter"]
    assert order(early, normal) == ["filter", "mangle"]


def test_what_filter_has_not_marked_is_let_out_as_long_as_it_does_not_mark() -> None:
    loose, strict = own(FORWARD), own(FORWARD, STRICT)
    assert order(loose, strict) == ["filter", "mangle"]
    assert order(strict, loose) == ["mangle", "filter"]


def test_a_table_changes_twice_where_parts_of_it_belong_before_and_behind_filter() -> None:
    before, after = own(FORWARD), own(EARLY + FORWARD, STRICT)
    assert order(before, after) == ["mangle", "filter", "mangle"]
    assert order(after, before) == ["mangle", "filter", "mangle"]
    steps = [step for step in plan(before, after).steps if isinstance(step, LoadTable)]
    first, _, last = (step.text for step in steps if step.family is Family.IPV4)
    assert "-I PREROUTING" in first
    assert "-I POSTROUTING" not in first
    assert "-I POSTROUTING" in last


def test_nothing_is_sent_elsewhere_unless_filter_lets_it_go_there() -> None:
    none, one, other = own(FORWARD), own(FORWARD, rest=dnat(91)), own(FORWARD, rest=dnat(92))
    assert order(none, one) == ["filter", "nat"]
    assert order(one, none) == ["nat", "filter"]
    assert order(one, other) == ["filter", "nat", "filter"]
    steps = [step for step in plan(one, other).steps if isinstance(step, LoadTable)]
    first, _, last = (step.text for step in steps if step.family is Family.IPV4)
    # the rule for 92 joins that for 91, which goes at the end
    assert first.count("--dport 92") == 1
    assert "-D " not in first
    assert ":NETFW-FORWARD-RULES" not in first
    assert last.count("-D NETFW-FORWARD-RULES ") == 1
    assert "--dport" not in last


def test_a_redirected_packet_that_a_rule_dropped_is_not_let_through_in_between() -> None:
    deny = "  - {name: inwards, from: wan, to: lan, forward: [{deny: tcp/91}]}\n"
    before, after = own(deny, rest=dnat(91)), own(FORWARD, rest=dnat(92))
    steps = [step for step in plan(before, after).steps if isinstance(step, LoadTable)]
    texts = [step.text for step in steps if step.table == "filter" and step.family is Family.IPV4]
    assert "--dport 91" not in "".join(texts)


@pytest.mark.parametrize(
    ("before", "after", "trend"),
    [
        ((), ("-j ACCEPT",), Trend.GROWS),
        (("-j ACCEPT",), (), Trend.SHRINKS),
        (("-p tcp -j ACCEPT", "-j DROP"), ("-p 6 -j ACCEPT", "-j DROP"), Trend.NONE),
        (("-j ACCEPT", "-j DROP"), ("-j DROP", "-j ACCEPT"), Trend.TURNS),
        (("-j ACCEPT",), ("-j DROP",), Trend.TURNS),
    ],
)
def test_rules_grow_shrink_or_turn(
    before: tuple[str, ...], after: tuple[str, ...], trend: Trend
) -> None:
    calls = {"INPUT": ("-j NETFW-A",)}
    old, new = OwnTable({"NETFW-A": before}, calls), OwnTable({"NETFW-A": after}, calls)
    assert trend_of(old, new, [Hook.INPUT], Family.IPV4) is trend
    assert trend_of(old, new, [Hook.FORWARD], Family.IPV4) is Trend.NONE
