"""Random policies: the compiled rules say of a packet what the policy says of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from netfw.compiler.pipeline import OPTIMISING, compile_policy
from netfw.errors import PolicyError
from netfw.ir.mark import Mark
from netfw.ir.match import (
    AddressMatch,
    CommentMatch,
    ConnectionState,
    ConntrackMatch,
    IcmpMatch,
    InterfaceMatch,
    LimitMatch,
    MarkMatch,
    Match,
    MultiportMatch,
    ProtocolMatch,
    Side,
    TcpMatch,
    UdpMatch,
    Way,
)
from netfw.ir.names import Family, Hook, TableName
from netfw.ir.net import Net
from netfw.ir.ruleset import Rule, Table
from netfw.ir.target import Accept, Drop, Goto, Jump, Log, Reject, Return, SetMark
from netfw.policy.flow import Flow
from netfw.policy.judge import Verdict, judge
from netfw.policy.model import Policy
from netfw.policy.read import load

from .random_policies import policies, rules, write

INTERFACES = ("eth0", "eth1", "eth2", "tun7", "veth3", "vnet0", "tap1", "other0")
ADDRESSES = {
    Family.IPV4: ("192.0.2.7", "192.0.2.200", "10.1.2.3", "203.0.113.9"),
    Family.IPV6: ("2001:db8:1:2::1", "2001:db8:1:9::9", "2001:db8:ffff::1"),
}
PORTS = (1, 3, 22, 39, 53, 1000, 1500, 2000, 2001, 8443, 65535)
ICMP_TYPES = ((8, 0), (128, 0), (3, 4), (3, 1), (135, 0), (143, 0), (134, 0))


def read(policy: dict[str, Any]) -> Policy:
    """Read a random policy; one with a rule that can match nothing is no example."""
    try:
        return load(write(policy), "p.yaml")
    except PolicyError as error:
        assume(all("no packet can match" not in fault.problem for fault in error.faults))
        raise


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    family = draw(st.sampled_from(Family))
    hook = draw(st.sampled_from([Hook.INPUT, Hook.FORWARD, Hook.OUTPUT]))
    came_by = "" if hook is Hook.OUTPUT else draw(st.sampled_from(INTERFACES))
    leaves_by = "" if hook is Hook.INPUT else draw(st.sampled_from(INTERFACES))
    source, destination = (
        Net.parse(draw(st.sampled_from(ADDRESSES[family]))).address for _ in range(2)
    )
    icmp = 1 if family is Family.IPV4 else 58
    protocol = draw(st.sampled_from([6, 6, 17, 132, 50, icmp]))
    states = (
        ConnectionState.NEW,
        ConnectionState.NEW,
        ConnectionState.ESTABLISHED,
        ConnectionState.RELATED,
        ConnectionState.INVALID,
        ConnectionState.UNTRACKED,
    )
    state = draw(st.sampled_from(states))
    return Flow(
        family,
        came_by,
        leaves_by,
        source,
        destination,
        protocol,
        draw(st.sampled_from(PORTS)) if protocol in (6, 17, 132) else 0,
        draw(st.sampled_from(ICMP_TYPES)) if protocol == icmp else (0, 0),
        state,
        state is ConnectionState.NEW and hook is not Hook.OUTPUT and draw(st.booleans()),
    )


class Walk:
    """A small iptables: just what compiled rules use, written apart from the compiler."""

    def __init__(self, table: Table, flow: Flow, mark: int) -> None:
        self.table = table
        self.flow = flow
        self.mark = mark

    def run(self, chain: str) -> str | None:
        """ACCEPT, DROP or REJECT, or None at the end of the chain."""
        for rule in self.table.chain(chain).rules:
            if not all(self.meets(match) for match in rule.matches):
                continue
            match rule.target:
                case Accept():
                    return "ACCEPT"
                case Drop():
                    return "DROP"
                case Reject():
                    return "REJECT"
                case Return():
                    return None
                case SetMark(mark=mark):
                    self.mark = mark.set_on(self.mark)
                case Goto(chain=target):
                    return self.run(target)
                case Jump(chain=target):
                    verdict = self.run(target)
                    if verdict is not None:
                        return verdict
                case Log():
                    pass
                case _:
                    pytest.fail(f"unexpected {rule.target}")
        return None

    def meets(self, match: Match) -> bool:
        flow = self.flow
        match match:
            case AddressMatch(side=side, net=net):
                return (flow.source if side is Side.SOURCE else flow.destination) in net
            case InterfaceMatch(way=way):
                return match.covers(flow.in_interface if way is Way.IN else flow.out_interface)
            case ProtocolMatch(number=number):
                return flow.protocol == number
            case TcpMatch(destination=ports) | UdpMatch(destination=ports):
                return ports is not None and flow.destination_port in ports.ports
            case MultiportMatch(ports=ranges):
                return any(flow.destination_port in span for span in ranges)
            case IcmpMatch(type=icmp_type, codes=(first, last)):
                return flow.icmp[0] == icmp_type and first <= flow.icmp[1] <= last
            case ConntrackMatch(states=states, negate=negate):
                found = flow.state in states or (
                    flow.translated and ConnectionState.DNAT in states
                )
                return found is not negate
            case MarkMatch(mark=mark, negate=negate):
                return mark.matches(self.mark) is not negate
            case CommentMatch() | LimitMatch():
                return True
            case _:
                pytest.fail(f"unexpected {match}")


def hook_of(flow: Flow) -> Hook:
    if not flow.in_interface:
        return Hook.OUTPUT
    return Hook.FORWARD if flow.out_interface else Hook.INPUT


EXPECTED = {
    Verdict.ALLOWED: ("ACCEPT",),
    Verdict.DENIED: ("DROP", "REJECT"),
    Verdict.NOT_COVERED: (None,),
}


@settings(max_examples=300, deadline=None)
@given(policies(), st.lists(flows(), min_size=20, max_size=20), st.integers(0, 2**32 - 1))
def test_compiled_rules_mean_what_the_policy_says(
    written: dict[str, Any], packets: list[Flow], foreign: int
):
    policy = read(written)
    # that folding changes nothing is shown elsewhere; this small iptables has no sets
    compiled = compile_policy(policy, without=OPTIMISING)
    field = policy.field
    for flow in packets:
        table = compiled.rulesets[flow.family].table(TableName.FILTER)
        assert table is not None
        entry_mark = foreign & ~field.mask
        walk = Walk(table, flow, entry_mark)
        verdict = walk.run(hook_of(flow).value)
        judgement = judge(policy, flow)
        assert verdict in EXPECTED[judgement.verdict], (flow, judgement)
        assert (verdict == "REJECT") is judgement.rejected
        assert walk.mark & ~field.mask == entry_mark
        assert_mark_tells_the_verdict(field.accepted, field.denied, walk.mark, verdict)


def assert_mark_tells_the_verdict(
    accepted: Mark, denied: Mark, mark: int, verdict: str | None
) -> None:
    assert accepted.matches(mark) is (verdict == "ACCEPT")
    assert denied.matches(mark) is (verdict in ("DROP", "REJECT"))


def identities(policy: Policy) -> list[str]:
    return [rule.identity for _, rule in policy.rules()]


@settings(max_examples=100, deadline=None)
@given(policies(), st.integers(1, 5))
def test_blank_lines_change_nothing_but_lines(written: dict[str, Any], count: int):
    plain = compile_policy(read(written))
    moved = compile_policy(load("\n# why\n" * count + write(written), "p.yaml"))
    assert moved.rulesets == plain.rulesets
    for origin, other in zip(plain.source_map, moved.source_map, strict=True):
        assert other.identity == origin.identity
        if origin.where.line:
            assert other.where.line == origin.where.line + 2 * count


@settings(max_examples=100, deadline=None)
@given(policies(), rules(), st.randoms(use_true_random=False))
def test_inserted_rule_renames_no_other(
    written: dict[str, Any], extra: dict[str, Any], random: Any
):
    before = sorted(identities(read(written)))
    lists = [
        entry[key]
        for entry in written.get("policies", ())
        for key in ("ingress", "egress", "forward")
        if key in entry
    ]
    assume(lists)
    chosen = random.choice(lists)
    chosen.insert(random.randint(0, len(chosen)), extra)
    after = identities(read(written))
    for identity in before:
        after.remove(identity)
    assert len(after) == 1


@settings(max_examples=50, deadline=None)
@given(policies())
def test_every_rule_leads_back_to_the_policy(written: dict[str, Any]):
    compiled = compile_policy(read(written))
    found: list[Rule] = [
        rule for ruleset in compiled.rulesets.values() for rule in ruleset.rules()
    ]
    for rule in found:
        assert rule.comment is not None
        assert compiled.source_map.origin_of(rule.comment) is not None
