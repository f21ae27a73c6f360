"""Random rules of every type, in the one form in which iptables-save prints them."""

from __future__ import annotations

from hypothesis import assume
from hypothesis import strategies as st

from netfw.ir.form import Range
from netfw.ir.limits import ALL_PORTS, REJECT_KINDS, check_rule
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
    IprangeMatch,
    LengthMatch,
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
    TosMatch,
    UdpMatch,
    Way,
)
from netfw.ir.names import BUILTIN_CHAINS, ChainPolicy, Family, TableName
from netfw.ir.net import Net
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table
from netfw.ir.spelling import Wanted
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
    Trace,
)
from netfw.ir.target_field import HopLimit, Ttl

CHAINS = ("A", "B", "with-a-name.of+28-characters")
"""User chains that every random table has, and that rules jump to."""
SET_NAME = "office"
"""A set of kind hash:ip,port."""
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
WITH_PORTS = (TCP, UDP)
NAT_FLAGS = {
    Snat: ("--random", "--random-fully", "--persistent"),
    Dnat: ("--random", "--persistent"),
    Masquerade: ("--random", "--random-fully"),
    Redirect: ("--random",),
}
IPV4_ONLY_KINDS = ("BROADCAST", "BLACKHOLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE")
"""Kinds of addresses that the kernel refuses in IPv6 (addrtype_mt_checkentry_v1)."""

words = st.integers(0, MAX_MARK) | st.sampled_from([1 << bit for bit in range(32)])
marks = st.builds(MaskedWord, words, words | st.just(MAX_MARK))
booleans = st.booleans()


def texts(most: int, least: int = 0) -> st.SearchStrategy[str]:
    """Any text that a rule can hold: no control characters, up to so many bytes."""
    characters = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(" \"'\\-!;#")
    return st.text(characters, min_size=least).filter(lambda text: len(text.encode()) <= most)


