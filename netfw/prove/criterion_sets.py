"""Further criteria of rules, as sets of packets: by the words of the language alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from netfw.ir.clock import DAY, LAST_SECOND
from netfw.ir.match import Way
from netfw.policy.connection_count import ConnectionCount
from netfw.policy.connection_states import ConnectionStates
from netfw.policy.criterion import Criterion
from netfw.policy.endpoint import Endpoint
from netfw.policy.foreign_mark import ForeignMark
from netfw.policy.hardware_sources import HardwareSources
from netfw.policy.ip_version import IpVersion
from netfw.policy.owner import Owner, OwnerKind
from netfw.policy.packet_rate import PacketRate
from netfw.policy.passage import Passage
from netfw.policy.segment_flags import SegmentFlags
from netfw.policy.source_ports import SourcePorts
from netfw.policy.time_span import EVERY_DAY, TimeSpan
from netfw.policy.validity import Validity
from netfw.prove.counted import of_criterion
from netfw.prove.hidden import Hidden, between, equal, has
from netfw.prove.space import Bdd, Field, Space, bits_of, mark_bit

AtAny = Callable[[Field, Iterable[Endpoint]], Bdd]
"""The packets that come in (leave) by one of some endpoints."""


class CriterionSets:
    """Criteria in a space."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def of(self, criterion: Criterion, at_any: AtAny, owner: str) -> Bdd:
        """Packets that meet a criterion of a rule with the identity ``owner``; ``at_any`` gives
        those at endpoints."""
        if isinstance(criterion, IpVersion):
            is_it = criterion.family is self.space.family
            return self.space.true if is_it else self.space.false
        if isinstance(criterion, Validity):
            return self._validity(criterion)
        if isinstance(criterion, PacketRate | ConnectionCount):
            found = self.space.oracle(of_criterion(criterion, self.space.family, owner))
        elif isinstance(criterion, Passage):
            side = Field.IN_INTERFACE if criterion.way is Way.IN else Field.OUT_INTERFACE
            found = at_any(side, criterion.endpoints)
        else:
            found = self._positive(criterion)
        return ~found if criterion.negate else found

    def _positive(
        self,
        criterion: ConnectionStates
        | ForeignMark
        | HardwareSources
        | Owner
        | SegmentFlags
        | SourcePorts
        | TimeSpan,
    ) -> Bdd:
        space = self.space
        match criterion:
            case ConnectionStates(states):
                return space.in_state(*states)
            case ForeignMark(mark):
                found = space.true
                for bit in bits_of(mark.mask):
                    variable = space.state_variables[mark_bit(bit)]
                    found &= variable if mark.value >> bit & 1 else ~variable
                return found
            case HardwareSources(addresses):
                one = space.any_of(
                    equal(space, Hidden.HARDWARE, address) for address in sorted(addresses)
                )
                return has(space, Hidden.HARDWARE) & one
            case Owner(kind=kind, ranges=ranges):
                number = Hidden.USER if kind is OwnerKind.USER else Hidden.GROUP
                one = space.any_of(
                    between(space, number, span.first, span.last) for span in ranges
                )
                return has(space, Hidden.USER) & one
            case SegmentFlags(mask, value):
                return space.masked(Field.TCP_FLAGS, value, mask)
            case SourcePorts(ranges):
                return space.any_of(
                    space.between(Field.SOURCE_PORT, span.first, span.last) for span in ranges
                )
            case TimeSpan():
                return self._time(criterion)
            case _:
                assert_never(criterion)

    def _time(self, span: TimeSpan) -> Bdd:
        space = self.space
        day, second, seconds = Hidden.DAY_OF_WEEK, Hidden.SECOND_OF_DAY, Hidden.SECONDS
        if span.in_kernel_zone:
            day, second = Hidden.LOCAL_DAY_OF_WEEK, Hidden.LOCAL_SECOND_OF_DAY
            seconds = Hidden.LOCAL_SECONDS
        ever = between(space, seconds, 0, LAST_SECOND)

        def on(days: Iterable[int]) -> Bdd:
            # not the union of all days: the bits could say an eighth one
            return (
                space.true
                if span.days == EVERY_DAY
                else space.any_of(equal(space, day, number) for number in days)
            )

        if not span.crosses_midnight:
            return ever & between(space, second, span.start, span.end - 1) & on(span.days)
        evening = between(space, second, span.start, DAY - 1) & on(span.days)
        next_days = ((number + 1) % 7 for number in span.days)
        return ever & (evening | (between(space, second, 0, span.end - 1) & on(next_days)))

    def _validity(self, validity: Validity) -> Bdd:
        first, last = validity.first_second, validity.last_second
        return between(
            self.space,
            Hidden.SECONDS,
            0 if first is None else first,
            last,
        )
