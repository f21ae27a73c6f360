"""What of a rule a set can hold, and the members that it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from netfw.compiler.late_rule import LateRule
from netfw.compiler.term import expand_traffic
from netfw.errors import PolicyError
from netfw.ir.ipset import IpSet, SetMember, SetPort
from netfw.ir.match import Match
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import SCTP, TCP, UDP, UDPLITE
from netfw.ir.ruleset import OWN_COMMENT_PREFIX, Origin
from netfw.policy.traffic import Traffic

MAX_SPAN = 16
"""A range of up to so many ports becomes a member for each, as ipset itself would make of it;
a wider one stays a match of the rule."""
MAX_MEMBERS = 1 << 20
"""Most members that one rule of a policy may become."""
_LEAST_SIZE = 1024
_LEAST_MOST = 65536
"""What ipset(8) takes for hashsize and maxelem unless it is told."""
_FAMILY_WORDS = {Family.IPV4: "inet", Family.IPV6: "inet6"}

_PORTS_IN_SETS = frozenset({TCP, UDP, SCTP, UDPLITE})
"""Protocols whose ports a set looks at; to it, a packet of DCCP has port 0 (get_port in
ip_set_getport.c)."""

Key = tuple[int, int, int, int, int]
"""What tells members apart: address and mask, protocol and port in one number, and the address
and mask that the third part has; 0 where a member has no such part."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """Traffic, taken apart: single ports, by protocol and number in one word, and the rest as
    terms. ``narrow_count`` is how many rules the ports would take."""

    ports: Mapping[int, SetPort]
    narrow_count: int
    wide: tuple[tuple[Match, ...], ...]


@lru_cache(maxsize=1 << 16)
def kinds_of(traffic: tuple[Traffic, ...]) -> Kinds:
    """Take services apart."""
    whole = {kind.protocol for kind in traffic if kind == Traffic(kind.protocol)}
    if None in whole:
        return Kinds({}, 0, ((),))
    narrow = [kind for kind in traffic if kind.protocol not in whole and _is_narrow(kind)]
    wide = tuple(kind for kind in traffic if kind.protocol in whole or not _is_narrow(kind))
    ports: dict[int, SetPort] = {}
    for kind in narrow:
        assert kind.protocol is not None
        assert kind.ports is not None
        for number in range(kind.ports.first, kind.ports.last + 1):
            ports[kind.protocol << 16 | number] = SetPort(kind.protocol, number)
    count = len(narrow) if len(narrow) < 2 else len(expand_traffic(tuple(narrow)))
    return Kinds(ports, count, expand_traffic(wide) if wide else ())


def _is_narrow(kind: Traffic) -> bool:
    return (
        kind.protocol in _PORTS_IN_SETS
        and kind.ports is not None
        and kind.source_ports is None
        and kind.ports.last - kind.ports.first < MAX_SPAN
    )


def narrow_terms(traffic: tuple[Traffic, ...]) -> tuple[tuple[Match, ...], ...]:
    """The terms of the ports alone."""
    return expand_traffic(tuple(kind for kind in traffic if _is_narrow(kind)))


@lru_cache(maxsize=len(Family))
def halves(family: Family) -> tuple[Net, Net]:
    """All addresses: a set takes no prefix of length 0."""
    top = 1 << (family.bits - 1)
    return Net(family, 0, top), Net(family, top, top)


class Gathering:
    """Members of one set, from rules in their order: what two want belongs to the first.

    So does what lies in a wider member of an earlier rule: a packet finds its longest prefix, and
    would be told of the later rule.
    """

    def __init__(self, family: Family) -> None:
        self._family = family
        self._found: dict[Key, SetMember] = {}
        self._masks: set[tuple[int, int]] = set()

    def add(
        self,
        origin: Origin,
        nets: Sequence[Net],
        ports: Mapping[int, SetPort] | None = None,
        third: Sequence[Net] | None = None,
    ) -> None:
        """Add what a rule asks: each of ``nets`` with each port, and with each third part.

        Raises PolicyError where that is too much to be meant.
        """
        count = len(nets) * len(ports or (0,)) * len(third or (0,))
        if count > MAX_MEMBERS:
            raise PolicyError.at(
                origin.where,
                f"this rule would become {count} members of a set (the most is {MAX_MEMBERS})",
                "every net is combined with every port: name larger networks, or fewer ports",
            )
        extensions = ("comment", f'"{OWN_COMMENT_PREFIX}{origin.identity}"')
        found, masks = self._found, self._masks
        for net in nets:
            address, mask = net.address, net.mask
            for code, port in ports.items() if ports else _NO_PORT:
                for other in third or _NO_NET:
                    last, last_mask = (0, 0) if other is None else (other.address, other.mask)
                    key = (address, mask, code, last, last_mask)
                    if key in found:
                        continue
                    lengths = (mask, last_mask)
                    if lengths not in masks or len(masks) > 1:
                        if self._is_covered(key):
                            continue
                        masks.add(lengths)
                    parts = [part for part in (net, port, other) if part is not None]
                    found[key] = SetMember(tuple(parts), False, extensions)

    def _is_covered(self, key: Key) -> bool:
        """Whether what is to be added lies in a member that is there already."""
        address, mask, code, last, last_mask = key
        return any(
            wider & mask == wider
            and wider_last & last_mask == wider_last
            and (address & wider, wider, code, last & wider_last, wider_last) in self._found
            for wider, wider_last in self._masks
        )

    def finish(self, name: str, kind: str) -> IpSet:
        """The set. Its sizes are powers of two, so that few members more change nothing."""
        members = tuple(self._found.values())
        most = max(_LEAST_MOST, _power_above(2 * len(members)))
        size = max(_LEAST_SIZE, _power_above(len(members)) // 2)
        options = (
            ("family", _FAMILY_WORDS[self._family]),
            ("hashsize", str(size)),
            ("maxelem", str(most)),
            ("counters", ""),
            ("comment", ""),
        )
        return IpSet(name, kind, self._family, options, members)


_NO_PORT: Sequence[tuple[int, SetPort | None]] = ((0, None),)
_NO_NET: Sequence[Net | None] = (None,)


def _power_above(number: int) -> int:
    return 1 << max(number - 1, 0).bit_length()


def is_open(nets: tuple[Net, ...]) -> bool:
    """Whether addresses are not limited."""
    for net in nets:
        if not net.mask:
            return True
    return not nets


def are_single(nets: tuple[Net, ...]) -> bool:
    """Whether all are single addresses."""
    return all(net.is_single for net in nets)


def is_foldable(rule: LateRule) -> bool:
    """Whether addresses and services are all that the rule asks."""
    return not rule.matches and rule.action in FOLDED_ACTIONS


FOLDED_ACTIONS = frozenset({"allow", "deny", "reject", "pass"})
"""Actions that decide and do nothing else: their order among themselves says nothing."""
