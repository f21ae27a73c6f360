"""What a plan does, step by step; tests/kernel/test_transitions.py shows the kernel taking it."""

from __future__ import annotations

import json

import pytest

from netfw.compiler.pipeline import compile_policy
from netfw.errors import ConflictError
from netfw.ir.names import Family, TableName
from netfw.plan.own import Own
from netfw.plan.own_of import own_of
from netfw.plan.plan import Plan, plan
from netfw.plan.step import LoadRouting, LoadSets, LoadTable, WriteSetting
from netfw.policy.read import load


def own(policies: str, rest: str = "") -> Own:
    text = f"version: 1\nendpoints: {{wan: {{host: eth0}}, lan: {{host: eth1}}}}\n{policies}{rest}"
    return own_of(compile_policy(load(text, "p.yaml")), {})


def public(*allowed: str, more: str = "") -> str:
    rules = ", ".join(f"{{allow: {each}}}" for each in allowed)
    return f"policies:\n  - {{name: public, at: wan, ingress: [{rules}{more}]}}\n"


def many(*nets: str) -> str:
    """Enough rules for a set."""
    listed = ", ".join(f"{{allow: tcp/{8000 + n}, from: {net}}}" for n, net in enumerate(nets))
    return f"policies:\n  - {{name: public, at: wan, ingress: [{listed}]}}\n"


NETS = [f"192.0.2.{n}" for n in range(12)]


def tables(found: Plan, family: Family = Family.IPV4) -> dict[TableName, str]:
    return {
        step.table: step.text
        for step in found.steps
        if isinstance(step, LoadTable) and step.family is family
    }


def test_what_is_there_already_needs_no_step() -> None:
    assert plan(own(public("ssh")), own(public("ssh"))) == Plan()


def test_rules_that_another_version_words_differently_are_the_same() -> None:
    now = own(public("ssh"))
    key = (Family.IPV4, TableName.FILTER)
    chains = {
        name: tuple(text.replace("-p tcp ", "-p 6 ") for text in rules)
        for name, rules in now.tables[key].chains.items()
    }
    reworded = Own({**now.tables, key: type(now.tables[key])(chains, now.tables[key].calls)})
    assert reworded.tables[key] != now.tables[key]
    assert plan(reworded, own(public("ssh"))).steps == ()


def test_a_first_load_ends_with_filter_and_a_removal_begins_with_it() -> None:
    first = plan(Own(), own(public("ssh")))
    assert [*tables(first)] == [TableName.RAW, TableName.FILTER]
    last = plan(own(public("ssh")), Own())
    assert [*tables(last)] == [TableName.FILTER, TableName.RAW]


def test_only_the_rule_that_changes_is_written() -> None:
    found = tables(plan(own(public("ssh")), own(public("ssh", "http"))))
    assert [*found] == [TableName.FILTER]
    head, written, end = found[TableName.FILTER].splitlines()
    assert (head, end) == ("*filter", "COMMIT")
    assert written.startswith("-I NETFW-IN-wan ")
    assert "--dport 80" in written


def test_a_chain_of_which_little_stays_is_written_anew_and_no_other() -> None:
    turns = "".join(f", {{deny: tcp/{port}}}, {{allow: udp/{port}}}" for port in range(9, 20))
    found = tables(plan(own(public("ssh")), own(public("http", more=turns))))
    assert [*found] == [TableName.FILTER]
    declared = [line for line in found[TableName.FILTER].splitlines() if line[0] == ":"]
    assert ":NETFW-IN-wan - [0:0]" in declared
    assert "NETFW-INPUT" not in found[TableName.FILTER]


def test_our_rule_in_a_builtin_chain_comes_first_when_it_is_made_and_is_not_made_again() -> None:
    assert "-I INPUT 1 " in tables(plan(Own(), own(public("ssh"))))[TableName.FILTER]
    again = tables(plan(own(public("ssh")), own(public("http"))))
    assert " INPUT " not in again[TableName.FILTER]


def test_chains_that_are_needed_no_longer_are_emptied_before_they_are_removed() -> None:
    text = tables(plan(own(public("ssh")), Own()))[TableName.FILTER]
    lines = text.splitlines()
    assert lines.index(":NETFW-INPUT - [0:0]") < lines.index("-X NETFW-IN-wan")
    assert [line for line in lines if line.startswith("-D ")]


def test_one_set_that_changes_alone_changes_in_place_and_members_come_before_others_go() -> None:
    found = plan(own(many(*NETS)), own(many("198.51.100.7", *NETS[1:])))
    (step,) = found.steps
    assert isinstance(step, LoadSets)
    kinds = [line.split()[0] for line in step.text.splitlines()]
    assert kinds == ["add", "del"]


