"""Matches on how often packets come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from netfw.ir.form import (
    UINT32,
    UINT64,
    Address,
    ByteCount,
    Choice,
    Choices,
    Date,
    DayTime,
    Flag,
    Number,
    Numbers,
    PacketRate,
    Probability,
    Rate,
    Text,
)
from netfw.ir.spelling import Option, SpelledMatch, Wanted

_HASH_KEYS = ("srcip", "srcport", "dstip", "dstport")
"""Print order of print_mode in extensions/libxt_hashlimit.c."""
_DAYS = tuple(
    (name, number)
    for number, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), start=1)
)

_LIMIT_SCALE = 10_000
"""Parts of a second in which a limit is kept (XT_LIMIT_SCALE, linux/netfilter/xt_limit.h)."""


@dataclass(frozen=True, slots=True)
class LimitMatch:
    """``-m limit``: at most ``rate`` packets per ``unit`` (sec, min, hour, day) after a burst."""

    SECONDS: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"day": 86_400, "hour": 3_600, "min": 60, "sec": 1}
    )
    """The units, longest first."""

    rate: int
    unit: str
    burst: int = 5

    @property
    def as_kept(self) -> LimitMatch:
        """The same limit as the kernel keeps it and iptables-save prints it.

        What is kept is a period in 1/10000 s, and it is printed in the unit that loses least:
        60/min comes back as 1/sec and 3000/sec as 3333/sec (parse_rate and print_rate in
        extensions/libxt_limit.c).
        """
        period = _LIMIT_SCALE * self.SECONDS[self.unit] // self.rate
        unit, ticks = "day", _LIMIT_SCALE * self.SECONDS["day"]
        for shorter, seconds in self.SECONDS.items():
            scaled = _LIMIT_SCALE * seconds
            if period > scaled or scaled // period < scaled % period:
                break
            unit, ticks = shorter, scaled
        return LimitMatch(ticks // period, unit, self.burst)


@dataclass(frozen=True, slots=True)
class HashlimitMatch(SpelledMatch):
    """``-m hashlimit``: a limit for each address, port or pair of them.

    The packets of one key come at ``upto`` or ``above`` a rate, after ``burst`` packets or bytes.
    Masks are prefix lengths of the key's addresses. Times are seconds (``rate_interval``) and
    milliseconds (the table's).
    """

    MODULE: ClassVar = "hashlimit"
    OPTIONS: ClassVar = (
        Option("--hashlimit-upto", "upto", PacketRate()),
        Option("--hashlimit-above", "above", PacketRate()),
        Option("--hashlimit-burst", "burst", ByteCount()),
        Option("--hashlimit-mode", "mode", Choices(_HASH_KEYS)),
        Option("--hashlimit-name", "name", Text(255, bare=True)),
        Option("--hashlimit-htable-size", "size", Number(UINT32, least=1)),
        Option("--hashlimit-htable-max", "most", Number(UINT32, least=1)),
        Option("--hashlimit-htable-gcinterval", "collect_interval", Number(UINT32, least=1)),
        Option("--hashlimit-htable-expire", "expire", Number(UINT32, least=1)),
        Option("--hashlimit-srcmask", "source_length", Number(128)),
        Option("--hashlimit-dstmask", "destination_length", Number(128)),
        Option("--hashlimit-rate-match", "rate_match", Flag()),
        Option("--hashlimit-rate-interval", "rate_interval", Number(UINT32, least=1)),
    )
    ONE_OF: ClassVar = (("upto", "above"),)
    name: str
    upto: Rate | None = None
    above: Rate | None = None
    burst: int | Rate | None = None
    mode: frozenset[str] | None = None
    size: int | None = None
    most: int | None = None
    collect_interval: int | None = None
    expire: int | None = None
    source_length: int | None = None
    destination_length: int | None = None
    rate_match: bool = False
    rate_interval: int | None = None


@dataclass(frozen=True, slots=True)
class StatisticMatch(SpelledMatch):
    """``-m statistic``: by chance, or every so many packets beginning with one (from 0).

    ``probability`` counts 1/2**31.
    """

    MODULE: ClassVar = "statistic"
    OPTIONS: ClassVar = (
        Option("--mode", "mode", Choice(("random", "nth"))),
        Option("--probability", "probability", Probability(), negate="negate"),
        Option("--every", "every", Number(UINT32, least=1), negate="negate"),
        Option("--packet", "packet", Number(UINT32)),
    )
    ONE_OF: ClassVar = (("probability", "every"),)
    mode: str
    probability: int | None = None
    every: int | None = None
    packet: int | None = None
    negate: bool = False


@dataclass(frozen=True, slots=True)
class RecentMatch(SpelledMatch):
    """``-m recent``: a list of addresses, and when packets with them came.

    ``action`` is set (true, and writes the address down), rcheck (it is there), update (the same,
    and writes it down) or remove. ``seconds`` and ``hits`` ask for no more time and no fewer
    packets than so many; ``mask`` is an address. ``is_source``: the packet's source is looked up.
    """

    MODULE: ClassVar = "recent"
    OPTIONS: ClassVar = (
        *(
            Option(f"--{action}", "action", Flag(action), negate="negate")
            for action in ("set", "rcheck", "update", "remove")
        ),
        Option("--seconds", "seconds", Number(UINT32, least=1)),
        Option("--reap", "reaps", Flag()),
        Option("--hitcount", "hits", Number(UINT32, least=1)),
        Option("--rttl", "same_ttl", Flag()),
        Option("--name", "name", Text(199, bare=True), always=True),
        Option("--mask", "mask", Address(), always=True),
        Option("--rsource", "is_source", Flag()),
        Option("--rdest", "is_source", Flag(value=False)),
    )
    action: str
    mask: int
    negate: bool = False
    seconds: int | None = None
    reaps: bool = False
    hits: int | None = None
    same_ttl: bool = False
    name: str = "DEFAULT"
    is_source: bool = True


@dataclass(frozen=True, slots=True)
class ConnlimitMatch(SpelledMatch):
    """``-m connlimit``: connections of the packet's network: no more than, or more than a number.

    ``length`` is the prefix length of that network, in bits.
    """

    MODULE: ClassVar = "connlimit"
    OPTIONS: ClassVar = (
        Option("--connlimit-upto", "upto", Number(UINT32)),
        Option("--connlimit-above", "above", Number(UINT32)),
        Option("--connlimit-mask", "length", Number(128)),
        Option("--connlimit-saddr", "is_source", Flag()),
        Option("--connlimit-daddr", "is_source", Flag(value=False)),
    )
    ONE_OF: ClassVar = (("upto", "above"),)
    length: int
    upto: int | None = None
    above: int | None = None
    is_source: bool = True


@dataclass(frozen=True, slots=True)
class QuotaMatch(SpelledMatch):
    """``-m quota``: so many bytes have not yet come by, 64 bits."""

    MODULE: ClassVar = "quota"
    OPTIONS: ClassVar = (Option("--quota", "octets", Number(UINT64), negate="negate"),)
    octets: int
    negate: bool = False


@dataclass(frozen=True, slots=True)
class TimeMatch(SpelledMatch):
    """``-m time``: by the clock: seconds of the day, days of week and month, and dates.

    Dates are seconds since 1970, 32 bits. ``in_kernel_zone``: in the kernel's time zone instead
    of UTC. ``contiguous``: a time across midnight belongs to the day on which it began.
    """

    MODULE: ClassVar = "time"
    OPTIONS: ClassVar = (
        Option("--timestart", "start", DayTime()),
        Option("--timestop", "stop", DayTime()),
        Option("--monthdays", "month_days", Numbers(31, 30, least=1), wanted=True),
        Option(
            "--weekdays",
            "week_days",
            Numbers(7, 6, least=1, names=_DAYS, is_named=True),
            wanted=True,
        ),
        Option("--datestart", "first", Date()),
        Option("--datestop", "last", Date()),
        Option("--kerneltz", "in_kernel_zone", Flag()),
        Option("--contiguous", "contiguous", Flag()),
    )
    start: int | None = None
    stop: int | None = None
    month_days: Wanted[tuple[int, ...]] | None = None
    week_days: Wanted[tuple[int, ...]] | None = None
    first: int | None = None
    last: int | None = None
    in_kernel_zone: bool = False
    contiguous: bool = False


@dataclass(frozen=True, slots=True)
class ClusterMatch(SpelledMatch):
    """``-m cluster``: a hash of the connection's source falls to one of these nodes.

    ``nodes`` is a mask of node numbers from bit 0, of at most 32.
    """

    MODULE: ClassVar = "cluster"
    OPTIONS: ClassVar = (
        Option("--cluster-local-nodemask", "nodes", Number(UINT32, digits=8), negate="negate"),
        Option("--cluster-total-nodes", "total", Number(32, least=1)),
        Option("--cluster-hash-seed", "seed", Number(UINT32, digits=8)),
    )
    nodes: int
    total: int
    seed: int
    negate: bool = False


@dataclass(frozen=True, slots=True)
class NfacctMatch(SpelledMatch):
    """``-m nfacct``: counts the packet; true, unless its quota is not yet used up."""

    MODULE: ClassVar = "nfacct"
    OPTIONS: ClassVar = (Option("--nfacct-name", "name", Text(31, bare=True)),)
    name: str
