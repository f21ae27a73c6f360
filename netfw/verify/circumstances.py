"""What a probe can be besides its addresses and service, so that criteria are met or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import assert_never

from netfw.ir.clock import Clock
from netfw.policy.connection_count import ConnectionCount
from netfw.policy.connection_states import ConnectionStates
from netfw.policy.criterion import Criterion
from netfw.policy.foreign_mark import ForeignMark
from netfw.policy.hardware_sources import HardwareSources
from netfw.policy.ip_version import IpVersion
from netfw.policy.owner import Owner, OwnerKind
from netfw.policy.packet_rate import PacketRate
from netfw.policy.passage import Passage
from netfw.policy.segment_flags import SegmentFlags
from netfw.policy.source_ports import SourcePorts
from netfw.policy.time_span import TimeSpan
from netfw.policy.validity import Validity
from netfw.traverse.packet import ACK, FIN, RST, SYN

_ODD_HARDWARE = 0x02_00_00_00_FE_01
"""A locally administered address that no link has."""
_ODD_OWNER = 54321
_LAST_PORT = 65535
_FLAGS = tuple(dict.fromkeys((SYN, ACK, SYN | ACK, FIN | ACK, RST | ACK, RST, *range(64))))
"""All flags that a segment can have, those of usual ones first."""
_FLAGS_TRIED = 4


@dataclass(frozen=True, slots=True)
class Circumstances:
    """None: as it comes (a port of its own, SYN, the far end's address, root, no mark)."""

    source_port: int | None = None
    tcp_flags: int | None = None
    hardware: int | None = None
    user: int | None = None
    group: int | None = None
    mark: int | None = None


PLAIN = Circumstances()


def inside(extras: Sequence[Criterion], *, is_local: bool) -> Iterator[Circumstances]:
    """Circumstances in which criteria are met, as far as packets can have them: the first one,
    then one for each further value that a criterion names."""
    choices = [_values(extra, is_local=is_local) for extra in extras]
    first = PLAIN
    for values in choices:
        if values:
            first = _joined(first, values[0])
    yield first
    for values in choices:
        for value in values[1:]:
            yield _joined(first, value)


def outside(extras: Sequence[Criterion], *, is_local: bool) -> Iterator[Circumstances]:
    """Circumstances in which one criterion is not met and the others are."""
    first = next(inside(extras, is_local=is_local))
    for extra in extras:
        if isinstance(extra, ForeignMark | HardwareSources | Owner | SegmentFlags | SourcePorts):
            opposite = replace(extra, negate=not extra.negate)
            for value in _values(opposite, is_local=is_local):
                yield _joined(first, value)


def is_in_force(extras: Sequence[Criterion], clock: Clock) -> bool:
    """Whether the criteria that ask for the time are met; True also where that is not known."""
    for extra in extras:
        if isinstance(extra, TimeSpan | Validity) and extra.holds_at(clock) is False:
            return False
    return True


def _joined(one: Circumstances, other: Circumstances) -> Circumstances:
    names = (field.name for field in fields(Circumstances))
    given = {name: value for name in names if (value := getattr(other, name)) is not None}
    return replace(one, **given)


def _values(extra: Criterion, *, is_local: bool) -> list[Circumstances]:
    match extra:
        case SourcePorts(ranges, negate):
            edges = [port for span in ranges for port in (span.first, span.last)]
            if negate:
                edges = [port for span in ranges for port in (span.first - 1, span.last + 1)]
            return [
                Circumstances(source_port=port)
                for port in dict.fromkeys(edges)
                if 0 < port <= _LAST_PORT and any(port in span for span in ranges) is not negate
            ]
        case SegmentFlags():
            fitting = (flags for flags in _FLAGS if extra.has(flags))
            return [Circumstances(tcp_flags=flags) for flags in islice(fitting, _FLAGS_TRIED)]
        case HardwareSources(addresses, negate):
            wanted = [_ODD_HARDWARE] if negate else sorted(addresses)
            return [Circumstances(hardware=address) for address in wanted]
        case Owner(kind=kind, ranges=ranges, negate=negate):
            numbers = [number for span in ranges for number in (span.first, span.last)]
            if negate:
                numbers = [_ODD_OWNER, *(span.last + 1 for span in ranges)]
            known = [
                number
                for number in dict.fromkeys(numbers)
                if any(number in span for span in ranges) is not negate
            ]
            if kind is OwnerKind.USER:
                return [Circumstances(user=number) for number in known]
            return [Circumstances(group=number) for number in known]
        case ForeignMark(mark, negate):
            if not is_local:
                # nobody outside sets a mark
                return []
            return [Circumstances(mark=(mark.value ^ mark.mask) if negate else mark.value)]
        case ConnectionCount() | PacketRate():
            return []
        case ConnectionStates() | IpVersion() | Passage() | TimeSpan() | Validity():
            return []
        case _:
            assert_never(extra)
