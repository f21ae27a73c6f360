"""Matches as sets of packets.

What a match means is said here a second time, apart from ``traverse/evaluate.py``: random rules
and packets in the tests hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from netfw.ir.form import Range
from netfw.ir.mark import MaskedWord
from netfw.ir.match import (
    AddressMatch,
    CommentMatch,
    ConnectionState,
    ConnlimitMatch,
    ConnmarkMatch,
    ConntrackMatch,
    CpuMatch,
    DccpMatch,
    FragmentMatch,
    HashlimitMatch,
    IcmpMatch,
    InterfaceMatch,
    IprangeMatch,
    LengthMatch,
    LimitMatch,
    MacMatch,
    MarkMatch,
    Match,
    MultiportMatch,
    OwnerMatch,
    PkttypeMatch,
    Ports,
    PortSide,
    ProtocolMatch,
    RealmMatch,
    RpfilterMatch,
    SctpMatch,
    SetMatch,
    Side,
    StateMatch,
    StringMatch,
    TcpMatch,
    TimeMatch,
    UdpMatch,
    UnknownMatch,
    Way,
)
from netfw.ir.names import OWN_COMMENT_PREFIX, Hook, TableName
from netfw.ir.protocols import DCCP, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE
from netfw.ir.ruleset import Rule
from netfw.ir.spelling import SpelledMatch, Wanted
from netfw.prove.counted import of_match
from netfw.prove.hidden_condition import of_hidden
from netfw.prove.members import Members
from netfw.prove.space import NOTRACK, Bdd, Field, Space, bits_of, connmark_bit, mark_bit

_WITH_PORTS = (TCP, UDP, SCTP, UDPLITE, DCCP)
_WITH_CONNECTION = (
    ConnectionState.NEW,
    ConnectionState.ESTABLISHED,
    ConnectionState.RELATED,
)
_TRACKED_STATES = (*_WITH_CONNECTION, ConnectionState.INVALID)
STATEFUL_MODULES = frozenset(
    {"limit", "hashlimit", "statistic", "recent", "quota", "connlimit", "connbytes", "nth"}
    | {"random", "cluster", "rateest", "time", "connlabel", "nfacct", "bpf"}
    | {"ttl", "hl", "tos", "dscp", "ecn", "tcpmss", "u32"}
)
"""Modules whose answer may differ from one rule to the next for the same packet: they count, or
a target such as TTL, TOS or TCPMSS may have changed the field in between."""
_WITH_OPPOSITES = (
    SetMatch,
    LengthMatch,
    PkttypeMatch,
    CpuMatch,
    RealmMatch,
    StringMatch,
    RpfilterMatch,
)
"""Matches that, negated, hold for exactly the other packets: they look at nothing that a packet
may lack."""


@dataclass(frozen=True, slots=True)
class Spot:
    """What a rule can see where it stands: raw is asked before connection tracking, and a packet
    has its leaving interface only from the routing decision on."""

    before_conntrack: bool
    knows_out: bool

    @classmethod
    def of(cls, hook: Hook, table: TableName) -> Spot:
        """The spot of a table at a hook."""
        return cls(table is TableName.RAW, hook not in (Hook.PREROUTING, Hook.INPUT))


class Conditions:
    """Rules' conditions in a space; what was made once is kept."""

    def __init__(self, space: Space, members: Members) -> None:
        self.space = space
        self.members = members
        self._matches: dict[tuple[Match, Spot], Bdd] = {}
        self._occurrences: dict[object, int] = {}
        self._ports: dict[tuple[Field, Ports], Bdd] = {}

    def of_rule(self, rule: Rule, spot: Spot, place: int = 1) -> Bdd:
        """The packets that meet every match of a rule, by what they are at the rule.

        ``place`` is more than 1 for a further rule of the same origin in its chain.
        """
        found = self.space.true
        # the variables of the matches that iptables writes last lie between those of interfaces
        # and addresses: joining from the addresses up keeps every step small
        for match in rule.matches:
            if isinstance(match, CommentMatch):
                continue
            counted = self._counted(match, rule, place)
            found = (self.of(match, spot) if counted is None else counted) & found
        return found

    def _counted(self, match: Match, rule: Rule, place: int) -> Bdd | None:
        """What a rule of netfw's counts is known by that rule: a packet comes to it once."""
        if not rule.is_ours or not isinstance(match, HashlimitMatch | ConnlimitMatch):
            return None
        owner = (rule.comment or "").removeprefix(OWN_COMMENT_PREFIX)
        found = of_match(match, self.space.family, owner, place)
        if found is None:
            return None
        counted, negate = found
        return _negated(self.space.oracle(counted), negate=negate)

    def of(self, match: Match, spot: Spot) -> Bdd:
        """The packets that meet a match."""
        key = (match, spot)
        found = self._matches.get(key)
        if found is None:
            found = self._make(match, spot)
            if not _is_stateful(match):
                self._matches[key] = found
        return found

    def _make(self, match: Match, spot: Spot) -> Bdd:
        space = self.space
        match match:
            case CommentMatch():
                return space.true
            case AddressMatch(side, net, negate):
                field = Field.SOURCE if side is Side.SOURCE else Field.DESTINATION
                return _negated(space.in_net(field, net), negate=negate)
            case InterfaceMatch():
                return self._interface(match, spot)
            case ProtocolMatch(number, negate):
                found = space.true if number == 0 else space.equal(Field.PROTOCOL, number)
                return _negated(found, negate=negate)
            case FragmentMatch(negate):
                return _negated(space.flag(Field.FRAGMENT), negate=negate)
            case TcpMatch():
                return self._tcp(match)
            case UdpMatch(source, destination, module):
                return self._whole(UDP if module == "udp" else UDPLITE) & self._both_ports(
                    source, destination
                )
            case IcmpMatch():
                return self._icmp(match)
            case MultiportMatch():
                return self._multiport(match)
            case ConntrackMatch():
                return self._conntrack(match, spot)
            case StateMatch(states, negate):
                return _negated(self._in_states(states, spot), negate=negate)
            case MarkMatch(mark, negate):
                return _negated(self._word(mark, mark_bit), negate=negate)
            case ConnmarkMatch(mark, negate):
                word = _negated(self._word(mark, connmark_bit), negate=negate)
                return self.has_connection(spot) & word
            case IprangeMatch():
                return self._iprange(match)
            case SctpMatch() | DccpMatch():
                return self._wanted_ports(match)
            case MacMatch() | OwnerMatch() | TimeMatch():
                return of_hidden(space, match)
            case SetMatch():
                known = self.members.of(match, knows_out=spot.knows_out)
                return self._oracle(match) if known is None else known
            case _:
                return self._oracle(match)

    def has_connection(self, spot: Spot) -> Bdd:
        """The packets to which a connection is attached at this spot."""
        if spot.before_conntrack:
            return self.space.false
        notrack = self.space.state_variables[NOTRACK]
        return self.space.in_state(*_WITH_CONNECTION) & ~notrack

    def _interface(self, match: InterfaceMatch, spot: Spot) -> Bdd:
        space = self.space
        if match.way is Way.OUT and not spot.knows_out:
            found = space.true if match.covers("") else space.false
        else:
            field = Field.IN_INTERFACE if match.way is Way.IN else Field.OUT_INTERFACE
            found = space.any_of(
                space.equal(field, place) for place in space.interfaces.covered(match)
            )
        return _negated(found, negate=match.negate)

    def _whole(self, protocol: int) -> Bdd:
        """Packets of a protocol that are no later fragments: those have no header to look at."""
        return self.space.equal(Field.PROTOCOL, protocol) & ~self.space.flag(Field.FRAGMENT)

    def _both_ports(self, source: Ports | None, destination: Ports | None) -> Bdd:
        found = self.space.true
        for field, ports in (
            (Field.SOURCE_PORT, source),
            (Field.DESTINATION_PORT, destination),
        ):
            if ports is not None:
                found &= self._port(field, ports)
        return found

    def _port(self, field: Field, ports: Ports) -> Bdd:
        key = (field, ports)
        found = self._ports.get(key)
        if found is None:
            span = self.space.between(field, ports.ports.first, ports.ports.last)
            found = self._ports[key] = _negated(span, negate=ports.negate)
        return found

    def _tcp(self, match: TcpMatch) -> Bdd:
        space = self.space
        found = self._whole(TCP) & self._both_ports(match.source, match.destination)
        if match.flags is not None:
            flags = space.masked(Field.TCP_FLAGS, match.flags.value, match.flags.mask)
            found &= _negated(flags, negate=match.flags.negate)
        if match.option is not None:
            option = space.oracle(("tcp-option", match.option))
            found &= _negated(option, negate=match.option_negate)
        return found

    def _icmp(self, match: IcmpMatch) -> Bdd:
        space = self.space
        is_v4 = match.module == "icmp"
        meets = space.true
        if not (is_v4 and match.type == 255):
            meets = space.equal(Field.ICMP_TYPE, match.type) & space.between(
                Field.ICMP_CODE, *match.codes
            )
        return self._whole(ICMP if is_v4 else ICMPV6) & _negated(meets, negate=match.negate)

    def _multiport(self, match: MultiportMatch) -> Bdd:
        space = self.space

        def meets(field: Field) -> Bdd:
            return space.any_of(
                space.between(field, ports.first, ports.last) for ports in match.ports
            )

        if match.side is PortSide.EITHER:
            found = meets(Field.SOURCE_PORT) | meets(Field.DESTINATION_PORT)
        elif match.side is PortSide.SOURCE:
            found = meets(Field.SOURCE_PORT)
        else:
            found = meets(Field.DESTINATION_PORT)
        protocols = space.any_of(space.equal(Field.PROTOCOL, number) for number in _WITH_PORTS)
        whole = protocols & ~space.flag(Field.FRAGMENT)
        return whole & _negated(found, negate=match.negate)

    def _in_states(self, states: frozenset[ConnectionState], spot: Spot) -> Bdd:
        """Packets that show one of the states here: before tracking all are INVALID, unless a rule
        has made them UNTRACKED (xt_conntrack.c: nf_ct_get gives NULL)."""
        space = self.space
        notrack = space.state_variables[NOTRACK]
        untracked = space.true if ConnectionState.UNTRACKED in states else space.false
        if spot.before_conntrack:
            tracked = space.true if ConnectionState.INVALID in states else space.false
        else:
            tracked = space.in_state(*(state for state in states if state in _TRACKED_STATES))
            tracked |= untracked & space.in_state(ConnectionState.UNTRACKED)
        return space.ite(notrack, untracked, tracked)

    def _iprange(self, match: IprangeMatch) -> Bdd:
        found = self.space.true
        for field, wanted in (
            (Field.SOURCE, match.source),
            (Field.DESTINATION, match.destination),
        ):
            if wanted is not None:
                found &= self._between(field, wanted)
        return found

    def _between(self, field: Field, wanted: Wanted[Range]) -> Bdd:
        span = self.space.between(field, wanted.value.first, wanted.value.last)
        return _negated(span, negate=wanted.negate)

    def _wanted_ports(self, match: SctpMatch | DccpMatch) -> Bdd:
        """Ports, which are known; whatever else the match asks of the header is not."""
        found = self._whole(SCTP if isinstance(match, SctpMatch) else DCCP)
        for field, wanted in (
            (Field.SOURCE_PORT, match.source),
            (Field.DESTINATION_PORT, match.destination),
        ):
            if wanted is not None:
                found &= self._between(field, wanted)
        further = replace(match, source=None, destination=None)
        return found if further == type(match)() else found & self._oracle(further)

    def _conntrack(self, match: ConntrackMatch, spot: Spot) -> Bdd:
        space = self.space
        connected = self.has_connection(spot)
        found = space.true
        if match.states:
            found = self._in_states(match.states, spot)
            for state, field in (
                (ConnectionState.SNAT, Field.SNAT),
                (ConnectionState.DNAT, Field.DNAT),
            ):
                if state in match.states:
                    found |= connected & space.flag(field)
            found = _negated(found, negate=match.negate)
        # without a connection the kernel looks no further than the state
        beyond = space.true
        if match.direction is not None:
            beyond = _negated(space.flag(Field.REPLY), negate=match.direction != "REPLY")
        further = replace(match, states=frozenset(), negate=False, direction=None)
        if further != ConntrackMatch():
            beyond &= self._oracle(further)
        without = space.true if match.states else space.false
        return found & space.ite(connected, beyond, without)

    def _word(self, word: MaskedWord, name_of: Callable[[int], str]) -> Bdd:
        """Packets whose mark, as it is here, matches."""
        space = self.space
        if not word.can_match:
            return space.false
        found = space.true
        for bit in bits_of(word.mask):
            variable = space.state_variables[name_of(bit)]
            found &= variable if word.value >> bit & 1 else ~variable
        return found

    def _oracle(self, match: Match) -> Bdd:
        """A variable for what cannot be known: one for all rules that ask the same, except where
        asking twice may give two answers."""
        key: object = match
        negate = isinstance(match, _WITH_OPPOSITES) and match.negate
        if negate:
            key = replace(cast(Any, match), negate=False)
        if _is_stateful(match):
            number = self._occurrences[key] = self._occurrences.get(key, 0) + 1
            key = (key, number)
        return _negated(self.space.oracle(key), negate=negate)


def _negated(of: Bdd, *, negate: bool) -> Bdd:
    return ~of if negate else of


def _is_stateful(match: Match) -> bool:
    if isinstance(match, LimitMatch):
        return True
    if isinstance(match, ConntrackMatch):
        # a nat rule in between may have given the connection other addresses for its answers
        return any(value is not None for value in _changeable(match))
    if isinstance(match, UnknownMatch):
        return match.module in STATEFUL_MODULES
    if isinstance(match, TimeMatch):
        # a packet passes all rules within one moment
        return False
    return isinstance(match, SpelledMatch) and match.MODULE in STATEFUL_MODULES


def _changeable(match: ConntrackMatch) -> tuple[object, ...]:
    return (
        match.reply_source,
        match.reply_destination,
        match.reply_source_port,
        match.reply_destination_port,
        match.expire,
    )
