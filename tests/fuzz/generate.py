"""Random rulesets and random packets that meet them, as Hypothesis strategies.

Everything is drawn from small pools (addresses, ports, interfaces, marks), so that rules match
packets and packets belong to each other's connections.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import cache

from hypothesis import strategies as st

from netfw.ir.ipset import IpSet
from netfw.ir.limits import REJECT_KINDS
from netfw.ir.mark import MAX_MARK, MaskedWord
from netfw.ir.match import (
    AddressMatch,
    AddrtypeMatch,
    CommentMatch,
    ConnectionState,
    ConnmarkMatch,
    ConntrackMatch,
    FragmentMatch,
    IcmpMatch,
    InterfaceMatch,
    LimitMatch,
    MarkMatch,
    Match,
    MultiportMatch,
    PortRange,
    Ports,
    PortSide,
    ProtocolMatch,
    SetMatch,
    Side,
    StateMatch,
    TcpFlags,
    TcpMatch,
    UdpMatch,
    Way,
)
from netfw.ir.names import BUILTIN_CHAINS, ChainPolicy, Family, Hook, TableName
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6, TCP, UDP
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table
from netfw.ir.target import (
    Accept,
    Ct,
    Dnat,
    Drop,
    Goto,
    Jump,
    Log,
    Masquerade,
    NatRange,
    Netmap,
    Nflog,
    NoTarget,
    Redirect,
    Reject,
    RestoreMark,
    Return,
    SaveMark,
    SetConnmark,
    SetMark,
    Snat,
    Target,
)
from netfw.traverse.packet import ACK, FIN, PSH, RST, SYN, URG, Packet
from tests.fuzz.sets import empty_sets, sets_named, sides_of
from tests.fuzz.world import (
    BEHIND,
    ECHO_REPLY,
    ECHO_REQUEST,
    FAR,
    INTERFACES,
    LOOPBACK_ADDRESS,
    NEAR,
    NOWHERE,
    PORTS,
    TO_MANY,
    UNREACHABLE,
)

ECHO_IDS = (7, 8)
CHAINS = ("U1", "U2", "U3", "U4")
"""User chains of every table but nat. A chain jumps only to those behind it."""
NAT_CHAINS = {
    Hook.PREROUTING: ("D1", "D2"),
    Hook.OUTPUT: ("D1", "D2"),
    Hook.INPUT: ("S1", "S2"),
    Hook.POSTROUTING: ("M1", "S1", "S2"),
}
"""User chains of nat by the hooks that may reach them: a target of one side is refused where the
other side's hooks lead to it, and MASQUERADE everywhere but in POSTROUTING."""
_TCP_FLAGS = (SYN, ACK, SYN | ACK, FIN | ACK, RST, RST | ACK, PSH | ACK, FIN, 0, SYN | FIN, URG)


class Relation(Enum):
    """What a packet is to an earlier one."""

    FIRST = "first"
    AGAIN = "again"
    ANSWER = "answer"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Sending:
    """One packet to send.

    A FIRST one is all in ``packet``. The others follow packet number ``of`` (from 0): AGAIN is
    the same once more, ANSWER goes back from where that one ended, ERROR is an ICMP error from
    there that quotes it. ``tcp_flags`` replace those of the packet that is followed.
    """

    relation: Relation
    packet: Packet | None = None
    of: int = 0
    tcp_flags: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """A ruleset and packets that go through it one after the other.

    ``conntrack`` says whether anything in it switches connection tracking on. ``sets`` are those
    of ipset with their members.
    """

    ruleset: Ruleset
    sendings: tuple[Sending, ...]
    conntrack: bool
    sets: tuple[IpSet, ...] = ()


