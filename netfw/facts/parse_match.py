"""The words behind ``-m MODULE`` as a typed match."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from netfw.facts.options import (
    NotUnderstoodError,
    Option,
    masked_word,
    port_range,
    take_options,
)
from netfw.ir.match import (
    AddrtypeMatch,
    CommentMatch,
    ConnectionState,
    ConnmarkMatch,
    ConntrackMatch,
    IcmpMatch,
    LimitMatch,
    MarkMatch,
    Match,
    MultiportMatch,
    Ports,
    PortSide,
    SetMatch,
    StateMatch,
    TcpFlags,
    TcpMatch,
    UdpMatch,
    UnknownMatch,
)

T = TypeVar("T")
_SOURCE = frozenset({"--sport", "--source-port"})
_PORT_OPTIONS = {"--sport": 1, "--source-port": 1, "--dport": 1, "--destination-port": 1}
_FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0}
_SYN_MASK, _SYN = 1 | 2 | 4 | 16, 2
_ICMP_TYPES: dict[str, dict[str, tuple[int, int | None]]] = {
    "icmp": {
        "any": (255, None),
        "echo-reply": (0, None),
        "destination-unreachable": (3, None),
        "network-unreachable": (3, 0),
        "host-unreachable": (3, 1),
        "port-unreachable": (3, 3),
        "fragmentation-needed": (3, 4),
        "source-quench": (4, None),
        "redirect": (5, None),
        "echo-request": (8, None),
        "router-advertisement": (9, None),
        "router-solicitation": (10, None),
        "time-exceeded": (11, None),
        "parameter-problem": (12, None),
        "timestamp-request": (13, None),
        "timestamp-reply": (14, None),
    },
    "icmp6": {
        "destination-unreachable": (1, None),
        "packet-too-big": (2, None),
        "time-exceeded": (3, None),
        "parameter-problem": (4, None),
        "echo-request": (128, None),
        "echo-reply": (129, None),
        "router-solicitation": (133, None),
        "router-advertisement": (134, None),
        "neighbour-solicitation": (135, None),
        "neighbor-solicitation": (135, None),
        "neighbour-advertisement": (136, None),
        "neighbor-advertisement": (136, None),
        "redirect": (137, None),
    },
}
_UNITS = ("sec", "min", "hour", "day")
_UNIT_WORDS = ("second", "minute", "hour", "day")
_STATUSES = frozenset({"NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"})


def parse_match(module: str, words: Sequence[str]) -> Match:
    """A match; UnknownMatch with the words verbatim where the types cannot hold what they say."""
    reader = _READERS.get(module)
    if reader is not None:
        try:
            return reader(module, words)
        except ValueError:
            pass
    return UnknownMatch(module, tuple(words))


def _ports_of(options: list[Option]) -> tuple[Ports | None, Ports | None]:
    source = destination = None
    for option in options:
        if option.name not in _PORT_OPTIONS:
            continue
        ports = Ports(port_range(option.values[0]), option.negate)
        if option.name in _SOURCE:
            source = _once(source, ports)
        else:
            destination = _once(destination, ports)
    return source, destination


def _once(before: T | None, now: T) -> T:
    if before is not None:
        raise NotUnderstoodError("the same option twice")
    return now


def _tcp(_module: str, words: Sequence[str]) -> Match:
    arity = {**_PORT_OPTIONS, "--tcp-flags": 2, "--syn": 0, "--tcp-option": 1}
    options = take_options(words, arity)
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
            kind, kind_negate = _once(kind, int(option.values[0])), option.negate
    return TcpMatch(source, destination, flags, kind, kind_negate)


def _flag_bits(text: str) -> int:
    bits = 0
    for name in text.split(","):
        if name not in _FLAGS:
            raise NotUnderstoodError(name)
        bits |= _FLAGS[name]
    return bits


def _udp(module: str, words: Sequence[str]) -> Match:
    source, destination = _ports_of(take_options(words, _PORT_OPTIONS))
    return UdpMatch(source, destination, module)


def _icmp(module: str, words: Sequence[str]) -> Match:
    name = "--icmp-type" if module == "icmp" else "--icmpv6-type"
    option = _only(take_options(words, {name: 1}))
    kind_text, slash, code_text = option.values[0].partition("/")
    if kind_text in _ICMP_TYPES[module]:
        kind, code = _ICMP_TYPES[module][kind_text]
        codes = (0, 255) if code is None else (code, code)
        if slash:
            raise NotUnderstoodError(option.values[0])
        return IcmpMatch(module, kind, codes, option.negate)
    kind = int(kind_text)
    codes = (0, 255)
    if slash:
        low, dash, high = code_text.replace(":", "-").partition("-")
        codes = (int(low), int(high if dash else low))
        if codes[0] > codes[1]:
            raise NotUnderstoodError(code_text)
    return IcmpMatch(module, kind, codes, option.negate)


def _only(options: list[Option]) -> Option:
    if len(options) != 1:
        raise NotUnderstoodError("one option expected")
    return options[0]


def _multiport(_module: str, words: Sequence[str]) -> Match:
    sides = {
        "--sports": PortSide.SOURCE,
        "--source-ports": PortSide.SOURCE,
        "--dports": PortSide.DESTINATION,
        "--destination-ports": PortSide.DESTINATION,
        "--ports": PortSide.EITHER,
    }
    option = _only(take_options(words, dict.fromkeys(sides, 1)))
    ports = tuple(map(port_range, option.values[0].split(",")))
    return MultiportMatch(sides[option.name], ports, option.negate)


def _states(text: str) -> frozenset[ConnectionState]:
    return frozenset(ConnectionState(name.upper()) for name in text.split(","))


def _conntrack(_module: str, words: Sequence[str]) -> Match:
    states: frozenset[ConnectionState] = frozenset()
    status: frozenset[str] = frozenset()
    direction: str | None = None
    negate = status_negate = False
    for option in take_options(words, {"--ctstate": 1, "--ctstatus": 1, "--ctdir": 1}):
        value = option.values[0].upper()
        if option.name == "--ctstate":
            states, negate = _states(value), option.negate
        elif option.name == "--ctstatus":
            status, status_negate = frozenset(value.split(",")), option.negate
            if not status <= _STATUSES:
                raise NotUnderstoodError(value)
        elif option.negate or value not in ("ORIGINAL", "REPLY"):
            raise NotUnderstoodError(value)
        else:
            direction = value
    return ConntrackMatch(states, negate, direction, status, status_negate)


def _state(_module: str, words: Sequence[str]) -> Match:
    option = _only(take_options(words, {"--state": 1}))
    return StateMatch(_states(option.values[0]), option.negate)


def _mark(module: str, words: Sequence[str]) -> Match:
    option = _only(take_options(words, {"--mark": 1}))
    kind = MarkMatch if module == "mark" else ConnmarkMatch
    return kind(masked_word(option.values[0]), option.negate)


def _set(_module: str, words: Sequence[str]) -> Match:
    words = list(words)
    negate = words[:1] == ["!"]
    if negate:
        words = words[1:]
    if len(words) < 3 or words[0] != "--match-set":
        raise NotUnderstoodError("--match-set expected")
    return SetMatch(words[1], tuple(words[2].split(",")), negate, tuple(words[3:]))


def _addrtype(_module: str, words: Sequence[str]) -> Match:
    source: frozenset[str] = frozenset()
    destination: frozenset[str] = frozenset()
    negates = {"--src-type": False, "--dst-type": False}
    limit: str | None = None
    arity = {"--src-type": 1, "--dst-type": 1, "--limit-iface-in": 0, "--limit-iface-out": 0}
    for option in take_options(words, arity):
        if option.name.startswith("--limit-iface-"):
            limit = option.name.rpartition("-")[2]
            continue
        kinds = frozenset(option.values[0].upper().split(","))
        negates[option.name] = option.negate
        if option.name == "--src-type":
            source = kinds
        else:
            destination = kinds
    return AddrtypeMatch(source, destination, negates["--src-type"], negates["--dst-type"], limit)


def _comment(_module: str, words: Sequence[str]) -> Match:
    option = _only(take_options(words, {"--comment": 1}))
    if option.negate:
        raise NotUnderstoodError("! --comment")
    return CommentMatch(option.values[0])


def _limit(_module: str, words: Sequence[str]) -> Match:
    rate, unit, burst = 3, "hour", 5
    for option in take_options(words, {"--limit": 1, "--limit-burst": 1}):
        if option.negate:
            raise NotUnderstoodError("! --limit")
        if option.name == "--limit-burst":
            burst = int(option.values[0])
            continue
        rate_text, _, word = option.values[0].partition("/")
        rate = int(rate_text)
        unit = next(
            (
                short
                for short, long in zip(_UNITS, _UNIT_WORDS, strict=True)
                if word and (long.startswith(word.lower()) or short == word.lower())
            ),
            "sec" if not word else "",
        )
        if not unit or rate <= 0:
            raise NotUnderstoodError(option.values[0])
    return LimitMatch(rate, unit, burst)


_READERS: dict[str, Callable[[str, Sequence[str]], Match]] = {
    "tcp": _tcp,
    "udp": _udp,
    "udplite": _udp,
    "icmp": _icmp,
    "icmp6": _icmp,
    "multiport": _multiport,
    "conntrack": _conntrack,
    "state": _state,
    "mark": _mark,
    "connmark": _mark,
    "set": _set,
    "addrtype": _addrtype,
    "comment": _comment,
    "limit": _limit,
}
