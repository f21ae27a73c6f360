"""Where packets go that a policy steers, and with which marks: for one family on the stage."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.mark import Mark
from netfw.ir.names import Family
from netfw.policy.flow import Flow
from netfw.policy.model import Policy
from netfw.policy.steered import Steered, steer
from netfw.verify.layout import Layout, Link
from netfw.verify.steered_layout import link_of_table


@dataclass(frozen=True, slots=True)
class ProbeSteering:
    """The policy's own meaning, and the routes of the stage."""

    policy: Policy
    family: Family
    layout: Layout

    def of_first(self, flow: Flow, *, is_untracked: bool) -> Steered | None:
        """What is decided for a packet as it arrives; None where that cannot be known.

        What this host sends and an early policy has let through keeps its route.
        """
        found = steer(self.policy, flow)
        if found is not None and is_untracked and not flow.in_interface:
            return Steered(tc_class=found.tc_class)
        return found

    def mark(self, steered: Steered | None, *, is_answer: bool, brought: int = 0) -> Mark | None:
        """What its bits are behind all rules; None where the policy steers nothing."""
        if steered is None or not self.policy.steering.entries:
            return None
        return steered.mark(self.policy.steering, is_answer=is_answer, brought=brought)

    def link(
        self, steered: Steered | None, destination: int, otherwise: Link, *, is_answer: bool
    ) -> Link | None:
        """The link by which a packet leaves; None where it is refused for want of a route."""
        table = 0 if steered is None else steered.table_of(is_answer=is_answer)
        if not table:
            return otherwise
        via = self.policy.steering.vias.get(table)
        if via is not None and self._is_near(destination):
            # the main table knows more of it than its default route
            return otherwise
        link = link_of_table(self.layout, self.family, table)
        if link is None:
            return None if via is not None and via.refuses else otherwise
        return link

    def _is_near(self, destination: int) -> bool:
        layout, family = self.layout, self.family
        return layout.is_on_stage(family, destination) or (family, destination) in layout.gateways
