"""Optimising passes change rules and never what the rules do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings

from netfw.compiler import dispatch_tree as tree_module
from netfw.compiler import fold_sets as fold_module
from netfw.compiler.pipeline import OPTIMISING, compile_policy
from netfw.ir.ipset import IpSet
from netfw.ir.match import InterfaceMatch
from netfw.ir.names import Family
from netfw.ir.ruleset import Rule, Ruleset
from netfw.policy.read import load
from netfw.prove.proof import prove
from tests.golden.cases import policy_of
from tests.reread import reread

from .random_policies import long_policies, policies
from .same_rules import unlike
from .test_compiled_means_policy import read

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*/policy.yaml"))
FOLDED = GOLDEN[0].parents[1] / "80-folded" / "policy.yaml"
PASSES = sorted(OPTIMISING, key=lambda each: each.__name__)


@pytest.mark.parametrize("one", PASSES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parent.name)
def test_golden_rules_do_the_same_without_the_pass(path: Path, one: Any) -> None:
    policy = policy_of(path.parent.name)
    plain, optimised = compile_policy(policy, without=(one,)), compile_policy(policy)
    for family in Family:
        assert [*unlike(plain.rulesets[family], reread(optimised.rulesets[family]))] == []


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(long_policies())
def test_long_lists_do_the_same_folded(written: dict[str, Any]) -> None:
    policy = read(written)
    plain, folded = compile_policy(policy, without=OPTIMISING), compile_policy(policy)
    for family in Family:
        assert [*unlike(plain.rulesets[family], reread(folded.rulesets[family]))] == []


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(policies())
def test_whatever_can_be_folded_may_be(written: dict[str, Any]) -> None:
    """Sets from two rules on, so that short random policies have many of them."""
    policy = read(written)
    plain = compile_policy(policy, without=OPTIMISING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold_module, "FOLD_FROM", 2)
        folded = compile_policy(policy)
    for family in Family:
        assert [*unlike(plain.rulesets[family], reread(folded.rulesets[family]))] == []


JUDGED_TWICE: dict[str, Any] = {
    "version": "1",
    "endpoints": {"lan": {"host": ["eth1", "eth2"]}, "pods": {"workload": "veth+"}},
    "policies": [
        {"name": "routed", "from": ["lan"], "forward": [{"allow": "any", "from": "192.0.2.1"}]},
        {"name": "workloads", "at": ["pods"], "egress": [{"allow": "any"}]},
    ],
}
"""What a workload sends has a verdict already when it comes to the interfaces of the forward
policies: that verdict is none of theirs."""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(policies())
@example(JUDGED_TWICE)
def test_whatever_can_be_a_tree_may_be(written: dict[str, Any]) -> None:
    """Trees from two interfaces on, down to the last letter."""
    policy = read(written)
    plain = compile_policy(policy, without=OPTIMISING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_module, "TREE_FROM", 2)
        patch.setattr(tree_module, "LEAVES", 1)
        planted = compile_policy(policy, without=(fold_module.fold_sets,))
    for family in Family:
        assert [*unlike(plain.rulesets[family], reread(planted.rulesets[family]))] == []


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(long_policies())
def test_every_member_leads_back_to_a_rule_that_asks_for_it(written: dict[str, Any]) -> None:
    policy = read(written)
    compiled = compile_policy(policy)
    asked = {rule.identity for _, rule in policy.rules()}
    for ruleset in compiled.rulesets.values():
        named = {name for rule in ruleset.rules() for name in rule.set_names}
        assert named == {ipset.name for ipset in ruleset.sets}
        for ipset in ruleset.sets:
            assert len(ipset.name.encode()) <= 28
            for member in ipset.members:
                origin = compiled.source_map.origin_of(member.comment or "")
                assert origin is not None
                assert origin.identity in asked


def spoilt(ruleset: Ruleset, ipset: IpSet) -> Ruleset:
    return replace(
        ruleset, sets=tuple(ipset if each.name == ipset.name else each for each in ruleset.sets)
    )


@pytest.mark.parametrize("family", Family, ids=str)
def test_a_member_too_few_or_of_another_set_is_seen(family: Family) -> None:
    """By the comparison of rulesets, and by the proof against the policy."""
    policy = load(FOLDED.read_text(), FOLDED.name)
    plain = compile_policy(policy, without=OPTIMISING).rulesets[family]
    folded = compile_policy(policy).rulesets[family]
    assert len(folded.sets) > 5
    seen = unseen = 0
    for ipset in folded.sets:
        for at in range(len(ipset.members)):
            fewer = ipset.members[:at] + ipset.members[at + 1 :]
            mutant = spoilt(folded, replace(ipset, members=fewer))
            by_comparison = bool([*unlike(plain, mutant)])
            assert prove(policy, {family: mutant}, sizes=False).holds is not by_comparison
            seen += by_comparison
            unseen += not by_comparison
    # some are harmless: another member is wider, or no forward policy lets the packets so far
    assert seen > 2 * unseen
    for one in folded.sets:
        for other in folded.sets:
            if one is not other and one.kind == other.kind:
                mutant = spoilt(folded, replace(one, members=other.members))
                assert [*unlike(plain, mutant)], f"{one.name} with members of {other.name}"


@pytest.mark.parametrize(
    ("what", "broken"),
    [
        ("runs that a log or another action ends", "_runs"),
        ("ports by themselves", "kinds_of"),
        ("the rest of a rule that is folded in part", "_rest"),
    ],
)
def test_a_spoilt_pass_is_seen(what: str, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load(FOLDED.read_text(), FOLDED.name)
    plain = compile_policy(policy, without=OPTIMISING)
    if broken == "_runs":
        runs = fold_module._runs

        def one_run(rules: Any) -> Any:
            found = list(runs(rules))
            late_rules = [rule for run in found if isinstance(run, list) for rule in run]
            others = [run for run in found if not isinstance(run, list)]
            end = others.pop() if others else None
            allowed = [rule for rule in late_rules if rule.action == "allow"]
            denied = [rule for rule in late_rules if rule.action != "allow"]
            yield from others
            yield from (run for run in (allowed, denied) if run)
            if end is not None:
                yield end

        monkeypatch.setattr(fold_module, "_runs", one_run)
    elif broken == "kinds_of":
        right = fold_module.kinds_of

        def too_few(traffic: Any) -> Any:
            kinds = right(traffic)
            return replace(kinds, ports=dict(list(kinds.ports.items())[:1]))

        monkeypatch.setattr(fold_module, "kinds_of", too_few)
    else:
        monkeypatch.setattr(fold_module._Folding, "_rest", lambda *_: iter(()))
    spoilt_rules = compile_policy(policy)
    assert any(
        [*unlike(plain.rulesets[family], spoilt_rules.rulesets[family])] for family in Family
    ), what


def test_a_spoilt_tree_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    file = FOLDED.parents[1] / "81-many-interfaces" / "policy.yaml"
    policy = load(file.read_text(), file.name)
    plain = compile_policy(policy, without=OPTIMISING)
    right = tree_module._leaf

    def for_another(rules: list[Rule]) -> Iterator[Rule]:
        for rule in right(rules):
            matches = (
                replace(match, name="tapa29") if match.name == "tapa20" else match
                for match in rule.matches
                if isinstance(match, InterfaceMatch)
            )
            others = (m for m in rule.matches if not isinstance(m, InterfaceMatch))
            yield replace(rule, matches=(*matches, *others))

    monkeypatch.setattr(tree_module, "_leaf", for_another)
    spoilt_rules = compile_policy(policy)
    for family in Family:
        assert [*unlike(plain.rulesets[family], spoilt_rules.rulesets[family])]
        assert not prove(policy, {family: spoilt_rules.rulesets[family]}, sizes=False).holds
