"""Many interfaces become a tree of their names; few stay a list."""

from __future__ import annotations

from netfw.compiler.pipeline import compile_policy
from netfw.ir.match import InterfaceMatch
from netfw.ir.names import Family, TableName
from netfw.ir.ruleset import Chain
from netfw.ir.target import Goto, Jump, Return, SetMark
from netfw.policy.read import load
from netfw.prove.proof import prove
from tests.reread import reread


def chains_for(names: list[str], kind: str = "workload", rest: str = "") -> dict[str, Chain]:
    endpoints = "".join(f'  w{n}: {{{kind}: "{name}"}}\n' for n, name in enumerate(names))
    policy = load(f"version: 1\nendpoints:\n{endpoints}{rest}", "p.yaml")
    ruleset = compile_policy(policy).rulesets[Family.IPV4]
    if len(names) < 100:
        # a proof of a thousand interfaces takes 15 s, and shows nothing more
        assert prove(policy, {Family.IPV4: reread(ruleset)}, sizes=False).holds
    table = ruleset.table(TableName.FILTER)
    assert table is not None
    return {chain.name: chain for chain in table.chains}


def asked(chains: dict[str, Chain], interface: str) -> tuple[int, str]:
    """How many rules a packet meets in the tree of what is forwarded in, and where it ends."""
    chain, count = chains["NETFW-FORWARD-BY-IN"], 0
    while True:
        for rule in chain.rules:
            count += 1
            (match,) = [each for each in rule.matches if isinstance(each, InterfaceMatch)]
            if match.covers(interface):
                break
        else:
            return count, ""
        assert isinstance(rule.target, Goto)
        if "-BY-" not in rule.target.chain:
            return count, rule.target.chain
        chain = chains[rule.target.chain]


def test_a_few_interfaces_stay_a_list() -> None:
    chains = chains_for([f"veth{n}" for n in range(15)])
    assert not [name for name in chains if "-BY-" in name]
    calls = [rule for rule in chains["NETFW-FORWARD"].rules if isinstance(rule.target, Jump)]
    assert len(calls) == 30


def test_a_thousand_interfaces_are_told_apart_by_few_rules() -> None:
    names = [f"cali{n * 2654435761 % 2**32:08x}" for n in range(1000)]
    chains = chains_for(names)
    for number in (0, 1, 17, 500, 999):
        count, chain = asked(chains, names[number])
        assert chain == f"NETFW-FROM-w{number}"
        assert count <= 40
    assert asked(chains, "eth0")[1] == ""
    assert asked(chains, "calizzzz")[1] == ""


def test_names_that_begin_alike_are_as_exact_as_in_a_list() -> None:
    names = ["tap", "tap1", "tap10", "tap100", "tun+", *(f"tap2{n}" for n in range(20))]
    chains = chains_for(names)
    for number, name in enumerate(names):
        assert asked(chains, name.replace("+", "7"))[1] == f"NETFW-FROM-w{number}"
    for other in ("ta", "tap2", "tap1000", "tap11", "tup"):
        assert asked(chains, other)[1] == ""


FORWARD = "policies:\n  - {name: ways, from: [%s], forward: [{allow: ssh}]}\n"


def names_and_policy(kept: str) -> tuple[list[str], str]:
    names = [f"lan{n * 2654435761 % 2**32:08x}" for n in range(40)]
    return names, FORWARD % ", ".join(f"w{n}" for n in range(40)) + kept


def test_the_way_to_the_forward_policies_is_a_tree_on_either_side() -> None:
    names, rest = names_and_policy("")
    chains = chains_for(names, "host", rest)
    first, second = chains["NETFW-FORWARD"].rules
    assert isinstance(first.target, Jump), "what comes in by another interface may leave by one"
    assert isinstance(second.target, Goto), "the last of a chain needs no way back"
    for name in names:
        assert asked(chains, name)[1] == "NETFW-FORWARD-RULES"


def test_what_may_come_decided_from_before_is_looked_at_one_after_the_other() -> None:
    """Others' marks, and the verdicts of workloads, would look as if the tree had decided."""
    for kept in (
        "defaults: {on-accept: return}\n",
        "  - {name: p, at: vms, egress: [allow: any]}\n",
    ):
        names, rest = names_and_policy(kept)
        chains = chains_for(names, "host", f"  vms: {{workload: 'veth+'}}\n{rest}")
        *by_in, by_out = chains["NETFW-FORWARD-STAGE"].rules
        assert len(by_in) == 40
        assert isinstance(by_out.target, Goto), "the last of a chain needs no way back"


def test_what_comes_back_decided_from_a_tree_is_not_judged_again() -> None:
    """Behind a rule that takes away what an earlier stage said."""
    names, _ = names_and_policy("")
    ways = "".join(
        f"  - {{name: p{n}, from: w{n}, forward: [allow: tcp/{n + 1}]}}\n" for n in range(40)
    )
    chains = chains_for(names, "host", f"  vms: {{workload: 'veth+'}}\npolicies:\n{ways}")
    clear, *_, by_in, back, end = chains["NETFW-FORWARD-RULES"].rules
    assert isinstance(clear.target, SetMark)
    assert isinstance(by_in.target, Jump)
    assert isinstance(back.target, Return)
    assert isinstance(end.target, Goto)
