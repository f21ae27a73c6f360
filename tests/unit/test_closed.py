"""The rules of a host that cannot have its own: what they let through, by the model."""

from __future__ import annotations

import pytest

from netfw.compiler.pipeline import compile_policy
from netfw.ir.names import Family, TableName
from netfw.plan.closed import closed
from netfw.plan.own import Own
from netfw.plan.own_of import own_of
from netfw.plan.own_rules import rulesets_of
from netfw.policy.read import load

POLICY = """\
version: 1
endpoints: {wan: {host: eth0}}
failsafes: {ingress: [{service: tcp/2222, from: 198.51.100.0/24}, {service: proto/89}]}
policies: [{name: public, at: wan, ingress: [{allow: https}]}]
"""


def confirmed(text: str) -> Own:
    return own_of(compile_policy(load(text, "policy.yaml")), {})


def rules(own: Own, family: Family) -> str:
    return "\n".join(own.tables[family, TableName.FILTER].chains["NETFW-CLOSED-IN"])


@pytest.mark.parametrize("family", Family, ids=str)
def test_its_rules_can_be_read_and_end_in_a_drop(family: Family) -> None:
    (table,) = rulesets_of(closed())[family].tables
    assert table.name is TableName.FILTER
    assert rules(closed(), family).endswith('--comment "netfw:closed/drop" -j DROP')


def test_without_a_policy_the_failsafe_is_ssh() -> None:
    for family in Family:
        assert "-p tcp -m tcp --dport 22 -m comment" in rules(closed(), family)


def test_a_policys_failsafes_take_the_place_of_ssh() -> None:
    text = rules(closed(confirmed(POLICY)), Family.IPV4)
    assert "-s 198.51.100.0/24 -p tcp -m tcp --dport 2222 -m comment" in text
    assert "-p 89 -m comment" in text
    assert "--dport 22 " not in text
    assert "443" not in text


def test_a_policy_without_failsafes_lets_nobody_in() -> None:
    own = confirmed(
        POLICY.replace(
            "failsafes: {ingress: [{service: tcp/2222, from: "
            "198.51.100.0/24}, {service: proto/89}]}",
            "failsafes: none",
        )
    )
    assert "-p tcp" not in rules(closed(own), Family.IPV4)


def test_failsafes_are_known_also_where_rules_of_others_are_asked_behind_netfws() -> None:
    own = confirmed(f"{POLICY}defaults: {{on-accept: return}}\n")
    assert "--dport 2222 -m comment" in rules(closed(own), Family.IPV4)