booleans = st.booleans()
_sometimes = st.sampled_from([False, False, False, True])
_rarely = st.sampled_from([False] * 7 + [True])
words = st.integers(0, 15) | st.sampled_from([0x10, 0x21, 0xF0, 0x10000, MAX_MARK])
masks = st.sampled_from([0xF, 0x1, 0x3, 0xF0, 0xFF, 0xF0000, 0, MAX_MARK, MAX_MARK])
any_words = words | words | st.integers(0, MAX_MARK)
marks = st.builds(MaskedWord, any_words, masks | any_words)
likely_marks = st.sampled_from(
    [MaskedWord(value, mask) for mask in (0x1, 0x3, 0xF) for value in range(4) if value <= mask]
)
port_ranges = st.sampled_from(
    [*(PortRange(port, port) for port in PORTS), PortRange(50, 100), PortRange(40000, 65535)]
)


def pool(family: Family) -> tuple[int, ...]:
    """Every address that any packet may have."""
    return (
        *FAR[family],
        *NEAR[family],
        *BEHIND[family],
        LOOPBACK_ADDRESS[family],
        NOWHERE[family],
    )


@cache
@st.composite
def nets(draw: st.DrawFn, family: Family) -> Net:
    """A network around an address of the pool, often only that address."""
    full = (1 << family.bits) - 1
    length = draw(
        st.sampled_from([family.bits, family.bits, family.bits - 1, family.bits - 8, 9, 1])
    )
    mask = full ^ (full >> length)
    return Net(family, draw(st.sampled_from(pool(family))) & mask, mask)


@cache
@st.composite
def heads(
    draw: st.DrawFn, family: Family, protocol: int | None, ways: tuple[Way, ...]
) -> list[Match]:
    """Addresses, interfaces, protocol: in iptables' order."""
    found: list[Match] = []
    for side in Side:
        if draw(_rarely):
            found.append(AddressMatch(side, draw(nets(family)), draw(_sometimes)))
    for way in ways:
        if draw(_rarely):
            names = st.sampled_from([*INTERFACES, "lo", "eth+", "e+", "eth9"])
            found.append(InterfaceMatch(way, draw(names), draw(_sometimes)))
    if protocol is not None:
        found.append(ProtocolMatch(protocol))
    elif draw(_rarely):
        found.append(ProtocolMatch(draw(st.sampled_from([TCP, UDP, 99])), negate=True))
    if family is Family.IPV4 and protocol is None and draw(_rarely):
        found.append(FragmentMatch(draw(booleans)))
    return found


some_ports = st.none() | st.builds(Ports, port_ranges, _sometimes)


@cache
@st.composite
def both_ports(draw: st.DrawFn) -> tuple[Ports | None, Ports | None]:
    """Source and destination ports, but not both negated: iptables-nft 1.8.9 makes one
    comparison of them, which is true where either differs (docs/kernel-facts.md)."""
    source, destination = draw(some_ports), draw(some_ports)
    if source is not None and source.negate and destination is not None:
        destination = Ports(destination.ports)
    return source, destination


@cache
@st.composite
def transports(draw: st.DrawFn, family: Family, protocol: int | None) -> list[Match]:
    """What goes with a protocol."""
    if protocol is None or not draw(booleans):
        return []
    codes = st.sampled_from([(0, 255), (0, 0), (1, 1)])
    kinds = st.sampled_from(
        [ECHO_REQUEST[family], ECHO_REPLY[family], UNREACHABLE[family][0], 255 - family.bits]
    )
    if protocol in (TCP, UDP) and draw(_rarely):
        ports = tuple(draw(st.lists(port_ranges, min_size=1, max_size=3)))
        return [MultiportMatch(draw(st.sampled_from(PortSide)), ports, draw(_sometimes))]
    if protocol == TCP:
        flags = st.builds(TcpFlags, st.integers(1, 63), st.integers(0, 63), _sometimes)
        usual = st.builds(TcpFlags, st.just(FIN | SYN | RST | ACK), st.just(SYN), _sometimes)
        return [TcpMatch(*draw(both_ports()), draw(st.none() | usual | flags))]
    if protocol == UDP:
        return [UdpMatch(*draw(both_ports()))]
    module = "icmp" if protocol == ICMP else "icmp6"
    return [IcmpMatch(module, draw(kinds), draw(codes), draw(_sometimes))]


