"""From the mark to a verdict: the rules at a hook that let go and stop."""

from __future__ import annotations

from netfw.compiler.draft import Draft, make_rule
from netfw.ir.match import MarkMatch
from netfw.ir.ruleset import Origin, Rule
from netfw.ir.target import Accept, Drop, Return
from netfw.policy.defaults import OnAccept


def accept(draft: Draft) -> Rule:
    """What is allowed: done, or on to the rules of others."""
    origin = Origin(draft.file, "verdict/accept", "checked and accepted")
    returns = draft.policy.defaults.on_accept is OnAccept.RETURN
    return make_rule(origin, Return() if returns else Accept(), MarkMatch(draft.field.accepted))


def drop(draft: Draft) -> Rule:
    """What is denied."""
    origin = Origin(draft.file, "verdict/drop", "checked and not accepted")
    return make_rule(origin, Drop(), MarkMatch(draft.field.denied))
