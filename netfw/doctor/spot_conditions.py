"""What a rule at a spot asks of packets, besides marks, and where on their way they meet it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from netfw.doctor.host_state import HeldRules, HostState
from netfw.doctor.nft_uses import nft_reach
from netfw.doctor.place import Spot, Stage, System
from netfw.ir.match import (
    AddressMatch,
    InterfaceMatch,
    Match,
    MultiportMatch,
    PortSide,
    ProtocolMatch,
    Side,
    Way,
)
from netfw.ir.match_transport import PortRange
from netfw.ir.names import TableName
from netfw.ir.net import Net
from netfw.ir.protocols import protocol_number
from netfw.ir.ruleset import Chain

_PORTS = {"sport": PortSide.SOURCE, "dport": PortSide.DESTINATION}
_SIDES = {"saddr": Side.SOURCE, "daddr": Side.DESTINATION}
_WAYS = {"iifname": Way.IN, "iif": Way.IN, "oifname": Way.OUT, "oif": Way.OUT}


def conditions_at(state: HostState, spot: Spot) -> tuple[Match, ...]:
    """The conditions of a rule, and of the rules that call its chain by the first way there.

    Of native rules those that iptables could ask too: others are left to the kernel. Empty for
    everything that is no rule.
    """
    if spot.system is System.NFTABLES:
        return tuple(_of_native(state, spot))
    found = _held(state, spot)
    if found is None:
        return ()
    held, table = found
    chain = _chain(held, table, spot)
    if chain is None or not 0 < spot.number <= len(chain.rules):
        return ()
    entries = held.reach.entries(table, spot.chain)
    calls = entries[0].calls if entries else ()
    return (*chain.rule(spot.number).matches, *calls)


def stages_at(state: HostState, spot: Spot) -> frozenset[Stage]:
    """The stages at which packets come by a rule; empty for everything that is none."""
    if spot.system is System.NFTABLES:
        return frozenset(
            entry.stage
            for native in state.tables
            if f"{native.family} {native.name}" == spot.table
            for entry in nft_reach(native).get(spot.chain, ())
        )
    found = _held(state, spot)
    if found is None:
        return frozenset()
    held, table = found
    return frozenset(entry.stage for entry in held.reach.entries(table, spot.chain))


def _held(state: HostState, spot: Spot) -> tuple[HeldRules, TableName] | None:
    for held in state.rules:
        is_meant = System.of_backend(held.backend) is spot.system and held.family is spot.family
        if is_meant and spot.table in {one.value for one in TableName}:
            return held, TableName(spot.table)
    return None


def _chain(held: HeldRules, table: TableName, spot: Spot) -> Chain | None:
    found = held.ruleset.table(table)
    return None if found is None else found.find_chain(spot.chain)


def _of_native(state: HostState, spot: Spot) -> Iterator[Match]:
    for table in state.tables:
        if f"{table.family} {table.name}" != spot.table:
            continue
        for chain in table.chains:
            if chain.name == spot.chain and 0 < spot.number <= len(chain.rules):
                for expression in chain.rules[spot.number - 1].expressions:
                    match = expression.get("match") if isinstance(expression, Mapping) else None
                    if isinstance(match, Mapping):
                        yield from _read(match)


def _read(match: Mapping[str, Any]) -> Iterator[Match]:
    left, right, relation = match.get("left"), match.get("right"), match.get("op", "==")
    if not isinstance(left, Mapping) or relation not in ("==", "!="):
        return
    negate = relation == "!="
    meta, payload = left.get("meta"), left.get("payload")
    if isinstance(meta, Mapping) and isinstance(right, str):
        key = str(meta.get("key"))
        if key in _WAYS:
            name = f"{right[:-1]}+" if right.endswith("*") else right
            yield InterfaceMatch(_WAYS[key], name, negate)
        elif key == "l4proto" and (number := _protocol(right)) is not None:
            yield ProtocolMatch(number, negate)
    elif isinstance(payload, Mapping):
        protocol, name = str(payload.get("protocol")), str(payload.get("field"))
        number = _protocol(protocol)
        if name in _PORTS:
            ports = tuple(_port_ranges(right))
            if number is not None:
                yield ProtocolMatch(number)
            if ports:
                yield MultiportMatch(_PORTS[name], ports, negate)
        elif protocol in ("ip", "ip6") and name in _SIDES:
            net = _net(right)
            if net is not None:
                yield AddressMatch(_SIDES[name], net, negate)
        elif protocol in ("ip", "ip6") and name in ("protocol", "nexthdr"):
            number = _protocol(str(right))
            if number is not None:
                yield ProtocolMatch(number, negate)


def _protocol(name: str) -> int | None:
    return protocol_number({"ipv6-icmp": "icmpv6"}.get(name, name))


def _port_ranges(right: Any) -> Iterator[PortRange]:  # noqa: ANN401 - JSON
    if isinstance(right, int):
        yield PortRange(right, right)
    elif isinstance(right, Mapping):
        span = right.get("range")
        if isinstance(span, list) and all(isinstance(one, int) for one in span):
            yield PortRange(span[0], span[1])
        for one in right.get("set", ()):
            yield from _port_ranges(one)


def _net(right: Any) -> Net | None:  # noqa: ANN401 - JSON
    prefix = right.get("prefix") if isinstance(right, Mapping) else None
    text = f"{prefix['addr']}/{prefix['len']}" if isinstance(prefix, Mapping) else right
    try:
        return Net.parse(text) if isinstance(text, str) else None
    except ValueError:
        return None
