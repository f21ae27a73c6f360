"""What the proof says of packets, the kernel does with them."""

from __future__ import annotations

import pytest

from netfw.compiler.pipeline import compile_policy
from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.names import Backend, Family
from netfw.policy.judge import Verdict
from netfw.policy.read import load
from netfw.prove.prediction import judge_example
from netfw.prove.proof import prove
from netfw.render.restore import render_ruleset
from netfw.traverse.traversal import End
from netfw.verify.probe import Expected
from netfw.verify.progress import NoProgress
from netfw.verify.replay import replay
from netfw.verify.result import Result
from netfw.verify.session import run_task
from netfw.verify.verify import policy_task

pytestmark = pytest.mark.kernel

POLICY = """\
version: 1
endpoints:
  wan: {host: eth0}
  lan: {host: eth1}
failsafes: none
nets:
  office: [192.0.2.0/24, "2001:db8:1::/48"]
policies:
  - name: public
    at: wan
    ingress:
      - allow: ssh
        from: office
      - allow: http
  - name: out
    from: lan
    to: wan
    forward:
      - deny: smtp
      - allow: any
assert:
  - allowed: {in: wan, to: host, service: ssh, from: office}
  - denied: {in: wan, to: host, service: ssh, from: {not: office}}
  - allowed: {in: lan, out: wan, service: https}
  - denied: {in: lan, out: wan, service: smtp}
"""
each_family = pytest.mark.parametrize("family", Family, ids=str)
each_backend = pytest.mark.parametrize("backend", Backend, ids=str)


@each_family
@each_backend
@pytest.mark.parametrize(
    ("right", "wrong", "end"),
    [("--dport 80 ", "--dport 81 ", End.DROPPED), ("--dport 25 ", "--dport 26 ", End.SENT)],
)
def test_a_witness_is_treated_by_the_kernel_as_the_proof_says(
    family: Family, backend: Backend, right: str, wrong: str, end: End
) -> None:
    policy = load(POLICY, "policy.yaml")
    text = render_ruleset(compile_policy(policy).rulesets[family])
    assert text.count(right) == 1
    changed = parse_ruleset(text.replace(right, wrong), family, "changed")
    (found,) = prove(policy, {family: changed}).families
    assert len(found.differences) == 2
    ends = set()
    for difference in found.differences:
        run = replay(changed, difference.example, backend)
        assert run.result is Result.AGREE, run.inconclusive
        (comparison,) = run.comparisons
        assert comparison.observed is not None
        ends.add(comparison.observed.end)
        accepted = comparison.observed.end in (End.SENT, End.DELIVERED)
        verdict = judge_example(policy, difference.example).verdict
        assert verdict is (Verdict.DENIED if accepted else Verdict.ALLOWED)
    assert end in ends


@each_family
@each_backend
def test_a_witness_that_this_host_redirects_to_itself_is_sent_over_the_loopback(
    family: Family, backend: Backend
) -> None:
    text = POLICY + "nat:\n  - redirect: {from: host, service: udp/53, to: 5353}\n"
    policy = load(text, "policy.yaml")
    rules = render_ruleset(compile_policy(policy).rulesets[family])
    assert rules.count("--to-ports 5353") == 1
    changed = parse_ruleset(rules.replace("--to-ports 5353", "--to-ports 5354"), family, "changed")
    (found,) = prove(policy, {family: changed}).families
    assert found.differences
    for difference in found.differences:
        run = replay(changed, difference.example, backend)
        assert run.result is Result.AGREE, [run.inconclusive, run.comparisons]
        (comparison,) = run.comparisons
        assert comparison.observed is not None
        assert comparison.observed.end is End.DELIVERED
        assert comparison.observed.final is not None
        assert comparison.observed.final.destination_port == 5354


@each_family
@each_backend
def test_a_packet_is_sent_for_each_assertion(family: Family, backend: Backend) -> None:
    policy = load(POLICY, "policy.yaml")
    run = run_task(policy_task(policy, backend, family), NoProgress())
    assert run.result is Result.AGREE
    sent = {
        comparison.probe.origin.where.line: comparison.probe.expected
        for comparison in run.comparisons
        if comparison.probe.group == "assert" and comparison.probe.origin is not None
    }
    first = POLICY[: POLICY.index("  - allowed:")].count("\n") + 1
    assert sent == {
        first: Expected.ACCEPTED,
        first + 1: Expected.DENIED,
        first + 2: Expected.ACCEPTED,
        first + 3: Expected.DENIED,
    }