def subsets(values: tuple[str, ...], least: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    """Some of the values, in their order."""
    return st.sets(st.sampled_from(values), min_size=least).map(
        lambda chosen: tuple(value for value in values if value in chosen)
    )


@st.composite
def port_ranges(draw: st.DrawFn) -> PortRange:
    first, last = sorted((draw(st.integers(0, 65535)), draw(st.integers(0, 65535))))
    return draw(st.sampled_from([PortRange(first, first), PortRange(first, last)]))


some_ports = st.none() | st.builds(
    Ports, port_ranges().filter(lambda ports: ports != ALL_PORTS), booleans
)


@st.composite
def nets(draw: st.DrawFn, family: Family) -> Net:
    """Networks by prefix length and by any other mask, but not all addresses."""
    full = (1 << family.bits) - 1
    prefixes = st.integers(1, family.bits).map(lambda length: full ^ (full >> length))
    mask = draw(prefixes | st.integers(1, full))
    address = draw(st.integers(0, full) | st.integers(0, 0xFFFF_FFFF_FFFF))
    return Net(family, address & mask, mask)


interface_names = st.builds(
    str.__add__, st.from_regex(r"[a-z][a-z0-9.@_-]{0,13}", fullmatch=True), st.sampled_from("+0")
)


@st.composite
def multiports(draw: st.DrawFn) -> MultiportMatch:
    ports = tuple(draw(st.lists(port_ranges(), min_size=1, max_size=7)))
    return MultiportMatch(draw(st.sampled_from(PortSide)), ports, draw(booleans))


@st.composite
def heads(draw: st.DrawFn, family: Family, protocol: int | None) -> list[Match]:
    """The rule's own conditions, in iptables' order."""
    found: list[Match] = []
    for side in Side:
        if draw(booleans):
            found.append(AddressMatch(side, draw(nets(family)), draw(booleans)))
    for way in Way:
        if draw(booleans):
            found.append(InterfaceMatch(way, draw(interface_names), draw(booleans)))
    if protocol is not None:
        found.append(ProtocolMatch(protocol))
    elif draw(booleans):
        found.append(ProtocolMatch(draw(st.integers(1, 255)), negate=True))
    if family is Family.IPV4 and protocol is None and draw(booleans):
        found.append(FragmentMatch(draw(booleans)))
    return found


@st.composite
def transports(draw: st.DrawFn, family: Family, protocol: int | None) -> list[Match]:
    """The match that goes with a protocol, or a multiport match, or none."""
    if protocol in WITH_PORTS and draw(booleans):
        return [draw(multiports())]
    if not draw(booleans):
        return []
    codes = st.just((0, 255)) | st.integers(0, 255).map(lambda code: (code, code))
    match protocol, family:
        case 6, _:
            flags = st.builds(TcpFlags, st.integers(1, 63), st.integers(0, 63), booleans)
            option = draw(st.none() | st.integers(1, 255))
            negate = option is not None and draw(booleans)
            parts = draw(some_ports), draw(some_ports), draw(st.none() | flags)
            return [TcpMatch(*parts, option, negate)]
        case 17, _:
            return [UdpMatch(draw(some_ports), draw(some_ports))]
        case 1, Family.IPV4:
            return [IcmpMatch("icmp", draw(st.integers(0, 254)), draw(codes), draw(booleans))]
        case 58, Family.IPV6:
            return [IcmpMatch("icmp6", draw(st.integers(0, 255)), draw(codes), draw(booleans))]
        case _:
            return []


@st.composite
def conntracks(draw: st.DrawFn) -> ConntrackMatch:
    states = draw(st.frozensets(st.sampled_from(ConnectionState)))
    some = st.frozensets(st.sampled_from(["EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"]))
    status = draw(some | st.just(frozenset({"NONE"})))
    direction = draw(st.sampled_from(["ORIGINAL", "REPLY", None if states or status else "REPLY"]))
    return ConntrackMatch(
        states,
        bool(states) and draw(booleans),
        direction,
        status,
        bool(status) and draw(booleans),
    )


@st.composite
def addrtypes(draw: st.DrawFn, family: Family) -> AddrtypeMatch:
    kinds = ["UNSPEC", "UNICAST", "LOCAL", "ANYCAST", "MULTICAST", "UNREACHABLE"]
    if family is Family.IPV4:
        kinds += IPV4_ONLY_KINDS
    source = draw(st.frozensets(st.sampled_from(kinds)))
    destination = draw(st.frozensets(st.sampled_from(kinds), min_size=0 if source else 1))
    return AddrtypeMatch(
        source,
        destination,
        bool(source) and draw(booleans),
        bool(destination) and draw(booleans),
        draw(st.sampled_from([None, "in", "out"])),
    )


limits = st.builds(
    lambda rate, unit, burst: LimitMatch(rate, unit, burst).as_kept,
    st.integers(1, 10_000),
    st.sampled_from(["sec", "min"]),
    st.integers(1, 30),
)
"""No slower than one a minute: iptables-legacy counts longer times only with small bursts."""


def others(family: Family) -> st.SearchStrategy[Match]:
    """Matches that go with any protocol."""
    states = st.frozensets(
        st.sampled_from([s for s in ConnectionState if s.value not in ("SNAT", "DNAT")]),
        min_size=1,
    )
    return st.one_of(
        conntracks(),
        addrtypes(family),
        limits,
        st.builds(StateMatch, states, booleans),
        st.builds(MarkMatch, marks, booleans),
        st.builds(ConnmarkMatch, marks, booleans),
        st.builds(CommentMatch, texts(255)),
        st.builds(SetMatch, st.just(SET_NAME), st.just(("src", "dst")), booleans),
        st.builds(LengthMatch, st.just(Range(1, 2)), booleans),
        st.builds(TosMatch, st.just(MaskedWord(0x10, 0x3F)), booleans),
        st.builds(
            IprangeMatch,
            st.builds(Wanted, st.just(Range(1 << 24, (1 << 31) + 5)), booleans),
        ),
    )


@st.composite
def nat_targets(draw: st.DrawFn, family: Family, protocol: int | None) -> Target:
    kind = draw(st.sampled_from([Snat, Dnat, Masquerade, Redirect]))
    flags = draw(subsets(NAT_FLAGS[kind]))
    ports = None
    if protocol in WITH_PORTS and draw(booleans):
        first, last = sorted((draw(st.integers(1, 65535)), draw(st.integers(1, 65535))))
        ports = first, last
    if kind in (Masquerade, Redirect):
        return kind(NatRange(None, ports, flags))
    full = (1 << family.bits) - 1
    pair = st.tuples(st.integers(0, full), st.integers(0, full)).map(sorted)
    addresses = draw(pair if ports is None else st.none() | pair)
    return kind(NatRange(tuple(addresses) if addresses else None, ports, flags))


def log_targets() -> st.SearchStrategy[Target]:
    flags = (
        "--log-tcp-sequence",
        "--log-tcp-options",
        "--log-ip-options",
        "--log-uid",
        "--log-macdecode",
    )
    some = st.none() | st.integers(0, 65535)
    return st.builds(Log, texts(29), st.integers(0, 7), subsets(flags)) | st.builds(
        Nflog, st.integers(0, 65535), texts(63), some, st.none() | st.integers(1, 65535)
    )


def targets(table: TableName, family: Family, protocol: int | None) -> st.SearchStrategy[Target]:
    """Targets that this table takes."""
    found: list[st.SearchStrategy[Target]] = [
        st.sampled_from([Accept(), Return(), NoTarget()]),
        st.builds(Jump, st.sampled_from(CHAINS[1:])),
        st.builds(Goto, st.sampled_from(CHAINS[1:])),
        log_targets(),
        st.builds(SetMark, marks),
        st.builds(SetConnmark, marks),
        st.builds(SaveMark, words, words),
        st.builds(RestoreMark, words, words),
    ]
    if table is TableName.FILTER:
        kinds = [kind for kind in REJECT_KINDS[family] if protocol == TCP or kind != "tcp-reset"]
        found.append(st.builds(Reject, st.sampled_from(kinds)))
    if table is not TableName.NAT:
        found.append(st.just(Drop()))
    else:
        found.append(nat_targets(family, protocol))
    if table is TableName.RAW:
        zone = ("--zone", "7")
        events = ("--ctevents", "new,destroy")
        found.append(
            st.sampled_from(
                [
                    Trace(),
                    Ct(notrack=True),
                    Ct(notrack=True, alias=True),
                    Ct(words=zone),
                    Ct(words=events + zone),
                    Ct(notrack=True, words=zone),
                ]
            )
        )
    if table is TableName.MANGLE:
        hops: type[Ttl | HopLimit] = Ttl if family is Family.IPV4 else HopLimit
        found.append(st.builds(hops, to=st.integers(0, 255)))
        found.append(st.builds(hops, increase=st.integers(1, 255)))
    return st.one_of(found)


@st.composite
def rules(draw: st.DrawFn, table: TableName, family: Family) -> Rule:
    """A rule that the kernel takes in a user chain of this table."""
    icmp = ICMP if family is Family.IPV4 else ICMPV6
    protocol = draw(st.sampled_from([None, TCP, UDP, icmp]) | st.integers(1, 255))
    further = draw(transports(family, protocol)) + draw(st.lists(others(family), max_size=3))
    matches = (*draw(heads(family, protocol)), *draw(st.permutations(further)))
    rule = Rule(matches, draw(targets(table, family, protocol)))
    marks = [type(m) for m in matches if isinstance(m, MarkMatch | ConnmarkMatch)]
    assume(marks in (sorted(marks, key=str), sorted(marks, key=str, reverse=True)))
    check_rule(rule, family)
    return rule


@st.composite
def rulesets(draw: st.DrawFn, family: Family, table: TableName, most: int = 5) -> Ruleset:
    """One table with its built-in chains and three user chains, the first with rules."""
    policies = st.just(ChainPolicy.ACCEPT)
    if table is not TableName.NAT:
        policies |= st.just(ChainPolicy.DROP)
    builtins = [Chain(hook.value, policy=draw(policies)) for hook in BUILTIN_CHAINS[table]]
    filled = Chain(CHAINS[0], tuple(draw(st.lists(rules(table, family), max_size=most))))
    chains = (*builtins, filled, *map(Chain, CHAINS[1:]))
    return Ruleset(family, (Table(table, chains),))