@cache
@st.composite
def conntracks(draw: st.DrawFn) -> ConntrackMatch:
    """States, and perhaps a direction."""
    states = draw(st.frozensets(st.sampled_from(ConnectionState), max_size=3))
    direction = draw(st.sampled_from(["ORIGINAL", "REPLY", None if states else "REPLY"]))
    return ConntrackMatch(states, bool(states) and draw(_sometimes), direction)


_STATES = st.sampled_from([s for s in ConnectionState if s.value not in ("SNAT", "DNAT")])


@cache
@st.composite
def addrtypes(draw: st.DrawFn, family: Family) -> AddrtypeMatch:
    """Kinds of addresses."""
    if family is Family.IPV6:
        # there a list of kinds does not mean any of them (docs/kernel-facts.md)
        return AddrtypeMatch(frozenset({draw(st.sampled_from(["LOCAL", "MULTICAST"]))}))
    kinds = st.sampled_from(["LOCAL", "UNICAST", "MULTICAST"])
    source = draw(st.frozensets(kinds, max_size=2))
    destination = draw(st.frozensets(kinds, min_size=0 if source else 1, max_size=2))
    return AddrtypeMatch(
        source,
        destination,
        bool(source) and draw(_sometimes),
        bool(destination) and draw(_sometimes),
    )


@st.composite
def set_matches(draw: st.DrawFn, family: Family) -> SetMatch:
    """A look-up in a set of any kind."""
    sets = empty_sets(family)
    name = draw(st.sampled_from(list(sets)))
    asks_exceptions = sets[name].has_exceptions and draw(_rarely)
    options = ("--return-nomatch",) if asks_exceptions else ()
    return SetMatch(name, draw(sides_of(name, family)), draw(booleans), options)


@cache
def others(family: Family, conntrack: bool) -> st.SearchStrategy[Match]:
    """Matches that go with any protocol."""
    found: list[st.SearchStrategy[Match]] = [
        st.builds(MarkMatch, marks, booleans),
        st.builds(MarkMatch, likely_marks, _sometimes),
        st.builds(MarkMatch, likely_marks, _sometimes),
    ]
    if conntrack:
        found += [
            conntracks(),
            st.builds(StateMatch, st.frozensets(_STATES, min_size=1, max_size=3), _sometimes),
            st.builds(ConnmarkMatch, likely_marks, _sometimes),
            st.builds(ConnmarkMatch, likely_marks, _sometimes),
        ]
    found += [
        addrtypes(family),
        st.just(CommentMatch("said")),
        set_matches(family),
        set_matches(family),
    ]
    return st.one_of(found)


@cache
@st.composite
def nat_targets(draw: st.DrawFn, family: Family, protocol: int | None, chain: str) -> Target:
    """A translation that this chain may hold, to one address, and one port or a few."""
    with_port = protocol in (TCP, UDP) and draw(booleans)
    port = draw(st.sampled_from(PORTS)) if with_port else 0
    ports = (port, port) if with_port else None
    if with_port and draw(_rarely):
        # a port inside stays; for another one nobody foretells which the kernel takes
        ports = (min(port, 1024), 0xFFFF)
    if draw(_rarely):
        moved = draw(st.sampled_from((*NEAR[family], *BEHIND[family], *FAR[family])))
        mask = (1 << family.bits) - draw(st.sampled_from([1, 16, 256]))
        return Netmap(Net(family, moved & mask, mask))
    kinds: list[type[Dnat] | type[Redirect] | type[Snat] | type[Masquerade]]
    addresses, seldom = (*NEAR[family], *BEHIND[family]), [NOWHERE[family]]
    if chain in ("PREROUTING", "OUTPUT", "D1", "D2"):
        kinds = [Dnat, Dnat, Redirect]
        if with_port and draw(_rarely):
            moved = draw(st.sampled_from((*NEAR[family], *BEHIND[family])))
            return Dnat(NatRange((moved, moved), (8000, 8010), base=draw(st.sampled_from(PORTS))))
        addresses += FAR[family]
        seldom.append(LOOPBACK_ADDRESS[family])
    else:
        kinds = [Snat, Snat, Masquerade] if chain in ("POSTROUTING", "M1") else [Snat]
    kind = draw(st.sampled_from(kinds))
    if kind in (Redirect, Masquerade):
        return kind(NatRange(None, ports))
    if ports is not None and draw(_rarely):
        return kind(NatRange(None, ports))
    address = draw(st.sampled_from((*addresses, *addresses, *seldom)))
    if draw(_rarely):
        flags = draw(st.sampled_from([(), ("--persistent",)]))
        several = draw(st.sampled_from([BEHIND[family], NEAR[family], FAR[family]]))
        return kind(NatRange((min(several), max(several)), ports, flags))
    return kind(NatRange((address, address), ports))


