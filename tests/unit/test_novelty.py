"""What has to be tried out before a change: what the host has not shown to take."""

from __future__ import annotations

from dataclasses import replace

from netfw.compiler.pipeline import compile_policy
from netfw.ir.names import Family, TableName
from netfw.plan.novelty import novelty
from netfw.plan.own import Own
from netfw.plan.own_of import own_of
from netfw.policy.read import load

FILTER = (Family.IPV4, TableName.FILTER)
POLICY = """
version: 1
endpoints: {wan: {host: eth0}}
policies:
  - name: public
    at: wan
    ingress:
      - allow: tcp/1
      - deny: tcp/2
      - allow: tcp/3
"""
FOLDED = "      - allow: udp/9\n" + "".join(
    f"      - {{allow: tcp/80, from: [192.0.2.{n}]}}\n" for n in range(20)
)


def own(text: str) -> Own:
    return own_of(compile_policy(load(text, "p.yaml")), {})


def rules(part: Own) -> list[str]:
    return [text for texts in part.tables[FILTER].chains.values() for text in texts]


def test_on_an_empty_host_everything_is_new() -> None:
    assert novelty(own(POLICY), Own()) == own(POLICY)


def test_on_a_host_that_holds_it_nothing_is() -> None:
    wanted = own(POLICY + FOLDED)
    assert novelty(wanted, wanted) == Own()


def test_of_a_rule_more_that_rule_is_tried_in_all_chains_and_each_way_between_two() -> None:
    before, after = own(POLICY), own(POLICY + "      - deny: tcp/4\n")
    tried = novelty(after, before)
    assert [*tried.tables] == [FILTER, (Family.IPV6, TableName.FILTER)]
    chains = tried.tables[FILTER].chains
    assert chains.keys() == after.tables[FILTER].chains.keys()
    assert any("--dport 4 " in text for text in rules(tried))
    assert not any("--dport 2 " in text for text in rules(tried)), "another leads there already"
    for name, texts in after.tables[FILTER].chains.items():
        ways = {text.split(" -g ")[1] for text in texts if " -g " in text}
        assert {text.split(" -g ")[1] for text in chains[name] if " -g " in text} == ways


def test_of_a_set_the_members_that_come_are_tried_by_the_rule_that_asks_it() -> None:
    before = own(POLICY + FOLDED)
    after = own(POLICY + FOLDED + "      - {allow: tcp/80, from: [192.0.2.99]}\n")
    tried = novelty(after, before)
    (ipset,) = tried.sets.values()
    assert [member.printed.split(",")[0] for member in ipset.members] == ["192.0.2.99"]
    assert any(ipset.name in text for text in rules(tried))


def test_a_set_that_the_host_calls_otherwise_is_the_same_set() -> None:
    wanted = own(POLICY + FOLDED)
    ((name, ipset),) = ((n, s) for n, s in wanted.sets.items() if s.family is Family.IPV4)
    table = wanted.tables[FILTER]
    chains = {
        chain: tuple(text.replace(f"{name} ", f"{name}.b ") for text in texts)
        for chain, texts in table.chains.items()
    }
    held = replace(
        wanted,
        tables={**wanted.tables, FILTER: replace(table, chains=chains)},
        sets={
            **{n: s for n, s in wanted.sets.items() if n != name},
            f"{name}.b": replace(ipset, name=f"{name}.b"),
        },
    )
    assert novelty(wanted, held) == Own()
