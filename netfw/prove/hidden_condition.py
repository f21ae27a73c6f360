"""Matches on what no header says (frame, socket, clock), as sets of packets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from netfw.ir.match import MacMatch, OwnerMatch, TimeMatch
from netfw.prove.hidden import Hidden, between, equal, has
from netfw.prove.space import Bdd, Space

_DAY = 24 * 60 * 60
_LAST_SECOND = (1 << 32) - 1


def of_hidden(space: Space, match: MacMatch | OwnerMatch | TimeMatch) -> Bdd:
    """The packets that meet a match."""
    match match:
        case MacMatch(source, negate):
            # without an Ethernet header neither form is met (mac_mt in net/netfilter/xt_mac.c)
            is_it = equal(space, Hidden.HARDWARE, source)
            return has(space, Hidden.HARDWARE) & (~is_it if negate else is_it)
        case OwnerMatch():
            return _owner(space, match)
        case TimeMatch():
            return _time(space, match)
        case _:
            assert_never(match)


def _owner(space: Space, match: OwnerMatch) -> Bdd:
    """owner_mt in net/netfilter/xt_owner.c: a packet without a socket meets what is negated."""
    found = space.true
    if match.exists is not None:
        exists = space.oracle("whether a socket has sent it")
        found &= ~exists if match.exists.negate else exists
    for number, wanted in ((Hidden.USER, match.user), (Hidden.GROUP, match.group)):
        if wanted is None:
            continue
        meets = has(space, Hidden.USER) & between(
            space, number, wanted.value.first, wanted.value.last
        )
        if number is Hidden.GROUP and match.supplementary:
            meets = space.oracle(("group of the sender", wanted.value))
        found &= ~meets if wanted.negate else meets
    return found


def _time(space: Space, match: TimeMatch) -> Bdd:
    """time_mt in net/netfilter/xt_time.c."""
    local = match.in_kernel_zone
    stamp = Hidden.LOCAL_SECONDS if local else Hidden.SECONDS
    found = space.true
    if match.first is not None or match.last is not None:
        first = 0 if match.first is None else match.first
        last = _LAST_SECOND if match.last is None else match.last
        found = between(space, stamp, first, last)
    start = 0 if match.start is None else match.start
    stop = _DAY - 1 if match.stop is None else match.stop
    second = Hidden.LOCAL_SECOND_OF_DAY if local else Hidden.SECOND_OF_DAY
    if start < stop:
        hours = (
            found
            if (start, stop) == (0, _DAY - 1)
            else found & between(space, second, start, stop)
        )
        return hours & _days(space, match, shift=0)
    morning = between(space, second, 0, stop)
    evening = between(space, second, start, _DAY - 1)
    if not match.contiguous:
        return found & (morning | evening) & _days(space, match, shift=0)
    return found & (
        (morning & _days(space, match, shift=1))
        | (evening & ~morning & _days(space, match, shift=0))
    )


def _days(space: Space, match: TimeMatch, *, shift: int) -> Bdd:
    """The packets that pass on one of the days, or ``shift`` days later."""
    local = match.in_kernel_zone
    found = space.true
    if match.week_days is not None:
        number = Hidden.LOCAL_DAY_OF_WEEK if local else Hidden.DAY_OF_WEEK
        those = ((day - 1 + shift) % 7 for day in match.week_days.value)
        found &= _one_of(space, number, those, negate=match.week_days.negate)
    if match.month_days is not None:
        number = Hidden.LOCAL_DAY_OF_MONTH if local else Hidden.DAY_OF_MONTH
        if shift:
            # which day was the day before depends on the month
            asked = space.oracle(("yesterday", number, match.month_days.value))
            found &= ~asked if match.month_days.negate else asked
        else:
            found &= _one_of(space, number, match.month_days.value, negate=match.month_days.negate)
    return found


def _one_of(space: Space, number: Hidden, values: Iterable[int], *, negate: bool) -> Bdd:
    found = space.any_of(equal(space, number, value) for value in values)
    return ~found if negate else found