def test_a_set_that_changes_with_rules_gets_another_name_which_the_rules_go_over_to() -> None:
    now, wanted = own(many(*NETS)), own(many(*NETS[1:]).replace("]}\n", ", {deny: udp/9}]}\n"))
    found = plan(now, wanted)
    made, load_filter, gone = (step for step in found.steps if not _of(step, Family.IPV6))
    assert isinstance(made, LoadSets)
    assert isinstance(gone, LoadSets)
    assert made.text.startswith("create NETFW-4-IN-wan-A-sp.b ")
    assert isinstance(load_filter, LoadTable)
    assert "--match-set NETFW-4-IN-wan-A-sp.b " in load_filter.text
    assert gone.text == "destroy NETFW-4-IN-wan-A-sp\n"
    places = {change.place for change in found.changes}
    assert not [place for place in places if place.endswith(".b")], "people see the policy's names"


def test_sets_of_a_change_that_was_broken_off_are_cleared_away_first() -> None:
    now = own(many(*NETS))
    (ipset,) = (each for each in now.sets.values() if each.family is Family.IPV4)
    left = Own(now.tables, {**now.sets, ipset.name + ".b": ipset})
    (step,) = plan(left, now).steps
    assert isinstance(step, LoadSets)
    assert step.text == f"destroy {ipset.name}.b\n"


def test_sets_that_others_ask_stay_and_their_names_are_not_taken() -> None:
    now = own(many(*NETS))
    (ipset,) = (each for each in now.sets.values() if each.family is Family.IPV4)
    ends = (".b", ".c")
    left = Own(now.tables, {**now.sets, **{ipset.name + end: ipset for end in ends}})
    kept = frozenset(ipset.name + end for end in ends)
    assert not plan(left, now, kept=kept).steps
    wanted = own(many(*NETS[1:]).replace("]}\n", ", {deny: udp/9}]}\n"))
    texts = [
        step.text for step in plan(left, wanted, kept=kept).steps if isinstance(step, LoadSets)
    ]
    assert texts[0].startswith(f"create {ipset.name}.d ")
    assert texts[-1] == f"destroy {ipset.name}\n"
    with pytest.raises(ConflictError, match="rules or lists that are not netfw's"):
        plan(left, wanted, kept=kept | {ipset.name + ".d"})
    assert not plan(left, now, kept=kept | {ipset.name + ".d"}).steps


def test_routes_stand_before_marks_lead_to_them_and_go_after_the_last_one() -> None:
    steer = "steer:\n  - {service: tcp/25, in: lan, table: 100}\n"
    policy = public("ssh")
    steering = own(policy, steer)
    assert steering.routing
    coming, going = plan(own(policy), steering), plan(steering, own(policy))
    comes, goes = coming.steps, going.steps
    kinds = [type(step) for step in comes if not isinstance(step, WriteSetting)]
    assert kinds.index(LoadRouting) < kinds.index(LoadTable)
    assert isinstance(goes[-1], LoadRouting)
    assert "rule del " in goes[-1].text
    # what is read back is judged by these lines
    for found, is_coming in ((coming, True), (going, False)):
        lines = [each for each in found.changes if each.place == "routing"]
        assert {each.comes for each in lines} == {is_coming}
        assert {each.family for each in lines} == set(steering.routing)
        texts = {each.text for each in lines}
        assert texts == {line for each in steering.routing.values() for line in each}


def test_a_setting_gets_back_the_value_that_it_had() -> None:
    now = Own(settings={"net/ipv4/conf/all/src_valid_mark": "0"})
    found = plan(now, Own(), {"net/ipv4/conf/all/src_valid_mark": "1"})
    assert found.steps == (WriteSetting("net/ipv4/conf/all/src_valid_mark", "1"),)
    assert [(each.comes, each.text) for each in found.changes] == [
        (False, "net/ipv4/conf/all/src_valid_mark = 0"),
        (True, "net/ipv4/conf/all/src_valid_mark = 1"),
    ]


def test_changes_name_the_rules_of_the_policy() -> None:
    found = plan(own(public("ssh")), own(public("ssh", "http"))).changes
    named = {change.identity for change in found if change.family is Family.IPV4}
    assert len(named) == 1
    (name,) = named
    assert name.startswith("public/allow-")
    assert json.dumps([change.text for change in found])


def _of(step: object, family: Family) -> bool:
    if isinstance(step, LoadSets):
        return f"NETFW-{family.value}-" in step.text
    return isinstance(step, LoadTable) and step.family is family
