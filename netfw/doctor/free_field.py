"""A field of four bits that nothing on a host touches, and that little software knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netfw.doctor.asked import asked_by, set_by
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.owner import OURS, owners
from netfw.doctor.place import Spot
from netfw.doctor.registry import Software, Style, touching

_WIDTH = 4
"""How many bits netfw's field has."""


@dataclass(frozen=True, slots=True)
class FreeField:
    """What is proposed. ``mask`` is 0 where no four bits in a row are free on the host.

    ``touched`` are the bits that something on the host reads or writes, netfw left aside, and
    ``known`` the software that can set a bit of the mask. ``whole`` are rules that replace all 32
    bits: no field is safe from those.
    """

    host: str
    mask: int
    touched: int
    known: tuple[Software, ...]
    whole: tuple[Spot, ...]
    is_complete: bool
    """Whether all of the host could be read."""


def find_free(state: HostState) -> FreeField:
    """The field that the least software knows, of those that the host does not touch.

    Of equals the one furthest from the low bits, which people use by hand, wins.
    """
    foreign = [use for use in state.uses if owners(use)[:1] != (OURS,)]
    touched = 0
    for use in foreign:
        touched |= touched_by(use)
    best = min(
        (mask for mask in _fields() if not mask & touched),
        key=lambda mask: (len(known_of(mask)), -mask),
        default=0,
    )
    return FreeField(
        state.name,
        best,
        touched,
        known_of(best) if best else (),
        tuple(_whole(foreign)),
        not state.not_read,
    )


def touched_by(use: MarkUse) -> int:
    """The bits of the packet mark that a use is about.

    Who writes or compares the whole word is about the bits of its number. A number that is not
    known (a map, NFQUEUE, a copy of the whole word) says nothing of any bit.
    """
    bits = asked_by(use, Word.PACKET) | set_by(use, Word.PACKET)
    for effect in use.effects:
        if effect.word is Word.PACKET and not effect.is_whole:
            bits |= effect.written
    return bits


def known_of(mask: int) -> tuple[Software, ...]:
    """Software of the registry that can set a bit of a field; fields that move are left in."""
    return tuple(one for one in touching(mask) if one.style is not Style.NONE)


def _fields() -> Iterator[int]:
    return (((1 << _WIDTH) - 1) << shift for shift in range(32 - _WIDTH + 1))


def _whole(uses: list[MarkUse]) -> Iterator[Spot]:
    for use in uses:
        if any(one.word is Word.PACKET and one.is_whole for one in use.effects) and any(
            where.base for where in use.passages
        ):
            yield use.spot
