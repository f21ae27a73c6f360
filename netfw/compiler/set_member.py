"""What of a rule a set can hold, and the members that it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from netfw.compiler.late_rule import LateRule
from netfw.compiler.term import expand_traffic
from netfw.errors import PolicyError
from netfw.ir.ipset import IpSet, Part, SetMember, SetPort
from netfw.ir.match import Match
from netfw.ir.names import OWN_COMMENT_PREFIX, Family
from netfw.ir.net import Net
from netfw.ir.origin import Origin
from netfw.ir.protocols import SCTP, TCP, UDP, UDPLITE
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
Masks = tuple[int, int]
"""The masks of a member: of its address and of its third part."""


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
    whole = {kind.protocol for kind in traffic if kind.is_whole}
    if None in whole:
        return Kinds({}, 0, ((),))
    narrow: list[Traffic] = []
    others: list[Traffic] = []
    for kind in traffic:
        is_narrow = kind.protocol not in whole and _is_narrow(kind)
        (narrow if is_narrow else others).append(kind)
    ports: dict[int, SetPort] = {}
    for kind in narrow:
        assert kind.protocol is not None
        assert kind.ports is not None
        for number in range(kind.ports.first, kind.ports.last + 1):
            ports[kind.protocol << 16 | number] = SetPort(kind.protocol, number)
    count = len(narrow) if len(narrow) < 2 else len(expand_traffic(tuple(narrow)))
    return Kinds(ports, count, expand_traffic(tuple(others)) if others else ())


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
        self._wider: dict[Masks, list[Masks]] = {}
        """The masks of members, with those among them that hold more."""

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
        for net in nets:
            for code, port in ports.items() if ports else _NO_PORT:
                with_port: tuple[Part, ...] = (net,) if port is None else (net, port)
                for other in third or _NO_NET:
                    if other is None:
                        key = (net.address, net.mask, code, 0, 0)
                        parts = with_port
                    else:
                        key = (net.address, net.mask, code, other.address, other.mask)
                        parts = (*with_port, other)
                    if key not in self._found and not self._is_covered(key):
                        self._found[key] = SetMember(parts, False, extensions)

    def _is_covered(self, key: Key) -> bool:
        """Whether what is to be added lies in a member that is there already."""
        address, mask, code, last, last_mask = key
        masks = (mask, last_mask)
        if masks not in self._wider:
            self._add_masks(masks)
        for wider, wider_last in self._wider[masks]:
            if (address & wider, wider, code, last & wider_last, wider_last) in self._found:
                return True
        return False

    def _add_masks(self, masks: Masks) -> None:
        """Compare with all masks that were seen; there are far fewer of them than members."""
        self._wider[masks] = [other for other in self._wider if _is_wider(other, masks)]
        for other, wider in self._wider.items():
            if other != masks and _is_wider(masks, other):
                wider.append(masks)

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


def _is_wider(masks: Masks, other: Masks) -> bool:
    """Whether nets with these masks can hold those with the other ones."""
    return masks[0] & other[0] == masks[0] and masks[1] & other[1] == masks[1]


_NO_PORT: Sequence[tuple[int, SetPort | None]] = ((0, None),)
_NO_NET: Sequence[Net | None] = (None,)


def _power_above(number: int) -> int:
    return 1 << max(number - 1, 0).bit_length()


def are_single(nets: tuple[Net, ...]) -> bool:
    """Whether all are single addresses."""
    return all(net.is_single for net in nets)


def is_foldable(rule: LateRule) -> bool:
    """Whether addresses and services are all that the rule asks."""
    return not rule.matches and rule.action in FOLDED_ACTIONS


FOLDED_ACTIONS = frozenset({"allow", "deny", "reject", "pass"})
"""Actions that decide and do nothing else: their order among themselves says nothing."""
