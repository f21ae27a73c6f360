"""Which packets a way on the stage is the way of, where a policy steers: as sets."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.policy.steering import SteerPolicy
from netfw.prove.path import PathKind
from netfw.prove.policy_sets import PolicySets
from netfw.prove.space import Bdd, Field, bits_of, mark_bit
from netfw.verify.layout import Layout, Link
from netfw.verify.steered_layout import link_of_table


class SteeredWays:
    """The steering of a policy, and the links to which tables lead."""

    def __init__(self, sets: PolicySets, layout: Layout) -> None:
        self.sets = sets
        self.space = sets.space
        self.layout = layout

    def that_leave_by(self, link: Link, kind: PathKind) -> Bdd:
        """Packets that no table leads to another link."""
        space, steering = self.space, self.sets.policy.steering
        marks = self.sets.marks(kind)
        found = space.true
        near = space.in_net(Field.DESTINATION, self.layout.net(space.family))
        for table, number in steering.tables.items():
            if space.family not in steering.families_of(table):
                continue
            via = steering.vias.get(table)
            leads_to = link_of_table(self.layout, space.family, table)
            if leads_to is link or (leads_to is None and not (via and via.refuses)):
                continue
            mark = steering.field.table(number)
            elsewhere = space.true
            for bit in bits_of(mark.mask):
                here = marks[mark_bit(bit)]
                elsewhere &= here if mark.value >> bit & 1 else ~here
            # what the main table knows is reached as ever, unless the table is somebody else's
            found &= ~elsewhere if via is None else ~elsewhere | near
        return found

    def taken_by_entries(self, kind: PathKind) -> Iterator[tuple[SteerPolicy, Bdd]]:
        """First packets of connections, by the entry that decides about their table or class."""
        if not self.sets.policy.steering.entries:
            return
        for taken in self.sets.steering.taken(kind):
            yield from taken