_ends: st.SearchStrategy[Target] = st.sampled_from([Drop(), Drop(), Accept(), Return()])
_untracked: st.SearchStrategy[Target] = st.just(Ct(notrack=True))
_plain_targets: st.SearchStrategy[Target] = st.sampled_from(
    [NoTarget(), Accept(), Return(), Log("seen ", 4), Nflog(5, "copy")]
)


@cache
def _into(chains: tuple[str, ...]) -> st.SearchStrategy[Target]:
    kinds = (Jump, Jump, Jump, Goto)
    return st.sampled_from([kind(chain) for chain in chains for kind in kinds])


@cache
def _refusals(family: Family, with_reset: bool) -> st.SearchStrategy[Target]:
    kinds = [Reject(kind) for kind in REJECT_KINDS[family] if with_reset or kind != "tcp-reset"]
    return st.sampled_from(kinds)


@cache
def mark_targets(conntrack: bool) -> st.SearchStrategy[Target]:
    """What changes marks."""
    found: list[st.SearchStrategy[Target]] = [st.builds(SetMark, marks)]
    if conntrack:
        found += [
            st.builds(SetMark, marks),
            st.builds(SetConnmark, marks),
            st.builds(SaveMark, masks, masks),
            st.builds(RestoreMark, masks, masks),
        ]
    return st.one_of(found)


@cache
@st.composite
def targets(
    draw: st.DrawFn,
    table: TableName,
    family: Family,
    protocol: int | None,
    chain: str,
    below: tuple[str, ...],
    conntrack: bool,
) -> Target:
    """A target that this chain takes; ``below`` are the chains that it may lead to."""
    marking = mark_targets(conntrack)
    branches: list[st.SearchStrategy[Target]] = [marking, marking, _plain_targets]
    if below:
        branches += [_into(below)] * 2
    if table is TableName.NAT:
        if conntrack and draw(booleans):
            return draw(nat_targets(family, protocol, chain))
    elif draw(_rarely):
        branches = [_ends]
        if table is TableName.FILTER:
            branches += [_refusals(family, protocol == TCP)] * 2
    if table is TableName.RAW and conntrack and draw(booleans):
        branches.append(_untracked)
    return draw(draw(st.sampled_from(branches)))


_WAYS = {
    "PREROUTING": (Way.IN,),
    "INPUT": (Way.IN,),
    "OUTPUT": (Way.OUT,),
    "POSTROUTING": (Way.OUT,),
}
"""Userspace refuses the other interface in these chains."""


