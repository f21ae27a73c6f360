"""What a rule at a spot asks of packets, and where on their way they meet it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netfw.doctor.any_of import AnyOf, Condition
from netfw.doctor.host_state import HeldRules, HostState
from netfw.doctor.nft_conditions import conditions
from netfw.doctor.nft_uses import nft_reach
from netfw.doctor.observed import NftTable
from netfw.doctor.place import Spot, Stage, System
from netfw.doctor.reach import Entry
from netfw.doctor.steering import rule_at
from netfw.ir.match import (
    AddressMatch,
    CommentMatch,
    ConnectionState,
    ConntrackMatch,
    IcmpMatch,
    InterfaceMatch,
    MarkMatch,
    Match,
    MultiportMatch,
    ProtocolMatch,
    StateMatch,
    TcpMatch,
    UdpMatch,
    Way,
)
from netfw.ir.names import TableName

HEADER_MATCHES = (
    AddressMatch,
    IcmpMatch,
    InterfaceMatch,
    MultiportMatch,
    ProtocolMatch,
    TcpMatch,
    UdpMatch,
)
"""Matches that a packet's description decides."""
_TABLES = {name.value: name for name in TableName}


def conditions_at(state: HostState, spot: Spot) -> tuple[Match, ...]:
    """The conditions of a rule, and of the rules that call its chain by the first way there.

    Of several of which one is enough it is the first. Empty for everything that is no rule.
    """
    entries = _entries(state, spot)
    calls = entries[0].calls if entries else ()
    return tuple(_single((*_own(state, spot), *calls)))


def stages_at(state: HostState, spot: Spot) -> frozenset[Stage]:
    """The stages at which packets come by a rule; empty for everything that is none."""
    return frozenset(entry.stage for entry in _entries(state, spot))


def _single(asked: Iterable[Condition]) -> Iterator[Match]:
    return (one.matches[0] if isinstance(one, AnyOf) else one for one in asked)


def _own(state: HostState, spot: Spot) -> tuple[Condition, ...]:
    if spot.system is System.NFTABLES:
        native = _native(state, spot)
        for chain in () if native is None else native.chains:
            if chain.name == spot.chain and 0 < spot.number <= len(chain.rules):
                return tuple(conditions(chain.rules[spot.number - 1].expressions))
        return ()
    held = _held(state, spot)
    table = None if held is None else held.ruleset.table(_TABLES[spot.table])
    found = None if table is None else table.find_chain(spot.chain)
    if found is None or not 0 < spot.number <= len(found.rules):
        return ()
    return found.rule(spot.number).matches


def _entries(state: HostState, spot: Spot) -> tuple[Entry, ...]:
    if spot.system is System.NFTABLES:
        native = _native(state, spot)
        return () if native is None else nft_reach(native).get(spot.chain, ())
    held = _held(state, spot)
    return () if held is None else held.reach.entries(_TABLES[spot.table], spot.chain)


def _native(state: HostState, spot: Spot) -> NftTable | None:
    names = (one for one in state.tables if f"{one.family} {one.name}" == spot.table)
    return next(names, None)


def _held(state: HostState, spot: Spot) -> HeldRules | None:
    if spot.table not in _TABLES:
        return None
    return next(
        (
            held
            for held in state.rules
            if System.of_backend(held.backend) is spot.system and held.family is spot.family
        ),
        None,
    )


def asks_more(state: HostState, spot: Spot) -> bool:
    """Whether a rule, or a routing rule, asks for more than a mark and what is chosen here.

    Where such a reader says no, a trace does not tell which of its conditions was not met.
    """
    one = rule_at(state, spot)
    if one is not None:
        return bool(one.rule.unknown or one.rule.source or one.rule.destination)
    return any(
        (
            not isinstance(each, (*HEADER_MATCHES, CommentMatch, MarkMatch))
            and not _is_met_at_first(each)
        )
        # by which interface it leaves is decided by marks too
        or (isinstance(each, InterfaceMatch) and each.way is Way.OUT)
        for each in conditions_at(state, spot)
    )


def _is_met_at_first(match: Match) -> bool:
    """Whether the first packet of a connection meets it."""
    states = match.states if isinstance(match, ConntrackMatch | StateMatch) else ()
    is_plain = isinstance(match, StateMatch) or (
        isinstance(match, ConntrackMatch) and match == ConntrackMatch(states=match.states)
    )
    return is_plain and ConnectionState.NEW in states and not getattr(match, "negate", False)
