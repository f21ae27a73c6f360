"""The words of one rule as matches and a target."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from functools import lru_cache
from typing import NamedTuple

from netfw.facts.options import number
from netfw.facts.parse_match import MATCH_OPTIONS, parse_match
from netfw.facts.parse_target import TARGET_OPTIONS, parse_target
from netfw.facts.rule_words import ALONE, HEADS, group_end, module_of, regroup, take_apart
from netfw.facts.target_names import may_be_target
from netfw.ir.limits import check_match
from netfw.ir.match import (
    AddressMatch,
    FragmentMatch,
    InterfaceMatch,
    Match,
    ProtocolMatch,
    Side,
    UnknownMatch,
    Way,
)
from netfw.ir.names import Family, Hook
from netfw.ir.net import Net
from netfw.ir.protocols import protocol_number
from netfw.ir.target import Goto, Jump, NoTarget, Target, UnknownTarget

_IPV4_NET = re.compile(
    r"(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})(?:/(\d{1,2}))?"
)

BUILTIN_NAMES = frozenset(hook.value for hook in Hook)


class ParsedRule(NamedTuple):
    """What the words of a rule say; counters are 0 where not given."""

    matches: tuple[Match, ...]
    target: Target
    packets: int = 0
    octets: int = 0


def parse_rule(
    words: Sequence[str], family: Family, chains: Container[str]
) -> tuple[ParsedRule, ...]:
    """Read a rule behind its ``-A CHAIN``; ``chains`` are the chains of its table.

    It is several rules where ``-s`` or ``-d`` lists several addresses, and none where ``-4`` or
    ``-6`` says that it is for the other family.
    Conditions that hold for every packet (``-s 0/0``, ``-p all``, ``-i +``) are left out, as
    iptables does. Raises ValueError with a sentence for what cannot be a rule at all.
    """
    words = take_apart(words)
    reader = _Reader(words, family, chains)
    if reader.has_strays:
        reader = _Reader(regroup(words, chains), family, chains)
    return reader.rules()


class _Reader:
    """One rule while it is read; afterwards what it says."""

    def __init__(self, words: Sequence[str], family: Family, chains: Container[str]) -> None:
        self.words = words
        self.family = family
        self.chains = chains
        self.heads: dict[str, tuple[Match | None, ...]] = {}
        self.matches: list[Match] = []
        self.target: Target | None = None
        self.protocol: str | None = None
        self.packets = self.octets = 0
        self.has_strays = False
        position, end = 0, len(words)
        while position < end:
            position = self._read(position, end)

    def _read(self, position: int, end: int) -> int:
        """Read what stands at a position; returns the position behind it."""
        words = self.words
        word = words[position]
        negate = word == "!"
        if negate:
            if position + 1 == end:
                raise ValueError("'!' stands before nothing")
            word = words[position + 1]
        head = HEADS.get(word)
        if head is None:
            return self._implicit(position, word)
        position += 2 if negate else 1
        if head in ALONE:
            self._set_head(head, (_fragment(negate, self.family) if head == "-f" else None,))
            return position
        if position < end and words[position] == "!" and head != "-m":
            negate = True
            position += 1
        if position == end or words[position] in HEADS:
            raise ValueError(f"'{word}' lacks its value")
        value = words[position]
        position += 1
        if head == "-m":
            stop = group_end(words, position)
            self._add(parse_match(value, words[position:stop], self.family))
            return stop
        if head == "-j":
            stop = group_end(words, position)
            self._jump(value, words[position:stop])
            return stop
        if head == "-g":
            self._check_chain(value)
            self._set_target(Goto(value))
        elif head == "-c":
            return self._counters(value, position)
        elif head in ("-i", "-o"):
            self._set_head(head, (_interface(head, value, negate),))
        elif head == "-p":
            self.protocol = value
            self._set_head(head, (_protocol(value, negate),))
        else:
            self._set_head(head, _addresses(head, value, negate, self.family))
        return position

    def _implicit(self, position: int, word: str) -> int:
        """An option without -m: that of the module which -p brings along."""
        if word[:1] != "-":
            raise ValueError(f"'{word}' is no option")
        stop = group_end(self.words, position + (self.words[position] == "!"))
        words = self.words[position:stop]
        module = module_of(self.protocol)
        if module is None:
            self.matches.append(UnknownMatch(None, tuple(words)))
        else:
            # a second match of the module would be another one: the options belong to the first
            self.has_strays |= any(_module_of_match(match) == module for match in self.matches)
            self._add(parse_match(module, words, self.family))
        return stop

    def _add(self, match: Match) -> None:
        if isinstance(match, UnknownMatch) and match.module in MATCH_OPTIONS:
            self.has_strays = True
        self.matches.append(match)

    def _set_head(self, head: str, found: tuple[Match | None, ...]) -> None:
        if head in self.heads:
            raise ValueError(f"'{head}' is given twice")
        self.heads[head] = found

    def _jump(self, name: str, words: Sequence[str]) -> None:
        if name in self.chains and not words:
            self._check_chain(name)
            self._set_target(Jump(name))
            return
        target = parse_target(name, words, self.family)
        if isinstance(target, UnknownTarget) and not may_be_target(name, has_options=bool(words)):
            self._check_chain(name)
        if words and isinstance(target, UnknownTarget):
            self.has_strays |= name in TARGET_OPTIONS or name in self.chains
        self._set_target(target)

    def _check_chain(self, name: str) -> None:
        if name not in self.chains:
            raise ValueError(f"there is no chain '{name}' in this table")
        if name in BUILTIN_NAMES:
            raise ValueError(f"no rule can go to '{name}', which a hook calls")

    def _set_target(self, target: Target) -> None:
        if self.target is not None:
            raise ValueError("the rule has two targets")
        self.target = target

    def _counters(self, value: str, position: int) -> int:
        first, comma, second = value.partition(",")
        if not comma:
            second = self.words[position] if position < len(self.words) else ""
            position += 1
        self.packets, self.octets = number(first), number(second)
        return position

    def rules(self) -> tuple[ParsedRule, ...]:
        """The rule for each pair of a source and a destination."""
        heads = self.heads
        if ("-6" if self.family is Family.IPV4 else "-4") in heads:
            return ()
        others = [match for head in ("-i", "-o", "-p", "-f") for match in heads.get(head, ())]
        target = NoTarget() if self.target is None else self.target
        return tuple(
            ParsedRule(
                (*_in_order(source, destination, *others), *self.matches),
                target,
                self.packets,
                self.octets,
            )
            for source in heads.get("-s", _NONE)
            for destination in heads.get("-d", _NONE)
        )


_NONE = (None,)


def _in_order(*heads: Match | None) -> list[Match]:
    """The rule's own conditions as ``header_rank`` has them: what is not known comes last."""
    found = [match for match in heads if match is not None]
    if any(type(match) is UnknownMatch for match in found):
        found.sort(key=lambda match: isinstance(match, UnknownMatch))
    return found