@cache
@st.composite
def rules(
    draw: st.DrawFn,
    table: TableName,
    family: Family,
    chain: str,
    below: tuple[str, ...],
    conntrack: bool,
) -> Rule:
    """A rule that this chain takes."""
    icmp = ICMP if family is Family.IPV4 else ICMPV6
    protocol = draw(st.sampled_from([None, None, None, TCP, UDP, UDP, icmp]))
    head = draw(heads(family, protocol, _WAYS.get(chain, tuple(Way))))
    further = draw(transports(family, protocol))
    if draw(_sometimes if table is TableName.NAT else booleans):
        further.append(draw(others(family, conntrack)))
    target = draw(targets(table, family, protocol, chain, below, conntrack))
    if isinstance(target, NoTarget | Log | Nflog) and draw(_sometimes):
        # whether it holds is the kernel's to say, and changes nothing
        further.append(LimitMatch(1, "hour", 1))
    return Rule((*head, *further), target)


@cache
@st.composite
def tables(draw: st.DrawFn, name: TableName, family: Family, conntrack: bool) -> Table:
    """A table with all its chains."""
    nat = name is TableName.NAT
    user = ("D1", "D2", "M1", "S1", "S2") if nat else CHAINS
    chains = []
    for hook in BUILTIN_CHAINS[name]:
        below = NAT_CHAINS[hook] if nat else CHAINS
        found = draw(st.lists(rules(name, family, hook.value, below, conntrack), max_size=4))
        closed = not nat and draw(_rarely) and draw(_rarely)
        policy = ChainPolicy.DROP if closed else ChainPolicy.ACCEPT
        chains.append(Chain(hook.value, tuple(found), policy))
    for index, chain in enumerate(user):
        below = user[index + 1 :]
        if nat:
            below = {"D1": ("D2",), "M1": ("S1", "S2"), "S1": ("S2",)}.get(chain, ())
        found = draw(st.lists(rules(name, family, chain, below, conntrack), max_size=3))
        chains.append(Chain(chain, tuple(found)))
    return Table(name, tuple(chains))


CONNTRACK_ON = Chain(
    "ON", (Rule((ConntrackMatch(frozenset({ConnectionState.NEW})),), NoTarget()),)
)
"""Nothing leads here: it only switches connection tracking on."""


@cache
@st.composite
def rulesets(draw: st.DrawFn, family: Family, conntrack: bool) -> Ruleset:
    """All five tables, some of them with rules."""
    found = []
    for name in TableName:
        table = Table.with_builtins(name)
        if draw(booleans) or draw(booleans):
            table = draw(tables(name, family, conntrack))
        if name is TableName.MANGLE and conntrack:
            table = Table(name, (*table.chains, CONNTRACK_ON))
        found.append(table)
    return Ruleset(family, tuple(found))


@cache
@st.composite
def packets(draw: st.DrawFn, family: Family, protocol: int | None = None) -> Packet:
    """A packet of any path: through this host, to it, from it, or to itself."""
    if protocol is None:
        protocol = draw(st.sampled_from([UDP, TCP, ICMP if family is Family.IPV4 else ICMPV6]))
    came_by = draw(st.sampled_from([*INTERFACES, ""]))
    far, behind, near = FAR[family], BEHIND[family], NEAR[family]
    if came_by:
        index = INTERFACES.index(came_by)
        source = draw(st.sampled_from([far[index], behind[index], far[index - 1]]))
        if draw(_rarely) and draw(_rarely):
            # such a packet is refused, but only where it is routed
            source = draw(st.sampled_from(near))
        destinations = [*far, *behind, *near, NOWHERE[family]]
        if draw(_rarely):
            destinations = list(TO_MANY[family])
    else:
        source = draw(st.sampled_from([*near, LOOPBACK_ADDRESS[family]]))
        destinations = [*far, *behind, *near]
        if source == LOOPBACK_ADDRESS[family]:
            destinations = [source, *near]
    is_icmp = protocol not in (TCP, UDP)
    kinds = [ECHO_REQUEST[family]] * 3 + [ECHO_REPLY[family]]
    return Packet(
        family,
        source,
        draw(st.sampled_from(destinations)),
        protocol,
        0 if is_icmp else draw(st.sampled_from(PORTS)),
        0 if is_icmp else draw(st.sampled_from(PORTS)),
        tcp_flags=draw(st.sampled_from((SYN,) * 8 + _TCP_FLAGS)) if protocol == TCP else 0,
        icmp_type=draw(st.sampled_from(kinds)) if is_icmp else 0,
        icmp_code=int(draw(_rarely)) if is_icmp else 0,
        icmp_id=draw(st.sampled_from(ECHO_IDS)) if is_icmp else 0,
        in_interface=came_by,
        mark=0 if came_by else draw(st.just(0) | words),
        ttl=1 if draw(_rarely) and draw(_rarely) else 64,
    )


