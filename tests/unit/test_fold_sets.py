"""What becomes a set, who owns its members, and what stays as it is when a policy grows."""

from __future__ import annotations

import pytest

from netfw.compiler.pipeline import compile_policy
from netfw.errors import PolicyError
from netfw.ir.ipset import IpSet
from netfw.ir.names import Family
from netfw.policy.read import load
from netfw.render.ipset import render_member
from netfw.render.rule import render_rule

HEAD = "version: 1\nendpoints:\n  wan: {host: eth0}\npolicies:\n"


def policy_of(*rules: str, name: str = "p") -> str:
    lines = "".join(f"      - {{{rule}}}\n" for rule in rules)
    return f"  - name: {name}\n    at: wan\n    ingress:\n{lines}"


def compiled(text: str, family: Family = Family.IPV4) -> tuple[dict[str, IpSet], list[str]]:
    """The sets by name, and the rules of the chain in which the policy's rules stand."""
    ruleset = compile_policy(load(HEAD + text, "p.yaml")).rulesets[family]
    rules = [
        render_rule(rule, family)
        for table in ruleset.tables
        for chain in table.chains
        if chain.name == "NETFW-IN-wan"
        for rule in chain.rules
    ]
    return {ipset.name: ipset for ipset in ruleset.sets}, rules


def members(ipset: IpSet) -> dict[str, str]:
    """Members with the rule that each is of."""
    return {
        render_member(member).split(" ")[0]: (member.comment or "").removeprefix("netfw:p/")
        for member in ipset.members
    }


def hosts(count: int, *, start: int = 1) -> list[str]:
    return [
        f"allow: tcp/443, from: 198.51.100.{n}, name: r{n}" for n in range(start, start + count)
    ]


def test_ports_of_dccp_are_asked_by_a_rule_because_sets_do_not_see_them() -> None:
    both = [rule.replace("tcp/443", "[tcp/443, dccp/5]") for rule in hosts(8)]
    sets, rules = compiled(policy_of(*both))
    with_ports = [ipset for name, ipset in sets.items() if name.endswith("p")]
    assert all("tcp:443" in member for ipset in with_ports for member in members(ipset))
    (asking,) = [rule for rule in rules if "-p 33 " in rule]
    assert "--dports 5 " in asking


def test_seven_rules_stay_and_eight_become_a_set() -> None:
    sets, rules = compiled(policy_of(*hosts(7)))
    assert not sets
    assert len([rule for rule in rules if "netfw:p/" in rule]) == 7
    sets, rules = compiled(policy_of(*hosts(8)))
    assert list(sets) == ["NETFW-4-IN-wan-A-sp"]
    assert not [rule for rule in rules if "netfw:p/" in rule]
    (asking,) = [rule for rule in rules if "--match-set" in rule]
    assert asking.startswith("-m set --match-set NETFW-4-IN-wan-A-sp src,dst ")


def test_a_log_rule_ends_a_run_and_so_does_another_action() -> None:
    for between in ("log: any", "deny: any, from: 10.0.0.0/8"):
        sets, _ = compiled(policy_of(*hosts(4), between, *hosts(4, start=5)))
        assert not sets


def test_a_run_goes_over_policies() -> None:
    sets, _ = compiled(policy_of(*hosts(4)) + policy_of(*hosts(4, start=5), name="q"))
    assert len(sets["NETFW-4-IN-wan-A-sp"].members) == 8


def test_one_rule_more_changes_its_members_alone() -> None:
    first, denied = hosts(8), [f"deny: any, from: 10.0.{n}.0/24" for n in range(8)]
    second = hosts(8, start=101)
    before, _ = compiled(policy_of(*first, *denied, *second))
    assert len(before) == 3
    for at in (0, 4, 8, 12, 16, 20):
        rules = [*first, *denied, *second]
        action = "deny" if 8 <= at < 16 else "allow"
        rules.insert(at, f"{action}: tcp/25, from: 192.0.2.1, name: new")
        after, _ = compiled(policy_of(*rules))
        assert after.keys() == before.keys()
        for name, ipset in after.items():
            assert ipset.options == before[name].options
            theirs, mine = members(before[name]), members(ipset)
            assert {key: mine[key] for key in theirs} == theirs
            assert set(mine.values()) - set(theirs.values()) <= {"new"}