def _module_of_match(match: Match) -> str | None:
    name = type(match).__name__.removesuffix("Match").lower()
    return getattr(match, "module", name)


def _fragment(negate: bool, family: Family) -> Match:
    match = FragmentMatch(negate)
    check_match(match, family)
    return match


@lru_cache(maxsize=1 << 12)
def _interface(head: str, name: str, negate: bool) -> Match | None:
    if name == "+" and not negate:
        return None
    match = InterfaceMatch(Way.IN if head == "-i" else Way.OUT, str(name), negate)
    check_match(match, Family.IPV4)
    return match


@lru_cache(maxsize=1 << 10)
def _protocol(text: str, negate: bool) -> Match | None:
    protocol = protocol_number(text)
    if protocol is None:
        return UnknownMatch(None, ("!", "-p", str(text)) if negate else ("-p", str(text)))
    if protocol == 0 and not negate:
        return None
    match = ProtocolMatch(protocol, negate)
    check_match(match, Family.IPV4)
    return match


def _addresses(head: str, text: str, negate: bool, family: Family) -> tuple[Match | None, ...]:
    if "," not in text:
        return (_address(head, text, negate, family),)
    if negate:
        raise ValueError("'!' stands before several addresses")
    return tuple(_address(head, one, negate, family) for one in text.split(","))


def _address(head: str, text: str, negate: bool, family: Family) -> Match | None:
    net = _net(text, family is Family.IPV6)
    if net is None:
        return UnknownMatch(None, ("!", head, text) if negate else (head, text))
    if net.family is not family:
        raise ValueError(f"'{text}' is no {family} address")
    if net.mask == 0 and not negate:
        return None
    return AddressMatch(Side.SOURCE if head == "-s" else Side.DESTINATION, net, negate)


@lru_cache(maxsize=1 << 16)
def _net(text: str, is_ipv6: bool) -> Net | None:
    """A network; None for what may be the name of a host."""
    found = _IPV4_NET.fullmatch(text)
    if found is not None:
        a, b, c, d, length_text = found.groups()
        octets = int(a), int(b), int(c), int(d)
        length = 32 if length_text is None else int(length_text)
        if max(octets) <= 255 and length <= 32:
            mask = 0xFFFFFFFF ^ (0xFFFFFFFF >> length)
            return Net(Family.IPV4, int.from_bytes(octets, "big") & mask, mask)
    if ":" not in text and text.endswith(("/0", "/0.0.0.0")):
        # iptables ignores what stands before an empty mask: 0/0, any/0
        return Net.everything(Family.IPV6 if is_ipv6 else Family.IPV4)
    try:
        return Net.parse(text)
    except ValueError:
        return None
