"""The words behind ``-m MODULE`` as a typed match."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar, cast, get_args

from netfw.facts.icmp_types import ICMP_TYPES
from netfw.facts.options import (
    Arity,
    NotUnderstoodError,
    Option,
    masked_word,
    number,
    port_range,
    take_options,
)
from netfw.facts.spelled import arity_of, read_options, read_spelled
from netfw.ir.limits import ALL_PORTS, check_match
from netfw.ir.match import (
    TCP_FLAG_BITS,
    AddrtypeMatch,
    ClusterMatch,
    CommentMatch,
    ConnectionState,
    ConnlimitMatch,
    ConnmarkMatch,
    HashlimitMatch,
    IcmpMatch,
    LimitMatch,
    MarkMatch,
    Match,
    MultiportMatch,
    PolicyElement,
    PolicyMatch,
    Ports,
    PortSide,
    RecentMatch,
    SetMatch,
    StateMatch,
    TcpFlags,
    TcpMatch,
    UdpMatch,
    UnknownMatch,
)
from netfw.ir.names import Family
from netfw.ir.spelling import SpelledMatch
from netfw.ir.word import QuotedWord

T = TypeVar("T")
_ALIASES = {"icmpv6": "icmp6", "ipv6-icmp": "icmp6"}
"""Other names of modules (xtables_find_match in libxtables/xtables.c)."""
_SOURCE = frozenset({"--sport", "--source-port"})
_PORTS = {"--sport": 1, "--source-port": 1, "--dport": 1, "--destination-port": 1}
_FLAGS = TCP_FLAG_BITS | {"all": sum(TCP_FLAG_BITS.values()), "none": 0}
_SYN_MASK, _SYN = 1 | 2 | 4 | 16, 2
_MULTIPORT_SIDES = {
    "--sports": PortSide.SOURCE,
    "--source-ports": PortSide.SOURCE,
    "--dports": PortSide.DESTINATION,
    "--destination-ports": PortSide.DESTINATION,
    "--ports": PortSide.EITHER,
}
_UNIT_WORDS = {"sec": "second", "min": "minute", "hour": "hour", "day": "day"}
_ADDRESS_KINDS = frozenset(
    {"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST"}
    | {"BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE"}
)


def parse_match(module: str, words: Sequence[str], family: Family) -> Match:
    """A match; UnknownMatch with the words verbatim where the types cannot hold what they say."""
    if module == "comment" and len(words) == 2 and words[0] == "--comment":
        return _typed(CommentMatch(str(words[1])), module, words, family)
    for word in words:
        if type(word) is QuotedWord:
            # it equals the same word without quotes: a cache would take one for the other
            return _read(module, tuple(words), family)
    return _cached(module, tuple(words), family is Family.IPV6)


def _read(module: str, words: tuple[str, ...], family: Family) -> Match:
    name = _ALIASES.get(module, module)
    try:
        match = _read_known(name, words, family)
    except ValueError:
        match = None
    return UnknownMatch(module, words) if match is None else _typed(match, module, words, family)


def _read_known(name: str, words: tuple[str, ...], family: Family) -> Match | None:
    reader = _READERS.get(name)
    if reader is not None:
        return reader(name, take_options(words, MATCH_OPTIONS[name]))
    if name == ClusterMatch.MODULE:
        words = _with_node_mask(words)
    if name == PolicyMatch.MODULE:
        return _policy(words, family)
    kind = SPELLED_MATCHES.get(name)
    if kind is None:
        return None
    # a member of Match, as SPELLED_MATCHES is made of those
    found = cast(Match, read_spelled(kind, words, family, _assumed(kind, family)))
    if isinstance(found, HashlimitMatch) and found.burst is None:
        rate = found.upto or found.above
        # packets have a burst in any case, bytes only where one is given
        return found if rate is None or rate.unit == "bytes" else replace(found, burst=5)
    return found


@lru_cache(maxsize=1 << 16)
def _cached(module: str, words: tuple[str, ...], is_ipv6: bool) -> Match:
    # an enumeration's member is slow to hash
    return _read(module, words, Family.IPV6 if is_ipv6 else Family.IPV4)


def _typed(match: Match, module: str, words: Sequence[str], family: Family) -> Match:
    try:
        check_match(match, family)
    except ValueError:
        return UnknownMatch(module, tuple(words))
    return match


def _once(before: T | None, now: T) -> T:
    if before is not None:
        raise NotUnderstoodError("the same option twice")
    return now


def _only(options: list[Option]) -> Option:
    if len(options) != 1:
        raise NotUnderstoodError("one option expected")
    return options[0]


def _no_negate(option: Option) -> Option:
    if option.negate:
        raise NotUnderstoodError(f"! {option.name}")
    return option


def _ports_of(options: list[Option]) -> tuple[Ports | None, Ports | None]:
    source = destination = None
    for option in options:
        if option.name not in _PORTS:
            continue
        ports = Ports(port_range(option.values[0]), option.negate)
        if option.name in _SOURCE:
            source = _once(source, ports)
        else:
            destination = _once(destination, ports)
    return _kept(source), _kept(destination)


def _kept(ports: Ports | None) -> Ports | None:
    return None if ports is not None and ports == Ports(ALL_PORTS) else ports


def _tcp(_module: str, options: list[Option]) -> Match:
    source, destination = _ports_of(options)
    flags: TcpFlags | None = None
    kind: int | None = None
    kind_negate = False
    for option in options:
        if option.name == "--tcp-flags":
            mask, value = map(_flag_bits, option.values)
            flags = _once(flags, TcpFlags(mask, value, option.negate))
        elif option.name == "--syn":
            flags = _once(flags, TcpFlags(_SYN_MASK, _SYN, option.negate))
        elif option.name == "--tcp-option":
            kind, kind_negate = _once(kind, number(option.values[0])), option.negate
    if flags == TcpFlags(0, 0):
        # true of every packet: iptables keeps no such condition
        flags = None
    return TcpMatch(source, destination, flags, kind, kind_negate)


def _flag_bits(text: str) -> int:
    bits = 0
    for name in text.lower().split(","):
        if name not in _FLAGS:
            raise NotUnderstoodError(name)
        bits |= _FLAGS[name]
    return bits


def _udp(module: str, options: list[Option]) -> Match:
    source, destination = _ports_of(options)
    return UdpMatch(source, destination, module)


def _icmp(module: str, options: list[Option]) -> Match:
    option = _only(options)
    text = option.values[0]
    named = ICMP_TYPES[module].get(text.lower())
    if named is not None:
        kind, code = named
        return IcmpMatch(module, kind, (0, 255) if code is None else (code, code), option.negate)
    kind_text, slash, code_text = text.partition("/")
    codes = (0, 255)
    if slash:
        low, colon, high = code_text.partition(":")
        codes = number(low), number(high if colon else low)
    return IcmpMatch(module, number(kind_text), codes, option.negate)


def _multiport(_module: str, options: list[Option]) -> Match:
    option = _only(options)
    ports = tuple(map(port_range, option.values[0].split(",")))
    return MultiportMatch(_MULTIPORT_SIDES[option.name], ports, option.negate)


def _states(text: str) -> frozenset[ConnectionState]:
    return frozenset(ConnectionState(name) for name in text.upper().split(","))


def _state(_module: str, options: list[Option]) -> Match:
    option = _only(options)
    return StateMatch(_states(option.values[0]), option.negate)


def _mark(module: str, options: list[Option]) -> Match:
    option = _only(options)
    kind = MarkMatch if module == "mark" else ConnmarkMatch
    return kind(masked_word(option.values[0]), option.negate)


def _set(_module: str, options: list[Option]) -> Match:
    if not options or options[0].name != "--match-set":
        raise NotUnderstoodError("--match-set expected")
    first, *others = options
    name, sides = first.values
    further = tuple(word for option in others for word in option.words)
    return SetMatch(name, tuple(sides.split(",")), first.negate, further)


def _addrtype(_module: str, options: list[Option]) -> Match:
    kinds: dict[str, frozenset[str]] = {}
    negated: set[str] = set()
    limit: str | None = None
    for option in options:
        if option.name.startswith("--limit-iface-"):
            limit = _once(limit, _no_negate(option).name.rpartition("-")[2])
            continue
        named = frozenset(option.values[0].upper().split(","))
        if option.name in kinds or not named <= _ADDRESS_KINDS:
            raise NotUnderstoodError(option.values[0])
        kinds[option.name] = named
        if option.negate:
            negated.add(option.name)
    return AddrtypeMatch(
        kinds.get("--src-type", frozenset()),
        kinds.get("--dst-type", frozenset()),
        "--src-type" in negated,
        "--dst-type" in negated,
        limit,
    )


def _comment(_module: str, options: list[Option]) -> Match:
    return CommentMatch(str(_no_negate(_only(options)).values[0]))


def _limit(_module: str, options: list[Option]) -> Match:
    rate, unit, burst = 3, "hour", 5
    for option in options:
        value = _no_negate(option).values[0]
        if option.name == "--limit-burst":
            burst = number(value)
        else:
            rate_text, slash, word = value.partition("/")
            rate, unit = number(rate_text), _unit(word) if slash else "sec"
    limit = LimitMatch(rate, unit, burst)
    return limit.as_kept if 0 < rate <= 10_000 * LimitMatch.SECONDS[unit] else limit


def _unit(text: str) -> str:
    """The unit that a word begins: ``5/m`` is 5/min (parse_rate in libxt_limit.c)."""
    for unit, word in _UNIT_WORDS.items():
        if text and (word.startswith(text.lower()) or unit == text.lower()):
            return unit
    raise NotUnderstoodError(text)


def _with_node_mask(words: tuple[str, ...]) -> tuple[str, ...]:
    """``--cluster-local-node N``, counted from 1, as the mask of that node alone."""
    found: list[str] = []
    for option in take_options(words, MATCH_OPTIONS["cluster"]):
        if option.name == _LOCAL_NODE:
            node = number(option.values[0])
            if not 1 <= node <= 32:
                raise NotUnderstoodError(option.values[0])
            mask = f"{1 << node - 1:#x}"
            option = Option("--cluster-local-nodemask", option.negate, (mask,))
        found += option.words
    return tuple(found)


def _policy(words: tuple[str, ...], family: Family) -> Match:
    """The options of the match first, then those of each element; ``--next`` begins another."""
    own = arity_of(PolicyMatch)
    given = take_options(words, MATCH_OPTIONS["policy"])
    elements: list[list[Option]] = [[]]
    for option in given:
        if option.name == "--next":
            elements.append([])
        elif option.name not in own:
            elements[-1].append(option)
    match = read_options(PolicyMatch, [o for o in given if o.name in own], family)
    if elements == [[]]:
        return match
    read = (read_options(PolicyElement, element, family) for element in elements)
    return replace(match, elements=tuple(read))


def _assumed(kind: type[SpelledMatch], family: Family) -> dict[str, object]:
    """What iptables fills in where a rule does not say it: a mask of the whole address."""
    if kind is RecentMatch:
        return {"mask": (1 << family.bits) - 1}
    if kind is ConnlimitMatch:
        return {"length": family.bits}
    return {}


_LOCAL_NODE = "--cluster-local-node"
_READERS: dict[str, Callable[[str, list[Option]], Match]] = {
    "tcp": _tcp,
    "udp": _udp,
    "udplite": _udp,
    "icmp": _icmp,
    "icmp6": _icmp,
    "multiport": _multiport,
    "state": _state,
    "mark": _mark,
    "connmark": _mark,
    "set": _set,
    "addrtype": _addrtype,
    "comment": _comment,
    "limit": _limit,
}
_SET_COUNTERS = tuple(
    f"--{what}-{how}" for what in ("packets", "bytes") for how in ("eq", "lt", "gt")
)
SPELLED_MATCHES: Mapping[str, type[SpelledMatch]] = {
    kind.MODULE: kind for kind in get_args(Match) if issubclass(kind, SpelledMatch)
}
"""The matches that are lists of options, by their module."""
MATCH_OPTIONS: Mapping[str, Arity] = {
    **{module: arity_of(kind) for module, kind in SPELLED_MATCHES.items()},
    "cluster": {**arity_of(ClusterMatch), _LOCAL_NODE: 1},
    "policy": {**arity_of(PolicyMatch), **arity_of(PolicyElement), "--next": 0},
    "tcp": {**_PORTS, "--tcp-flags": 2, "--syn": 0, "--tcp-option": 1},
    "udp": _PORTS,
    "udplite": _PORTS,
    "icmp": {"--icmp-type": 1},
    "icmp6": {"--icmpv6-type": 1},
    "multiport": dict.fromkeys(_MULTIPORT_SIDES, 1),
    "state": {"--state": 1},
    "mark": {"--mark": 1},
    "connmark": {"--mark": 1},
    "set": {
        "--match-set": 2,
        **dict.fromkeys(("--return-nomatch", "--update-counters", "--update-subcounters"), 0),
        **dict.fromkeys(_SET_COUNTERS, 1),
    },
    "addrtype": {"--src-type": 1, "--dst-type": 1, "--limit-iface-in": 0, "--limit-iface-out": 0},
    "comment": {"--comment": 1},
    "limit": {"--limit": 1, "--limit-burst": 1},
}
"""The options of each module that netfw understands."""
