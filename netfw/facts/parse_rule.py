"""The words of one rule as matches and a target."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

from netfw.facts.parse_match import parse_match
from netfw.facts.parse_target import parse_target
from netfw.ir.match import (
    AddressMatch,
    FragmentMatch,
    InterfaceMatch,
    Match,
    ProtocolMatch,
    Side,
    UnknownMatch,
    Way,
    header_rank,
)
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import protocol_number
from netfw.ir.target import Goto, Jump, NoTarget, Target
from netfw.ir.word import QuotedWord

_SIDES = {
    "-s": Side.SOURCE,
    "--source": Side.SOURCE,
    "--src": Side.SOURCE,
    "-d": Side.DESTINATION,
    "--destination": Side.DESTINATION,
    "--dst": Side.DESTINATION,
}
_WAYS = {
    "-i": Way.IN,
    "--in-interface": Way.IN,
    "-o": Way.OUT,
    "--out-interface": Way.OUT,
}
_PROTOCOL = frozenset({"-p", "--protocol"})
_FRAGMENT = frozenset({"-f", "--fragment", "--fragments"})
_MODULE = frozenset({"-m", "--match"})
_JUMP = frozenset({"-j", "--jump"})
_GOTO = frozenset({"-g", "--goto"})
_COUNTERS = frozenset({"-c", "--set-counters"})
_HEADER = frozenset(
    {*_SIDES, *_WAYS, *_PROTOCOL, *_FRAGMENT, *_MODULE, *_JUMP, *_GOTO, *_COUNTERS}
)
_MODULE_OF_PROTOCOL = {
    6: "tcp",
    17: "udp",
    136: "udplite",
    1: "icmp",
    58: "icmp6",
    132: "sctp",
    33: "dccp",
}
"""Which module iptables loads by itself for options behind ``-p``."""


class ParsedRule(NamedTuple):
    """What the words of a rule say; counters are 0 where not given."""

    matches: tuple[Match, ...]
    target: Target
    packets: int
    octets: int


def parse_rule(words: Sequence[str], family: Family, chains: Container[str]) -> ParsedRule:
    """Read a rule behind its ``-A CHAIN``; ``chains`` are the user chains of its table.

    Raises ValueError with a sentence for what cannot be a rule at all.
    """
    words = _taken_apart(words)
    heads: list[Match] = []
    matches: list[Match] = []
    target: Target = NoTarget()
    protocol: int | None = None
    packets = octets = 0
    position, end = 0, len(words)
    while position < end:
        word = words[position]
        negate = word == "!"
        if negate:
            position += 1
            if position == end:
                raise ValueError("'!' stands before nothing")
            word = words[position]
        if word not in _HEADER:
            # an option without -m: that of the module which -p brings along
            start = position - 1 if negate else position
            position = _group_end(words, position)
            module = None if protocol is None else _MODULE_OF_PROTOCOL.get(protocol)
            matches.append(_implicit(module, words[start:position]))
            continue
        position += 1
        if word in _FRAGMENT:
            heads.append(FragmentMatch(negate))
            continue
        if position < end and words[position] == "!" and word not in _MODULE:
            negate = True
            position += 1
        if position == end:
            raise ValueError(f"'{word}' lacks its value")
        value = words[position]
        position += 1
        if word in _SIDES:
            heads.append(_address(_SIDES[word], value, negate, family))
        elif word in _WAYS:
            heads.append(InterfaceMatch(_WAYS[word], value, negate))
        elif word in _PROTOCOL:
            number = protocol_number(value)
            if number is None:
                heads.append(UnknownMatch(None, ("!", "-p", value) if negate else ("-p", value)))
            else:
                protocol = number
                heads.append(ProtocolMatch(number, negate))
        elif word in _COUNTERS:
            first, comma, second = value.partition(",")
            if not comma:
                second = words[position] if position < end else ""
                position += 1
            packets, octets = int(first), int(second)
        elif word in _GOTO:
            target = Goto(value)
        else:
            start, position = position, _group_end(words, position)
            group = words[start:position]
            if word in _MODULE:
                matches.append(parse_match(value, group))
            elif value in chains and not group:
                target = Jump(value)
            else:
                target = parse_target(value, group, family)
    heads.sort(key=header_rank)
    return ParsedRule((*heads, *matches), target, packets, octets)


def _taken_apart(words: Sequence[str]) -> list[str]:
    """Options that are glued to their values (``-jDROP``, ``--jump=DROP``) as two words."""
    found: list[str] = []
    before = ""
    for word in words:
        if word.startswith("-") and before not in _TEXT_OPTIONS:
            if len(word) > 2 and word[:2] in _GLUED:
                found += (word[:2], word[2:])
                before = ""
                continue
            name, equals, value = word.partition("=")
            if equals and name in _HEADER:
                found += (name, value)
                before = ""
                continue
        found.append(word)
        before = word
    return found


_GLUED = frozenset({"-s", "-d", "-i", "-o", "-p", "-j", "-g", "-m"})


def _group_end(words: Sequence[str], position: int) -> int:
    """Where the words of a match or target end: at the next option that is not its own."""
    end = len(words)
    while position < end:
        word = words[position]
        if word in _HEADER and not isinstance(word, QuotedWord):
            # a value may look like an option, but then it was quoted
            return position
        if word == "!" and position + 1 < end and words[position + 1] in _HEADER:
            return position
        if word in _TEXT_OPTIONS:
            position += 1
        position += 1
    return end


_TEXT_OPTIONS = frozenset(
    {
        "--comment",
        "--log-prefix",
        "--nflog-prefix",
        "--ulog-prefix",
        "--string",
        "--hex-string",
        "--helper",
    }
)
"""Options whose value is free text, which may look like any option."""


def _implicit(module: str | None, words: Sequence[str]) -> Match:
    if module is None:
        return UnknownMatch(None, tuple(words))
    return parse_match(module, words)


def _address(side: Side, text: str, negate: bool, family: Family) -> Match:
    try:
        net = Net.parse(text)
    except ValueError:
        option = "-s" if side is Side.SOURCE else "-d"
        return UnknownMatch(None, ("!", option, text) if negate else (option, text))
    if net.family is not family:
        raise ValueError(f"'{text}' is no {family} address")
    return AddressMatch(side, net, negate)
