"""A rule of a policy before it has its name."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.errors import Where
from netfw.ir.origin import Origin
from netfw.policy.criteria import Criteria
from netfw.policy.identity import Draft
from netfw.policy.reject_kind import RejectKind
from netfw.policy.rule import Action, LogSettings, PolicyRule


@dataclass(slots=True, eq=False)
class RuleDraft:
    """A rule that has no identity yet. Nobody changes it: it is not frozen because that takes
    thrice the time, of every rule."""

    action: Action
    criteria: Criteria
    log: LogSettings | None
    reject_kind: RejectKind | None
    where: Where
    text: str
    notes: tuple[tuple[str, str], ...]
    draft: Draft

    def named(self, identity: str) -> PolicyRule:
        """The finished rule."""
        return PolicyRule(
            self.action,
            self.criteria,
            Origin(self.where, identity, self.text, self.notes),
            self.log,
            self.reject_kind,
        )
