"""raw: clear our bits when a packet enters, and note where it came in."""

from __future__ import annotations

from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.term import interface_matches
from netfw.ir.names import OWN_CHAIN_PREFIX, Hook, TableName
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain
from netfw.ir.target import SetMark


def build_marks(draft: Draft) -> Draft:
    """Nobody smuggles a verdict in: a process can set a mark on its socket, a tunnel can keep one
    from inside, and a packet that is looped back still has the one it left with."""
    clear = make_rule(
        Origin(draft.policy.field_where, "field/clear", "no packet brings a verdict with it"),
        SetMark(draft.field.cleared),
    )
    came_in = [
        make_rule(
            Origin(
                endpoint.where,
                f"field/from-{endpoint.name}",
                f"the packet came in by host endpoint {endpoint.name}",
            ),
            SetMark(draft.field.came_from_host_endpoint),
            *interface_matches((interface, None)),
        )
        for endpoint in draft.policy.hosts
        for interface in endpoint.interfaces
    ]
    return draft.with_chains(
        TableName.RAW,
        Chain(OWN_CHAIN_PREFIX + Hook.PREROUTING.value, (clear, *came_in)),
        Chain(OWN_CHAIN_PREFIX + Hook.OUTPUT.value, (clear,)),
    )
