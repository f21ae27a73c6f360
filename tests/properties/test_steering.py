"""Random steering: proved, and of single packets the same by sets, by rules and by the policy."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from netfw.compiler.pipeline import compile_policy
from netfw.errors import PolicyError
from netfw.ir.match import ConnectionState
from netfw.ir.names import Family, TableName
from netfw.ir.net import Net
from netfw.ir.ruleset import Rule, Ruleset, Table
from netfw.policy.flow import Flow
from netfw.policy.model import Policy
from netfw.policy.read import load
from netfw.policy.steered import steer
from netfw.prove.proof import prove
from netfw.traverse.connection import Conntrack
from netfw.traverse.host_facts import HostFacts, InterfaceAddress, Route
from netfw.traverse.packet import SYN, Packet
from netfw.traverse.walk import Walker
from tests.golden.cases import policy_of
from tests.reread import reread

from .random_policies import some, some_nets, staged_policies, write
from .test_compiled_means_policy import flows

SERVICES = ["any", "ssh", "tcp/53", ["udp/53", "ping"], {"not": ["tcp/22", "udp"]}]
VIAS = [{"out": "eth0"}, {"out": "eth0", "gateway": "192.0.2.1", "if-down": "refuse"}]
MASKS = ["0x0ff00000", "0xff00ffff", "0x80000003"]


@st.composite
def entries(draw: st.DrawFn, present: list[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if draw(st.integers(0, 2)) == 0:
        entry["from"] = "host"
    else:
        if draw(st.booleans()):
            entry["in"] = draw(some(present))
        if draw(st.integers(0, 2)) == 0:
            entry["from"] = draw(st.one_of(some_nets, st.just({"not": ["office", "four"]})))
    if draw(st.integers(0, 2)) == 0:
        entry["to"] = draw(some_nets)
    if draw(st.booleans()):
        entry["service"] = draw(st.sampled_from(SERVICES))
    kinds = draw(st.sampled_from([("table",), ("class",), ("table", "class")]))
    if "table" in kinds:
        entry["table"] = draw(st.sampled_from(["main", 7, 100, 200]))
        if entry.get("from") != "host" and draw(st.integers(0, 3)) == 0:
            entry["replies"] = "true"
    if "class" in kinds:
        entry["class"] = draw(st.sampled_from(["none", "1:10", "1:20", "ffff:ffff"]))
    return entry


@st.composite
def steered_policies(draw: st.DrawFn) -> dict[str, Any]:
    policy = draw(staged_policies())
    found = draw(st.lists(entries(sorted(policy["endpoints"])), min_size=1, max_size=5))
    policy["steer"] = found
    if draw(st.booleans()):
        policy["marks"] = {"steer": draw(st.sampled_from(MASKS))}
    if "wan" in policy["endpoints"] and draw(st.booleans()):
        tables = [entry for entry in found if entry.get("table") in (7, 100, 200)]
        if tables:
            tables[0]["via"] = draw(st.sampled_from(VIAS))
    return policy


def read(policy: dict[str, Any]) -> Policy:
    """Read a random policy; what can match nothing, or needs more bits, is no example."""
    try:
        return load(write(policy), "p.yaml")
    except PolicyError as error:
        bad = ("no packet can match", "tell", "its gateway is not")
        assume(all(not any(word in fault.problem for word in bad) for fault in error.faults))
        raise


@given(steered_policies())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_rules_steer_every_packet_as_the_policy_says(written: dict[str, Any]) -> None:
    policy = read(written)
    compiled = compile_policy(policy)
    rulesets = {family: reread(ruleset) for family, ruleset in compiled.rulesets.items()}
    proof = prove(policy, rulesets, sizes=False)
    assert [difference for family in proof.families for difference in family.differences] == []


@given(steered_policies(), flows())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_first_packet_is_steered_as_the_policy_says(written: dict[str, Any], flow: Flow) -> None:
    assume(flow.state is ConnectionState.NEW)
    policy = read(written)
    ruleset = compile_policy(policy).rulesets[flow.family]
    steered = steer(policy, flow)
    assert steered is not None
    packet = Packet(
        flow.family,
        flow.source,
        flow.destination,
        flow.protocol,
        source_port=flow.source_port if flow.protocol in (6, 17, 132) else 0,
        destination_port=flow.destination_port,
        tcp_flags=SYN if flow.protocol == 6 else 0,
        icmp_type=flow.icmp[0],
        icmp_code=flow.icmp[1],
        in_interface=flow.in_interface,
    )
    traversal = Walker(ruleset, facts_of(flow), Conntrack()).walk(packet)
    passed = [step for step in traversal.steps if step.chain.startswith("NETFW-STEER")]
    untracked = any(step.chain.startswith("NETFW-RAW") for step in traversal.steps)
    assume(passed and not untracked)
    wanted = steered.mark(policy.steering, is_answer=False)
    assert wanted.matches(traversal.mark), f"{traversal.mark:#x} is not {wanted}"


def facts_of(flow: Flow) -> HostFacts:
    """A host that the packet takes its way through."""
    own = InterfaceAddress(flow.family, 1 << 24, flow.family.bits)
    addresses = {name: (own,) for name in (flow.in_interface, flow.out_interface) if name}
    if not flow.out_interface:
        here = InterfaceAddress(flow.family, flow.destination, flow.family.bits)
        addresses[flow.in_interface] = (here,)
        return HostFacts(addresses=addresses)
    return HostFacts(addresses, (Route(Net.everything(flow.family), flow.out_interface),))


@pytest.mark.parametrize("case", ["140-two-uplinks", "141-classes", "144-owners"])
def test_every_rule_that_steers_is_missed_where_it_is_left_out(case: str) -> None:
    policy = policy_of(case)
    ruleset = reread(compile_policy(policy).rulesets[Family.IPV4])
    unseen = []
    for chain in ruleset.table(TableName.MANGLE).chains:
        if not re.match(r"NETFW-(STEER|TABLE|CLASS|REPLIES|X)", chain.name):
            continue
        for number, rule in enumerate(chain.rules):
            rules = (*chain.rules[:number], *chain.rules[number + 1 :])
            spoilt = with_rules(ruleset, chain.name, rules)
            if prove(policy, {Family.IPV4: spoilt}, sizes=False).holds:
                unseen.append((chain.name, rule.comment))
    assert unseen == []


def with_rules(ruleset: Ruleset, name: str, rules: tuple[Rule, ...]) -> Ruleset:
    """The ruleset with other rules in a chain of mangle."""

    def changed(table: Table) -> Table:
        if table.name is not TableName.MANGLE:
            return table
        chains = (
            replace(chain, rules=rules) if chain.name == name else chain for chain in table.chains
        )
        return Table(table.name, tuple(chains))

    return replace(ruleset, tables=tuple(map(changed, ruleset.tables)))
