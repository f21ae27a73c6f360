"""Sets of ipset as sets of packets.

What a set means is said here a second time, apart from ``traverse/set_lookup.py``: random sets and
packets in the tests hold the two against each other. Sources: net/netfilter/xt_set.c,
net/netfilter/ipset/ip_set_core.c (ip_set_test), ip_set_hash_gen.h (mtype_test_cidrs),
ip_set_getport.c and the kinds' own files; ipset(8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netfw.ir.ipset import (
    IpSet,
    PartKind,
    SetInterface,
    SetMember,
    SetName,
    SetPort,
)
from netfw.ir.match import InterfaceMatch, SetMatch, Way
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE
from netfw.ir.ruleset import Ruleset
from netfw.ir.target import ChangeSet
from netfw.prove.space import Bdd, Field, Space

_PORTS = frozenset({TCP, UDP, SCTP, UDPLITE})
_UNKNOWABLE = frozenset({PartKind.MAC, PartKind.MARK})
"""Parts that are no field of the space; a set with one is open."""
_NOT_COUNTING = ((), ("!", "--update-counters"), ("!", "--update-subcounters"))
_RETURN_NOMATCH = ("--return-nomatch",)
_ADDRESSES = {"src": Field.SOURCE, "dst": Field.DESTINATION}
_PORT_FIELDS = {"src": Field.SOURCE_PORT, "dst": Field.DESTINATION_PORT}
_WAYS = {"src": Way.IN, "dst": Way.OUT}


@dataclass(frozen=True, slots=True)
class _Found:
    """The packets for which there is a member, and those for which there is an exception."""

    members: Bdd
    exceptions: Bdd


class Members:
    """The sets that a ruleset's rules may name, where their members are known.

    One that a rule changes is not: every packet may find other members there.
    """

    def __init__(self, space: Space, ruleset: Ruleset) -> None:
        self.space = space
        changed = {
            name
            for rule in ruleset.rules()
            if isinstance(rule.target, ChangeSet)
            for name in rule.target.changed
        }
        self._sets = {each.name: each for each in ruleset.sets if each.name not in changed}
        self._found: dict[tuple[str, tuple[str, ...], bool], _Found] = {}

    def of(self, match: SetMatch, *, knows_out: bool) -> Bdd | None:
        """The packets that meet a match, its negation included; None where nobody knows.

        ``knows_out`` says whether a packet has its leaving interface where the rule stands.
        """
        returns_nomatch = match.options == _RETURN_NOMATCH
        if not returns_nomatch and match.options not in _NOT_COUNTING:
            return None
        found = self._met(match.name, match.directions, returns_nomatch, knows_out)
        if found is None:
            return None
        return ~found if match.negate else found

    def _met(
        self, name: str, sides: tuple[str, ...], returns_nomatch: bool, knows_out: bool
    ) -> Bdd | None:
        ipset = self._sets.get(name)
        if ipset is None or not _UNKNOWABLE.isdisjoint(ipset.parts):
            return None
        if len(sides) < len(ipset.parts) or ipset.family not in (None, self.space.family):
            return self.space.false
        if ipset.parts == (PartKind.SET,):
            names = _listed(ipset)
            parts = [self._met(each, sides, returns_nomatch, knows_out) for each in names]
            known = [part for part in parts if part is not None]
            return self.space.any_of(known) if len(known) == len(parts) else None
        key = (name, sides, knows_out)
        if key not in self._found:
            self._found[key] = self._look_up(ipset, sides, knows_out)
        found = self._found[key]
        return found.exceptions if returns_nomatch and ipset.has_exceptions else found.members

    def _look_up(self, ipset: IpSet, sides: tuple[str, ...], knows_out: bool) -> _Found:
        """The longest prefixes are tried first, so they are laid over the shorter ones."""
        space = self.space
        members = exceptions = space.false
        asks_interface = PartKind.INTERFACE in ipset.parts
        for level in _levels(ipset):
            here = _Found(
                self._any(ipset, sides, [each for each in level if not each.nomatch], knows_out),
                self._any(ipset, sides, [each for each in level if each.nomatch], knows_out),
            )
            over = here.members | here.exceptions
            if asks_interface:
                # where a net is there for other interfaces alone, the search ends as well
                over = space.any_of(self._net_of(each, sides[0]) for each in level)
            members = (members & ~over) | here.members
            exceptions = (exceptions & ~over) | here.exceptions
        if asks_interface:
            there = self._has_interface(sides[1], knows_out)
            members, exceptions = members & there, exceptions & there
        return _Found(members, exceptions)

    def _any(
        self, ipset: IpSet, sides: tuple[str, ...], members: Sequence[SetMember], knows_out: bool
    ) -> Bdd:
        return self.space.any_of(self._of(ipset, sides, member, knows_out) for member in members)

    def _of(self, ipset: IpSet, sides: tuple[str, ...], member: SetMember, knows_out: bool) -> Bdd:
        """The packets that have every part of a member; joined from the last variables up."""
        found = self.space.true
        parts = zip(ipset.parts, member.parts, sides, strict=False)
        for kind, part, side in sorted(parts, key=lambda each: _JOINED[type(each[1])]):
            match part:
                case Net():
                    mask = part.mask if kind is PartKind.NET else ipset.mask
                    full = (1 << part.family.bits) - 1
                    field = _ADDRESSES[side]
                    found &= self.space.masked(field, part.address, full if mask is None else mask)
                case SetPort():
                    found &= self._port(part, side)
                case SetInterface():
                    found &= self._interface(part, side, knows_out)
                case _:
                    raise TypeError(f"a set of kind {ipset.kind} is not known here")
        return found

    def _net_of(self, member: SetMember, side: str) -> Bdd:
        net = member.parts[0]
        assert isinstance(net, Net)
        return self.space.masked(_ADDRESSES[side], net.address, net.mask)

    def _port(self, port: SetPort, side: str) -> Bdd:
        """A later fragment has no port to look at."""
        space, number = self.space, port.number
        whole = ~space.flag(Field.FRAGMENT)
        at_port = space.equal(_PORT_FIELDS[side], number)
        if port.protocol is None:
            either = space.equal(Field.PROTOCOL, TCP) | space.equal(Field.PROTOCOL, UDP)
            return at_port & either & whole
        found = space.equal(Field.PROTOCOL, port.protocol)
        is_v6 = space.family is Family.IPV6
        if port.protocol in _PORTS:
            return at_port & found & whole
        if port.protocol == (ICMPV6 if is_v6 else ICMP):
            code = space.equal(Field.ICMP_CODE, number & 0xFF)
            return found & (code & space.equal(Field.ICMP_TYPE, number >> 8)) & whole
        if number:
            return space.false
        return found & whole if is_v6 else found

    def _interface(self, part: SetInterface, side: str, knows_out: bool) -> Bdd:
        if part.physdev or (side == "dst" and not knows_out):
            return self.space.false
        match = InterfaceMatch(_WAYS[side], part.name + "+" if part.wildcard else part.name)
        field = Field.IN_INTERFACE if side == "src" else Field.OUT_INTERFACE
        covered = self.space.interfaces.covered(match)
        return self.space.any_of(self.space.equal(field, place) for place in covered)

    def _has_interface(self, side: str, knows_out: bool) -> Bdd:
        if side == "dst" and not knows_out:
            return self.space.false
        field = Field.IN_INTERFACE if side == "src" else Field.OUT_INTERFACE
        return ~self.space.no_interface(field)


_JOINED = {SetPort: 0, Net: 1, SetInterface: 2}
"""Joining upwards in the order of the variables keeps every step small."""


def _listed(ipset: IpSet) -> list[str]:
    """The sets that a list names."""
    return [
        part.name for member in ipset.members for part in member.parts if isinstance(part, SetName)
    ]


def _levels(ipset: IpSet) -> list[list[SetMember]]:
    """Members by the lengths of their nets, the shortest first; of several nets the first one
    counts first."""
    found: dict[tuple[int, ...], list[SetMember]] = {}
    for member in ipset.members:
        lengths = tuple(
            part.mask if kind is PartKind.NET and isinstance(part, Net) else 0
            for kind, part in zip(ipset.parts, member.parts, strict=False)
        )
        found.setdefault(lengths, []).append(member)
    return [found[lengths] for lengths in sorted(found)]
