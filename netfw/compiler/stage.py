"""What every stage has in common: it starts with the connection's state and ends with deny.

A stage is a chain that leaves every packet checked. A later stage of the same packet starts with
a clean verdict, so that inside a stage "checked" means "decided here".
"""

from __future__ import annotations

from collections.abc import Collection

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.term import ANY_PAIR, InterfacePair, expand_conditions, interface_matches
from netfw.compiler.verdict import allowing
from netfw.errors import Where
from netfw.ir.match import ConnectionState, ConntrackMatch, MarkMatch, Match, ProtocolMatch
from netfw.ir.names import OWN_CHAIN_PREFIX, Family, TableName
from netfw.ir.origin import Origin
from netfw.ir.protocols import ICMPV6
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Goto, Jump, Return, SetMark, Target
from netfw.policy.defaults import Handling
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.grant import NEIGHBOUR_DISCOVERY, Grant
from netfw.policy.rule import Action

_GOING_ON = frozenset({ConnectionState.ESTABLISHED, ConnectionState.RELATED})
_INVALID = frozenset({ConnectionState.INVALID})

INLINE_RULES = 4
"""Up to so many rules are repeated where they are needed; more get a chain of their own."""


def next_stage(draft: Draft, owner: str, where: Where) -> Rule:
    """Clear the verdict of an earlier stage."""
    origin = Origin(where, f"{owner}/next-stage", "an earlier stage has allowed this packet")
    return make_rule(origin, SetMark(draft.field.undecided))


def established(draft: Draft, owner: str, where: Where, allow: str) -> list[Rule]:
    """Allow what is part of a connection, if that is not left to the rules."""
    if draft.policy.defaults.established is Handling.ASK:
        return []
    origin = Origin(where, f"{owner}/established", "packets of a connection that was allowed")
    return [make_rule(origin, Goto(allow), ConntrackMatch(_GOING_ON))]


def invalid(draft: Draft, owner: str, where: Where, allow: str) -> list[Rule]:
    """Deny what belongs to no connection, or what else the policy wants."""
    targets = {
        Handling.DENY: Goto(chain_name.DENY),
        Handling.ALLOW: Goto(allow),
        Handling.ASK: None,
    }
    target = targets[draft.policy.defaults.invalid]
    if target is None:
        return []
    origin = Origin(where, f"{owner}/invalid", "packets that belong to no connection")
    return [make_rule(origin, target, ConntrackMatch(_INVALID))]


def by_state(draft: Draft, target: Target) -> list[Rule]:
    """What to do with packets that their connection's state alone decides about."""
    states: set[ConnectionState] = set()
    if draft.policy.defaults.established is not Handling.ASK:
        states |= _GOING_ON
    if draft.policy.defaults.invalid is not Handling.ASK:
        states |= _INVALID
    if not states:
        return []
    origin = Origin(draft.file, "stage/early", "early policies judge what begins a connection")
    return [make_rule(origin, target, ConntrackMatch(frozenset(states)))]


def start_host_stage(
    draft: Draft, endpoint: Endpoint, direction: Direction, allow: str
) -> list[Rule]:
    """A stage of a host endpoint: what is let through anyway comes before the rules, failsafes
    before what belongs to no connection."""
    owner, where = endpoint.name, endpoint.where
    rules = established(draft, owner, where, allow)
    rules += _through(draft, direction, allow, before_invalid=True)
    rules += invalid(draft, owner, where, allow)
    rules += _through(draft, direction, allow, before_invalid=False)
    return rules


def _through(
    draft: Draft, direction: Direction, allow: str, *, before_invalid: bool
) -> list[Rule]:
    if not _granted(draft, direction, allow, before_invalid=before_invalid):
        return []
    chain = chain_name.GRANTS[direction, before_invalid]
    what = "before what is invalid" if before_invalid else "before the rules"
    origin = Origin(draft.file, f"stage/{chain.removeprefix(OWN_CHAIN_PREFIX).lower()}", what)
    return call_chain(draft, chain, origin, allow)


def add_grants(draft: Draft, table: TableName, direction: Direction) -> Draft:
    """A draft with the chains of what is let through before the rules."""
    allow = allowing(draft, table, direction)
    for before_invalid in (True, False):
        name = chain_name.GRANTS[direction, before_invalid]
        rules = _granted(draft, direction, allow, before_invalid=before_invalid)
        if rules and draft.find_chain(table, name) is None:
            draft = draft.with_chains(table, Chain(name, tuple(rules)))
    return draft


def _granted(
    draft: Draft, direction: Direction, allow: str, *, before_invalid: bool
) -> list[Rule]:
    rules: list[Rule] = []
    for grant in draft.policy.grants(direction):
        if grant.before_invalid is not before_invalid:
            continue
        if grant.traffic != NEIGHBOUR_DISCOVERY:
            rules += match_granted(draft, grant, Goto(allow))
        elif draft.family is Family.IPV6:
            goto = Goto(chain_name.NEIGHBOUR)
            rules.append(make_rule(grant.origin, goto, ProtocolMatch(ICMPV6)))
    return rules


def match_granted(draft: Draft, grant: Grant, target: Target) -> list[Rule]:
    """Do something with what is granted."""
    conditions = grant.conditions(draft.family)
    if conditions is None:
        return []
    return [make_rule(grant.origin, target, *term) for term in expand_conditions(conditions)]


def end_stage(owner: str, where: Where) -> Rule:
    """Deny the rest."""
    origin = Origin(where, f"{owner}/default", "what no rule allows is denied")
    return make_rule(origin, Goto(chain_name.DENY))


def return_if_decided(draft: Draft) -> Rule:
    """Leave the stage where a chain it has called came to a decision."""
    origin = Origin(draft.file, "verdict/decided", "the first rule that matches decides")
    return make_rule(origin, Return(), MarkMatch(draft.field.was_checked))


def return_if_settled(draft: Draft) -> Rule:
    """Leave the tier where a chain it has called decided, or sent the packet to the next one."""
    origin = Origin(draft.file, "verdict/settled", "the first rule that matches decides")
    return make_rule(origin, Return(), MarkMatch(draft.field.settled, negate=True))


def leave(draft: Draft, allow: str, actions: Collection[Action]) -> list[Rule]:
    """Behind the call of a chain whose rules do this: leave the stage (or the tier) with packets
    that come back from there decided, or passed on."""
    if Action.PASS in actions:
        return [return_if_settled(draft)]
    return [return_if_decided(draft)] if comes_back(allow, actions) else []


def comes_back(allow: str, actions: Collection[Action]) -> bool:
    """Whether packets about which rules that do this have decided are still on their way."""
    return Action.ALLOW in actions and allow == chain_name.ALLOW


def call_chain(
    draft: Draft,
    chain: str,
    origin: Origin,
    allow: str,
    pairs: tuple[InterfacePair, ...] = ANY_PAIR,
    *,
    actions: Collection[Action] = (Action.ALLOW,),
) -> list[Rule]:
    """Go through a chain that may decide, and leave the stage (or the tier) if it did."""
    jumps = [make_rule(origin, Jump(chain), *interface_matches(pair)) for pair in pairs]
    return [*jumps, *leave(draft, allow, actions)]


def into_chain(origin: Origin, chain: str, *matches: Match) -> Rule:
    """A call of a chain."""
    return make_rule(origin, Jump(chain), *matches)