@st.composite
def siblings(draw: st.DrawFn, packet: Packet) -> Packet:
    """A packet that differs from another in one thing, so that their translations may clash."""
    family = packet.family
    if draw(booleans) and packet.source_port:
        return replace(packet, source_port=draw(st.sampled_from(PORTS)))
    if draw(booleans) and packet.source_port:
        return replace(packet, destination_port=draw(st.sampled_from(PORTS)))
    far, behind, near = FAR[family], BEHIND[family], NEAR[family]
    if packet.source == LOOPBACK_ADDRESS[family]:
        return replace(packet, destination=draw(st.sampled_from(near)))
    return replace(packet, destination=draw(st.sampled_from([*far, *behind, *near])))


_relations = st.sampled_from([*Relation, Relation.AGAIN, Relation.ANSWER, Relation.ANSWER])


@st.composite
def sendings(draw: st.DrawFn, family: Family, most: int) -> tuple[Sending, ...]:
    """Packets, some of which follow earlier ones."""
    found: list[Sending] = []
    for _ in range(draw(st.sampled_from(range(most, 0, -1)))):
        relation = draw(_relations) if found else Relation.FIRST
        if relation is Relation.FIRST:
            packet = draw(packets(family))
            is_sibling = bool(found) and draw(booleans)
            if is_sibling:
                earlier = draw(st.sampled_from(found)).packet
                packet = draw(siblings(earlier or packet))
            found.append(Sending(relation, packet))
        else:
            of = draw(st.integers(0, len(found) - 1))
            flags = draw(st.sampled_from((ACK, SYN | ACK) * 3 + _TCP_FLAGS))
            found.append(Sending(relation, None, of, flags))
    return tuple(found)


_segments = st.sampled_from(
    [SYN, SYN | ACK, ACK, ACK, FIN | ACK, FIN | ACK, RST, RST | ACK, PSH | ACK, 0]
)


@st.composite
def conversations(draw: st.DrawFn, family: Family, most: int) -> tuple[Sending, ...]:
    """The segments of one TCP connection, in any order, both ways."""
    first = draw(packets(family, TCP))
    found = [Sending(Relation.FIRST, replace(first, tcp_flags=draw(st.sampled_from([SYN, ACK]))))]
    ways = st.sampled_from([Relation.AGAIN, Relation.ANSWER])
    if draw(booleans):
        # the hand is shaken first, as it mostly is
        found += [
            Sending(Relation.ANSWER, None, 0, SYN | ACK),
            Sending(Relation.AGAIN, None, 0, ACK),
        ]
    for _ in range(draw(st.sampled_from(range(most, 0, -1)))):
        found.append(Sending(draw(ways), None, 0, draw(_segments)))
    return tuple(found)


@st.composite
def cases(draw: st.DrawFn, family: Family, most: int = 8) -> Case:
    """A ruleset and up to ``most`` packets."""
    conntrack = not draw(_rarely)
    ruleset = draw(rulesets(family, conntrack))
    named = {name for rule in ruleset.rules() for name in rule.set_names}
    sets = draw(sets_named(sorted(named), family))
    is_talk = conntrack and draw(_sometimes)
    sent = draw(conversations(family, most) if is_talk else sendings(family, most))
    return Case(ruleset, sent, conntrack, sets)
