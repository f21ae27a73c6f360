"""Where a decision leads: to a chain that writes it into the mark, and what becomes of it then.

What is denied is dropped there and then, in any table. What is allowed leaves the hook at once
where no other stage has a say; else it returns with its mark, and the hook lets it go in the end.
"""

from __future__ import annotations

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft, make_rule
from netfw.ir.match import MarkMatch
from netfw.ir.names import TableName
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Rule
from netfw.ir.target import Accept, Return
from netfw.policy.defaults import OnAccept
from netfw.policy.endpoint import Direction


def lets_go(draft: Draft, direction: Direction) -> bool:
    """Whether what rules of a direction allow in the filter table is done with that table.

    A workload's egress and the forward policies are not the last to judge a packet, and where a
    host has workloads its own egress shares chains with theirs.
    """
    is_last = direction is Direction.INGRESS or not draft.policy.workloads
    return is_last and draft.policy.defaults.on_accept is OnAccept.ACCEPT


def allowing(draft: Draft, table: TableName, direction: Direction) -> str:
    """The chain that rules of a direction go to with what they allow."""
    at_once = table is TableName.FILTER and lets_go(draft, direction)
    return chain_name.ACCEPT if at_once else chain_name.ALLOW


def accept(draft: Draft) -> Rule:
    """What has been allowed: done, or on to the rules of others."""
    origin = Origin(draft.file, "verdict/accept", "checked and accepted")
    returns = draft.policy.defaults.on_accept is OnAccept.RETURN
    return make_rule(origin, Return() if returns else Accept(), MarkMatch(draft.field.accepted))


def let_go(draft: Draft, *directions: Direction) -> list[Rule]:
    """The end of a hook in the filter table, if what stages of these directions allow comes back.

    Where what is allowed is to meet the rules of others, those are next anyway.
    """
    if draft.policy.defaults.on_accept is OnAccept.RETURN or all(
        lets_go(draft, direction) for direction in directions
    ):
        return []
    return [accept(draft)]
