"""Matches on what no header says: the frame that a packet came in, its socket, the clock."""

from __future__ import annotations

from collections.abc import Callable

from netfw.ir.clock import DAY, Clock, day_of_week, second_of_day
from netfw.ir.form import Range
from netfw.ir.match import MacMatch, OwnerMatch, TimeMatch
from netfw.ir.spelling import Wanted
from netfw.traverse.skb import Skb

Predicate = Callable[[Skb], bool | None]


def mac_predicate(match: MacMatch) -> Predicate:
    """mac_mt in net/netfilter/xt_mac.c: without an Ethernet header it is never met."""

    def test(skb: Skb) -> bool | None:
        hardware = skb.packet.hardware
        if skb.packet.is_local or hardware == -1:
            return False
        return None if hardware is None else (hardware == match.source) is not match.negate

    return test


def owner_predicate(match: OwnerMatch) -> Predicate:
    """owner_mt in net/netfilter/xt_owner.c: a packet without a socket meets what is negated."""

    def test(skb: Skb) -> bool | None:
        packet = skb.packet
        user, group = (packet.user, packet.group) if packet.is_local else (-1, -1)
        answers: list[bool | None] = []
        if match.exists is not None:
            answers.append(None if user is None else (user >= 0) is not match.exists.negate)
        answers.append(_is_owned(match.user, user))
        if match.supplementary and match.group is not None:
            answers.append(None)
        else:
            answers.append(_is_owned(match.group, group))
        if False in answers:
            return False
        return None if None in answers else True

    return test


def _is_owned(wanted: Wanted[Range] | None, number: int | None) -> bool | None:
    if wanted is None:
        return True
    return None if number is None else (number in wanted.value) is not wanted.negate


def time_predicate(match: TimeMatch, clock: Clock | None) -> Predicate:
    """The answer for all packets that pass at this moment."""
    answer = None if clock is None else time_holds(match, clock)
    return lambda skb: answer


def time_holds(match: TimeMatch, clock: Clock) -> bool | None:
    """Whether a match holds at a time (time_mt in net/netfilter/xt_time.c); None where the zone
    is not known, or it asks for days of the month."""
    seconds = clock.seconds(in_kernel_zone=match.in_kernel_zone)
    if seconds is None:
        return None
    if match.first is not None and seconds < match.first:
        return False
    if match.last is not None and seconds > match.last:
        return False
    start = 0 if match.start is None else match.start
    stop = DAY - 1 if match.stop is None else match.stop
    second = second_of_day(seconds)
    if start < stop:
        if not start <= second <= stop:
            return False
    else:
        if stop < second < start:
            return False
        if match.contiguous and second <= stop:
            seconds -= DAY
    if match.week_days is not None:
        is_day = day_of_week(seconds) + 1 in match.week_days.value
        if is_day is match.week_days.negate:
            return False
    return None if match.month_days is not None else True
