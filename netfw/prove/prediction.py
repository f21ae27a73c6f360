"""What an example does, by the other model: step by step through the rules, and by the policy.

The proof works with sets, ``walk`` with one packet; where a proof hands back an example, both
are asked.
"""

from __future__ import annotations

from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.ruleset import Ruleset
from netfw.ir.target import Dnat
from netfw.policy.flow import Flow
from netfw.policy.judge import Judge, Judgement
from netfw.policy.model import Policy
from netfw.policy.redirection import redirected
from netfw.prove.packet_of import Example
from netfw.traverse.connection import AssumedConntrack
from netfw.traverse.host_facts import HostFacts, InterfaceAddress, Route
from netfw.traverse.nat import LOOPBACK_ADDRESS
from netfw.traverse.set_lookup import known_sets
from netfw.traverse.traversal import Traversal
from netfw.traverse.walk import Walker

_PLACEHOLDER = {Family.IPV4: 0xC612FF01, Family.IPV6: (0x20010002 << 96) + 0xFF01}
"""An own address for interfaces of which nothing is known, out of the blocks for benchmarks."""


def predict(ruleset: Ruleset, example: Example) -> Traversal:
    """Walk an example through rules; its path is the one it was found on."""
    walker = Walker(ruleset, facts_for(ruleset, example), AssumedConntrack(example.state))
    return walker.walk(example.packet)


def facts_for(ruleset: Ruleset, example: Example) -> HostFacts:
    """A host on which the packet takes its path: no more of it is known."""
    packet, family = example.packet, example.packet.family
    out = example.out_interface
    sets = known_sets(ruleset.sets)
    placeholder = InterfaceAddress(family, _PLACEHOLDER[family], family.bits)
    if out:
        return HostFacts(
            addresses={out: (placeholder,)},
            routes=(Route(Net.everything(family), out),),
            sets=sets,
        )
    targets = {
        rule.target.to.addresses[0]
        for rule in ruleset.rules()
        if isinstance(rule.target, Dnat) and rule.target.to.addresses is not None
    }
    # a packet from outside with a source of this host would be stopped by routing
    targets.discard(packet.source)
    mine = [InterfaceAddress(family, address, family.bits) for address in sorted(targets)]
    arrived = InterfaceAddress(family, packet.destination, family.bits)
    return HostFacts(addresses={packet.in_interface: (arrived, placeholder, *mine)}, sets=sets)


def judge_example(policy: Policy, example: Example) -> Judgement:
    """What the policy says of an example, by its own meaning."""
    packet = example.packet
    flow = Flow(
        packet.family,
        packet.in_interface,
        example.out_interface,
        packet.source,
        packet.destination,
        packet.protocol,
        packet.destination_port,
        (packet.icmp_type, packet.icmp_code),
        example.state,
        example.dnat,
        packet.source_port,
        tcp_flags=packet.tcp_flags,
    )
    return Judge(policy).judge(_translated(policy, flow))


def _translated(policy: Policy, flow: Flow) -> Flow:
    """The flow behind the entry that redirects it, on the host of ``facts_for``: its own address
    is the one to which the packet came."""
    own = flow.destination if flow.in_interface else LOOPBACK_ADDRESS[flow.family]
    found = redirected(policy, flow, own, lambda _, span: span.first)
    return flow if found is None else found
