"""Further criteria of rules as matches of iptables."""

from __future__ import annotations

from typing import assert_never

from netfw.compiler.rate import kept_rate, limiter_name
from netfw.compiler.term import Term
from netfw.ir.clock import DAY, LAST_SECOND
from netfw.ir.form import Range
from netfw.ir.match import (
    ConnlimitMatch,
    ConntrackMatch,
    HashlimitMatch,
    MacMatch,
    MarkMatch,
    Match,
    MultiportMatch,
    OwnerMatch,
    PortSide,
    TcpFlags,
    TcpMatch,
    TimeMatch,
)
from netfw.ir.names import Family
from netfw.ir.spelling import Wanted
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
from netfw.policy.time_span import EVERY_DAY, TimeSpan
from netfw.policy.validity import Validity

_ALWAYS: tuple[Term, ...] = ((),)


def alternatives(criterion: Criterion) -> tuple[Term, ...]:
    """The terms of which one must match. ``in`` and ``out`` are not among them: ``Shape`` joins
    them with the interfaces of the policy around the rule. What counts is asked last."""
    match criterion:
        case IpVersion() | Passage() | PacketRate() | ConnectionCount():
            return _ALWAYS
        case ConnectionStates(states, negate):
            return ((ConntrackMatch(states, negate=negate),),)
        case ForeignMark(mark, negate):
            return ((MarkMatch(mark, negate=negate),),)
        case SegmentFlags(mask, value, negate):
            return ((TcpMatch(flags=TcpFlags(mask, value, negate)),),)
        case SourcePorts(ranges, negate):
            return ((MultiportMatch(PortSide.SOURCE, ranges, negate=negate),),)
        case Owner(kind=kind, ranges=ranges, negate=negate):
            matches = tuple(_owner(kind, span, negate=negate) for span in ranges)
            return (matches,) if negate else tuple((match,) for match in matches)
        case Validity():
            return ((TimeMatch(first=criterion.first_second, last=criterion.last_second),),)
        case HardwareSources() | TimeSpan():
            return _ALWAYS if criterion.negate else _positive(criterion)
        case _:
            assert_never(criterion)


def counting(criterion: Criterion, family: Family, identity: str) -> tuple[Match, ...]:
    """The matches that count packets or connections, for the rule with this identity."""
    match criterion:
        case PacketRate(negate=negate, per=per):
            source, destination = per.lengths(family)
            ends = {"srcip": source, "dstip": destination}
            rate = kept_rate(criterion.amount, criterion.unit)
            return (
                HashlimitMatch(
                    limiter_name(identity),
                    upto=None if negate else rate,
                    above=rate if negate else None,
                    burst=criterion.burst,
                    mode=frozenset(end for end, length in ends.items() if length) or None,
                    source_length=source if source != family.bits else None,
                    destination_length=destination if destination != family.bits else None,
                ),
            )
        case ConnectionCount(most, per, negate):
            source, destination = per.lengths(family)
            length = source if source is not None else destination
            assert length is not None, "connections are counted for one end"
            return (
                ConnlimitMatch(
                    length,
                    upto=None if negate else most,
                    above=most if negate else None,
                    is_source=source is not None,
                ),
            )
        case _:
            return ()


def exceptions(criterion: Criterion) -> tuple[Term, ...]:
    """The terms of which none may match.

    ``! --mac-source`` would be no negation: it also fails for what came by an interface without
    hardware addresses (mac_mt in net/netfilter/xt_mac.c). ``-m time`` has none at all.
    """
    if isinstance(criterion, HardwareSources | TimeSpan) and criterion.negate:
        return _positive(criterion)
    return ()


def _positive(criterion: HardwareSources | TimeSpan) -> tuple[Term, ...]:
    if isinstance(criterion, HardwareSources):
        return tuple((MacMatch(address),) for address in sorted(criterion.addresses))
    return ((_time(criterion),),)


def _owner(kind: OwnerKind, span: Range, *, negate: bool) -> Match:
    wanted = Wanted(span, negate)
    return OwnerMatch(user=wanted) if kind is OwnerKind.USER else OwnerMatch(group=wanted)


def _time(span: TimeSpan) -> TimeMatch:
    """What iptables calls the stop is the last second, which is still meant. It writes the last
    second of all time where no date is given."""
    all_day = (span.start, span.end) == (0, DAY)
    week_days = None
    if span.days != EVERY_DAY:
        week_days = Wanted(tuple(day + 1 for day in sorted(span.days)))
    return TimeMatch(
        start=None if all_day else span.start,
        stop=None if all_day else span.end - 1,
        week_days=week_days,
        last=LAST_SECOND,
        in_kernel_zone=span.in_kernel_zone,
        contiguous=span.crosses_midnight and week_days is not None,
    )
