"""Defaults, failsafes, tiers and early policies: what is refused, and what each of them means."""

from __future__ import annotations

import pytest

from netfw.errors import PolicyError
from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import TCP, UDP
from netfw.policy.flow import Flow
from netfw.policy.judge import Verdict, judge
from netfw.policy.read import load

ENDPOINTS = "version: 1\nendpoints:\n  wan: {host: eth0}\n  pods: {workload: veth+}\n"


def faults_of(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load(ENDPOINTS + text, "p.yaml")
    return [f"{fault.place}: {fault.problem}" for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("defaults: {invallid: ask}", "5:12: unknown key 'invallid' in 'defaults'"),
        ("defaults: {established: deny}", "5:25: 'established' cannot be 'deny'"),
        ("defaults: {strict-exit: maybe}", "5:25: 'strict-exit' is 'yes' or 'no', not 'maybe'"),
        ("defaults: []", "5:11: 'defaults' must be a mapping, not a list"),
        ("failsafes: {ingress: [sssh]}", "5:23: unknown service 'sssh'"),
        ("failsafes: {forward: [ssh]}", "5:13: unknown key 'forward' in 'failsafes'"),
        ("failsafes: {ingress: [{from: 10.0.0.1}]}", "5:23: a failsafe lacks the key 'service'"),
        ("failsafes: {egress: [{service: dns, from: 10.0.0.1}]}", "5:37: unknown key 'from'"),
        (
            "failsafes: {ingress: [{service: icmp/8, from: '2001:db8::1'}]}",
            "5:23: no packet can match this failsafe",
        ),
        ("tiers: [{name: a}, {name: a}]", "5:27: there are two tiers 'a'"),
        ("tiers: [{name: default}]", "5:16: tier 'default' is always there, and the last one"),
        ("tiers: [{name: a, default: allow}]", "5:28: 'default' of a tier cannot be 'allow'"),
        (
            "policies: [{name: a, tier: b, at: wan, ingress: [{allow: ssh}]}]",
            "5:28: unknown tier 'b'",
        ),
        (
            "policies: [{name: a, acts: late, at: wan, ingress: [{allow: ssh}]}]",
            "5:28: 'acts' cannot be 'late'",
        ),
        (
            "policies: [{name: a, acts: untracked, at: pods, ingress: [{allow: ssh}]}]",
            "5:12: policy 'a' acts untracked at 'pods', a workload",
        ),
        (
            "policies: [{name: a, acts: pre-dnat, at: wan, egress: [{allow: ssh}]}]",
            "5:12: policy 'a' acts pre-dnat and has 'egress'",
        ),
        (
            "policies: [{name: a, acts: untracked, at: wan, ingress: [{reject: ssh}]}]",
            "5:58: 'reject' in a policy that acts untracked",
        ),
        (
            "policies: [{name: a, acts: untracked, at: wan, ingress: [{deny: any, state: new}]}]",
            "5:58: 'state' in a policy that acts untracked",
        ),
        (
            "policies: [{name: a, acts: untracked, at: wan,"
            " ingress: [{deny: any, connections: 9}]}]",
            "5:58: 'connections' in a policy that acts untracked",
        ),
        (
            "policies: [{name: a, acts: untracked, at: wan, egress: [{deny: any, rate: 9/hour}]}]",
            "5:57: 'rate' in the egress of a policy that acts untracked: it would count answers",
        ),
        (
            "policies: [{name: a, acts: pre-dnat, from: wan, forward: [{allow: ssh}]}]",
            "5:28: policy 'a' has 'forward' and 'acts'",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, fault: str) -> None:
    (found,) = faults_of(text)
    assert found.startswith(f"p.yaml:{fault}")


def verdict(
    text: str,
    *,
    port: int,
    protocol: int = TCP,
    source: str = "198.51.100.7",
    source_port: int = 40000,
    way: tuple[str, str] = ("eth0", ""),
    state: ConnectionState = ConnectionState.NEW,
) -> Verdict:
    """What a policy says of a packet to this host."""
    came_by, leaves_by = way
    address = Net.parse(source).address
    flow = Flow(
        Family.IPV4,
        came_by,
        leaves_by,
        address,
        0xCB007101,
        protocol,
        port,
        state=state,
        source_port=source_port,
    )
    return judge(load(ENDPOINTS + text, "p.yaml"), flow).verdict


CLOSED = "policies: [{name: closed, at: wan, ingress: [{deny: any}], egress: [{deny: any}]}]\n"


def test_without_a_word_of_failsafes_ssh_comes_in_whatever_the_rules_say() -> None:
    assert verdict(CLOSED, port=22) is Verdict.ALLOWED
    assert verdict(CLOSED, port=22, state=ConnectionState.INVALID) is Verdict.ALLOWED
    assert verdict(CLOSED, port=23) is Verdict.DENIED
    assert verdict(f"failsafes: none\n{CLOSED}", port=22) is Verdict.DENIED


def test_a_failsafe_holds_for_its_nets_alone_and_lets_the_answers_out() -> None:
    text = f"failsafes: {{ingress: [{{service: ssh, from: 192.0.2.0/24}}]}}\n{CLOSED}"
    assert verdict(text, port=22, source="192.0.2.9") is Verdict.ALLOWED
    assert verdict(text, port=22) is Verdict.DENIED
    out = {"way": ("", "eth0"), "source_port": 22, "port": 40000}
    assert verdict(f"failsafes: {{ingress: [ssh]}}\n{CLOSED}", **out) is Verdict.ALLOWED
    assert verdict(text, **out) is Verdict.DENIED


def test_a_dhcp_client_gets_its_address_unless_the_rules_shall_say_so() -> None:
    offer = {"port": 68, "protocol": UDP, "source_port": 67}
    assert verdict(CLOSED, **offer) is Verdict.ALLOWED
    assert verdict(CLOSED, **(offer | {"source_port": 66})) is Verdict.DENIED
    assert verdict(f"defaults: {{dhcp: ask}}\n{CLOSED}", **offer) is Verdict.DENIED


def test_pass_goes_to_the_next_tier_and_the_rest_of_a_tier_to_its_default() -> None:
    text = """\
failsafes: none
tiers: [{name: first, default: deny}]
policies:
  - {name: a, tier: first, at: wan, ingress: [{pass: [http, https]}, {allow: smtp}]}
  - {name: b, at: wan, ingress: [{allow: [http, ssh]}]}
"""
    said = {port: verdict(text, port=port) for port in (80, 443, 25, 22)}
    assert said == {
        80: Verdict.ALLOWED,
        443: Verdict.DENIED,
        25: Verdict.ALLOWED,
        22: Verdict.DENIED,
    }
    open_end = text.replace(", default: deny", "")
    assert verdict(open_end, port=22) is Verdict.ALLOWED


def test_an_early_verdict_stands_for_the_rules_behind_it() -> None:
    text = """\
failsafes: none
policies:
  - {name: early, acts: pre-dnat, at: wan, ingress: [{allow: http}, {deny: https}]}
  - {name: late, at: wan, ingress: [{allow: [https, ssh]}]}
"""
    assert verdict(text, port=80) is Verdict.ALLOWED
    assert verdict(text, port=443) is Verdict.DENIED
    assert verdict(text, port=22) is Verdict.ALLOWED
    assert verdict(text, port=80, state=ConnectionState.INVALID) is Verdict.DENIED
    forwarded = ("eth0", "veth0")
    assert verdict(text, port=80, way=forwarded) is Verdict.DENIED, "the workload has its say"
