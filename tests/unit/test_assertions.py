"""``assert:`` holds for every packet that it describes, or a packet shows that it does not."""

import pytest

from netfw.errors import PolicyError
from netfw.ir.names import Family
from netfw.policy.read import load
from netfw.prove.assertions import Broken, broken_assertions
from netfw.prove.prediction import judge_example

START = """\
version: 1
endpoints:
  wan: {host: eth0}
  lan: {host: eth1}
  pods: {workload: veth+}
services: {web: [http, https]}
nets: {office: [192.0.2.0/24, "2001:db8:1::/48"]}
failsafes: none
policies:
  - name: public
    at: wan
    ingress:
      - {allow: ssh, from: office}
      - {allow: http}
  - {name: out, from: lan, to: wan, forward: [{allow: web}]}
assert:
"""


def broken(*entries: str) -> list[Broken]:
    lines = "".join(f"  - {entry}\n" for entry in entries)
    return broken_assertions(load(START + lines, "policy.yaml"))


@pytest.mark.parametrize(
    "entry",
    [
        "denied: {in: wan, to: host, service: ssh, from: {not: office}}",
        "allowed: {in: wan, to: host, service: ssh, from: office}",
        "allowed: {in: wan, to: host, service: http}",
        "allowed: {in: lan, out: wan, service: web}",
        "denied: {in: lan, out: wan, service: ssh}",
    ],
)
def test_an_assertion_that_the_policy_fulfils_holds(entry: str) -> None:
    assert broken(entry) == []


@pytest.mark.parametrize(
    ("entry", "outcome"),
    [
        ("denied: {in: wan, to: host, service: ssh}", "allowed"),
        ("allowed: {in: wan, to: host, service: ssh}", "denied"),
        ("allowed: {in: lan, out: wan, service: [web, ssh]}", "denied"),
        ("denied: {in: wan, to: host, service: [tcp/23, http]}", "allowed"),
    ],
)
def test_a_broken_assertion_comes_with_a_packet_of_each_family_that_breaks_it(
    entry: str, outcome: str
) -> None:
    policy = load(f"{START}  - {entry}\n", "policy.yaml")
    found = broken_assertions(policy)
    assert {one.family for one in found} == set(Family)
    for one in found:
        assert one.found == outcome
        assert judge_example(policy, one.example).verdict.value == outcome
        assert one.assertion.origin.where.line == 17


def test_what_no_policy_covers_fulfils_no_assertion() -> None:
    (first, *_) = broken("denied: {from: host, out: lan, service: ssh}")
    assert first.found.startswith("not covered")


@pytest.mark.parametrize(
    "entry",
    [
        "denied: {in: nowhere, to: host, service: ssh}",
        "denied: {in: wan, to: host, service: nothing-known}",
        "refused: {in: wan, to: host, service: ssh}",
        "denied: {in: wan, to: host, servize: ssh}",
        "denied",
    ],
)
def test_what_is_no_assertion_is_refused_with_its_line(entry: str) -> None:
    with pytest.raises(PolicyError) as raised:
        load(f"{START}  - {entry}\n", "policy.yaml")
    assert all(fault.place.startswith("policy.yaml:17") for fault in raised.value.faults)
