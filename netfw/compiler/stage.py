"""What every stage has in common: it starts with the connection's state and ends with deny.

A stage is a chain that leaves every packet checked. A later stage of the same packet starts with
a clean verdict, so that inside a stage "checked" means "decided here".
"""

from __future__ import annotations

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.term import ANY_PAIR, InterfacePair, interface_matches
from netfw.errors import Where
from netfw.ir.match import ConnectionState, ConntrackMatch, MarkMatch, Match
from netfw.ir.ruleset import Origin, Rule
from netfw.ir.target import Goto, Jump, Return, SetMark
from netfw.policy.endpoint import Endpoint

_GOING_ON = frozenset({ConnectionState.ESTABLISHED, ConnectionState.RELATED})

INLINE_RULES = 4
"""Up to so many rules are repeated where they are needed; more get a chain of their own."""


def start_stage(draft: Draft, owner: str, where: Where, *, is_later: bool) -> list[Rule]:
    """Clear the verdict of an earlier stage, allow what is part of a connection, and deny what
    belongs to none."""
    rules = []
    if is_later:
        origin = Origin(where, f"{owner}/next-stage", "an earlier stage has allowed this packet")
        rules.append(make_rule(origin, SetMark(draft.field.undecided)))
    rules.append(
        make_rule(
            Origin(where, f"{owner}/established", "packets of a connection that was allowed"),
            Goto(chain_name.ALLOW),
            ConntrackMatch(_GOING_ON),
        )
    )
    rules.append(
        make_rule(
            Origin(where, f"{owner}/invalid", "packets that belong to no connection"),
            Goto(chain_name.DENY),
            ConntrackMatch(frozenset({ConnectionState.INVALID})),
        )
    )
    return rules


def end_stage(owner: str, where: Where) -> Rule:
    """Deny the rest."""
    origin = Origin(where, f"{owner}/default", "what no rule allows is denied")
    return make_rule(origin, Goto(chain_name.DENY))


def return_if_decided(draft: Draft) -> Rule:
    """Leave the stage where a chain it has called came to a decision."""
    origin = Origin(draft.file, "verdict/decided", "the first rule that matches decides")
    return make_rule(origin, Return(), MarkMatch(draft.field.was_checked))


def allow_neighbours(endpoint: Endpoint, *matches: Match) -> Rule:
    """Without neighbour discovery there is no IPv6. The chain may decide; who calls it looks."""
    origin = Origin(
        endpoint.where,
        f"{endpoint.name}/neighbour-discovery",
        "IPv6 does not work without it",
    )
    return make_rule(origin, Jump(chain_name.NEIGHBOUR), *matches)


def call_chain(
    draft: Draft, chain: str, origin: Origin, pairs: tuple[InterfacePair, ...] = ANY_PAIR
) -> list[Rule]:
    """Go through a chain that may decide, and leave the stage if it did."""
    jumps = [make_rule(origin, Jump(chain), *interface_matches(pair)) for pair in pairs]
    return [*jumps, return_if_decided(draft)]