def test_what_two_rules_ask_for_belongs_to_the_first() -> None:
    rules = [
        *hosts(8),
        "allow: [https, http], from: 198.51.100.0/30, name: wide",
        "allow: http, from: 198.51.100.2, name: inside",
        "allow: tcp/443, from: 198.51.100.7, name: again",
    ]
    sets, _ = compiled(policy_of(*rules))
    found = members(sets["NETFW-4-IN-wan-A-sp"])
    assert found["198.51.100.2,tcp:443"] == "r2"
    assert found["198.51.100.0/30,tcp:443"] == "wide"
    assert found["198.51.100.7,tcp:443"] == "r7"
    assert "198.51.100.2,tcp:80" not in found
    origins = compile_policy(load(HEAD + policy_of(*rules), "p.yaml")).source_map
    assert origins.find("p/again") is not None
    assert origins.find("p/inside") is not None


def test_all_addresses_are_two_halves() -> None:
    rules = [f"allow: tcp/{port}, name: r{port}" for port in range(1, 9)]
    for family, halves in (
        (Family.IPV4, ("0.0.0.0/1", "128.0.0.0/1")),
        (Family.IPV6, ("::/1", "8000::/1")),
    ):
        sets, _ = compiled(policy_of(*rules), family)
        found = members(sets[f"NETFW-{family.value}-IN-wan-A-p"])
        assert [found[f"{half},tcp:8"] for half in halves] == ["r8", "r8"]
        assert len(found) == 16


def test_a_short_range_becomes_members_and_a_wide_one_stays_in_the_rule() -> None:
    sets, rules = compiled(
        policy_of(
            *(f"allow: [tcp/10-25, tcp/1000-1016], from: 10.{n}.0.0/16" for n in range(8)),
        )
    )
    assert len(sets["NETFW-4-IN-wan-A-sp"].members) == 8 * 16
    (wide,) = [ipset for name, ipset in sets.items() if name != "NETFW-4-IN-wan-A-sp"]
    assert (wide.kind, len(wide.members)) == ("hash:net", 8)
    (asking,) = [rule for rule in rules if wide.name in rule]
    assert asking.startswith(f"-p tcp -m tcp --dport 1000:1016 -m set --match-set {wide.name} src")


def test_many_networks_on_both_sides_are_a_set_for_each() -> None:
    nets = ", ".join(f"10.{n}.0.0/16" for n in range(9))
    others = ", ".join(f"172.16.{n}.0/24" for n in range(8))
    sets, rules = compiled(policy_of(f"allow: any, from: [{nets}], to: [{others}], name: big"))
    assert sorted(sets) == ["NETFW-4-p.big-d", "NETFW-4-p.big-s"]
    (rule,) = [rule for rule in rules if "netfw:p/big" in rule]
    assert rule.startswith(
        "-m set --match-set NETFW-4-p.big-s src -m set --match-set NETFW-4-p.big-d dst "
    )


def test_a_rule_of_too_many_members_is_refused_with_its_place() -> None:
    nets = ", ".join(f"10.{a}.{b}.0/24" for a in range(64) for b in range(255))
    ports = ", ".join(f"tcp/{port}" for port in range(1, 80))
    with pytest.raises(PolicyError, match="1289280 members of a set"):
        compiled(policy_of(f"allow: [{ports}], from: [{nets}]"))


def test_names_of_sets_fit_whatever_a_policy_is_called() -> None:
    long = "a-very-long-name-of-an-endpoint"
    text = HEAD.replace("wan", long) + policy_of(*hosts(8)).replace("at: wan", f"at: {long}")
    ruleset = compile_policy(load(text, "p.yaml")).rulesets[Family.IPV4]
    (ipset,) = ruleset.sets
    assert len(ipset.name) == 28
    assert ipset.name.startswith("NETFW-4-IN-a-very-lo")
