"""What no header says of a packet, as numbers: who sent it and when, and the frame it came in.

Rules and policies may ask for parts of such a number in many ways, so it is kept as bits and not
as one question for each way of asking. A bit that nobody asks for does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.ir.clock import DAY, Clock, day_of_week, second_of_day
from netfw.prove.space import Bdd, Space


class Hidden(Enum):
    """A number, by the text for it."""

    HARDWARE = "hardware source"
    USER = "user"
    GROUP = "group"
    DAY_OF_WEEK = "day of the week (UTC)"
    SECOND_OF_DAY = "second of the day (UTC)"
    DAY_OF_MONTH = "day of the month (UTC)"
    SECONDS = "seconds since 1970 (UTC)"
    LOCAL_DAY_OF_WEEK = "day of the week (kernel's zone)"
    LOCAL_SECOND_OF_DAY = "second of the day (kernel's zone)"
    LOCAL_DAY_OF_MONTH = "day of the month (kernel's zone)"
    LOCAL_SECONDS = "seconds since 1970 (kernel's zone)"


_WIDTHS = {
    Hidden.HARDWARE: 48,
    Hidden.USER: 32,
    Hidden.GROUP: 32,
    Hidden.DAY_OF_WEEK: 3,
    Hidden.SECOND_OF_DAY: 17,
    Hidden.DAY_OF_MONTH: 5,
    Hidden.SECONDS: 32,
    Hidden.LOCAL_DAY_OF_WEEK: 3,
    Hidden.LOCAL_SECOND_OF_DAY: 17,
    Hidden.LOCAL_DAY_OF_MONTH: 5,
    Hidden.LOCAL_SECONDS: 32,
}
"""Bits of each."""


@dataclass(frozen=True, slots=True)
class HiddenBit:
    """A bit of a number; place 0 is the lowest one."""

    number: Hidden
    place: int

    def __str__(self) -> str:
        return f"bit {self.place} of its {self.number.value}"


@dataclass(frozen=True, slots=True)
class HasHidden:
    """Whether a packet has such a number at all."""

    number: Hidden

    def __str__(self) -> str:
        return f"whether it has a {self.number.value}"


def asked_for(space: Space) -> frozenset[Hidden]:
    """The numbers of which something in a space asks for a bit."""
    return frozenset(
        key.number for key in space.oracle_names.values() if isinstance(key, HiddenBit)
    )


def as_sent(space: Space, clock: Clock, hardware: int | None) -> Bdd:
    """What packets are where no header says so, if they are sent at a time: from a hardware
    address, or by root of this host where that is None."""
    asked = asked_for(space)
    found = of_time(space, clock)
    if Hidden.HARDWARE in asked:
        if hardware is None:
            found &= ~has(space, Hidden.HARDWARE)
        else:
            found &= has(space, Hidden.HARDWARE) & equal(space, Hidden.HARDWARE, hardware)
    owners = asked & {Hidden.USER, Hidden.GROUP}
    if owners and hardware is not None:
        found &= ~has(space, Hidden.USER)
    elif owners:
        found &= has(space, Hidden.USER)
        for number in owners:
            found &= equal(space, number, 0)
    return found


def of_time(space: Space, clock: Clock) -> Bdd:
    """The packets that pass at a time, as far as that is known and something asks for it."""
    found = space.true
    asked = asked_for(space)
    for numbers, local in ((_UTC, False), (_LOCAL, True)):
        seconds = clock.seconds(in_kernel_zone=local)
        if seconds is None:
            continue
        values = (day_of_week(seconds), second_of_day(seconds), seconds)
        for number, value in zip(numbers, values, strict=True):
            if number in asked:
                found &= equal(space, number, value)
    return found


_UTC = (Hidden.DAY_OF_WEEK, Hidden.SECOND_OF_DAY, Hidden.SECONDS)
_LOCAL = (Hidden.LOCAL_DAY_OF_WEEK, Hidden.LOCAL_SECOND_OF_DAY, Hidden.LOCAL_SECONDS)


def has(space: Space, number: Hidden) -> Bdd:
    """The packets that have a number, for those that not every packet has: a hardware source, or
    a user."""
    return space.oracle(HasHidden(number))


def equal(space: Space, number: Hidden, value: int) -> Bdd:
    """The packets for which a number has a value."""
    found = space.true
    for place in range(_WIDTHS[number]):
        bit = space.oracle(HiddenBit(number, place))
        found = (bit if value >> place & 1 else ~bit) & found
    return found


def between(space: Space, number: Hidden, first: int, last: int) -> Bdd:
    """The packets with ``first <= number <= last``; a day has no second behind the last one."""
    if number in (Hidden.SECOND_OF_DAY, Hidden.LOCAL_SECOND_OF_DAY) and last == DAY - 1:
        last = (1 << _WIDTHS[number]) - 1
    least, most = space.true, space.true
    for place in range(_WIDTHS[number]):
        bit = space.oracle(HiddenBit(number, place))
        least = bit & least if first >> place & 1 else bit | least
        most = ~bit | most if last >> place & 1 else ~bit & most
    return least & most
