"""nat: new destinations for what comes in, the own address for what leaves."""

from __future__ import annotations

from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.term import InterfacePair, expand_conditions, interface_matches
from netfw.ir.names import Hook, TableName
from netfw.ir.ruleset import OWN_CHAIN_PREFIX, Chain, Rule
from netfw.ir.target import Dnat, Masquerade, NatRange


def build_nat(draft: Draft) -> Draft:
    """Make NETFW-PREROUTING and NETFW-POSTROUTING, those of them that have work."""
    for hook, rules in ((Hook.PREROUTING, _dnat(draft)), (Hook.POSTROUTING, _masquerade(draft))):
        if rules:
            chain = Chain(OWN_CHAIN_PREFIX + hook.value, tuple(rules))
            draft = draft.with_chains(TableName.NAT, chain)
    return draft


def _dnat(draft: Draft) -> list[Rule]:
    rules = []
    for dnat in draft.policy.dnats:
        conditions = dnat.conditions(draft.family)
        if conditions is None:
            continue
        ports = None if dnat.ports is None else (dnat.ports.first, dnat.ports.last)
        target = Dnat(NatRange(addresses=(dnat.address, dnat.address), ports=ports))
        pairs = [(name, None) for endpoint in dnat.inputs for name in endpoint.interfaces]
        rules += [
            make_rule(dnat.origin, target, *term) for term in expand_conditions(conditions, pairs)
        ]
    return rules


def _masquerade(draft: Draft) -> list[Rule]:
    """``-i`` in a chain that POSTROUTING calls: iptables takes it there (it refuses it in the
    built-in chain only), and Linux fills it in since 5.7 (ip_output in net/ipv4/ip_output.c)."""
    rules = []
    for masquerade in draft.policy.masquerades:
        if draft.family not in masquerade.families:
            continue
        ways_in: list[str | None] = [
            name for endpoint in masquerade.sources for name in endpoint.interfaces
        ]
        pairs: list[InterfacePair] = [
            (way_in, way_out)
            for way_in in (ways_in if masquerade.sources else [None])
            for endpoint in masquerade.out
            for way_out in endpoint.interfaces
        ]
        rules += [
            make_rule(masquerade.origin, Masquerade(), *interface_matches(pair)) for pair in pairs
        ]
    return rules
