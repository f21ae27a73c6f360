"""The words of a rule in order: which are options of the rule itself, and whose the others are."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from netfw.facts.options import Arity, NotUnderstoodError, take_option
from netfw.facts.parse_match import MATCH_OPTIONS
from netfw.facts.parse_target import TARGET_OPTIONS
from netfw.ir.protocols import protocol_number
from netfw.ir.word import QuotedWord

HEADS: Mapping[str, str] = {
    **{short: short for short in ("-s", "-d", "-i", "-o", "-p", "-f", "-m", "-j", "-g", "-c")},
    "--source": "-s",
    "--src": "-s",
    "--destination": "-d",
    "--dst": "-d",
    "--in-interface": "-i",
    "--out-interface": "-o",
    "--protocol": "-p",
    "--fragment": "-f",
    "--fragments": "-f",
    "--match": "-m",
    "--jump": "-j",
    "--goto": "-g",
    "--set-counters": "-c",
    "-4": "-4",
    "--ipv4": "-4",
    "-6": "-6",
    "--ipv6": "-6",
}
"""The options that a rule has by itself, without any module, and the short form of each
(original_opts in iptables/iptables.c)."""
ALONE = frozenset({"-f", "-4", "-6"})
"""Short forms of the options without a value."""
_GLUED = frozenset({"-s", "-d", "-i", "-o", "-p", "-j", "-g", "-m"})
TEXT_OPTIONS = frozenset(
    {
        "--comment",
        "--log-prefix",
        "--nflog-prefix",
        "--ulog-prefix",
        "--string",
        "--hex-string",
        "--helper",
        "--name",
        "--hashlimit-name",
    }
)
"""Options whose value is free text, which may look like any option."""
_MODULE_OF_PROTOCOL = {
    1: "icmp",
    6: "tcp",
    17: "udp",
    33: "dccp",
    50: "esp",
    51: "ah",
    58: "icmp6",
    132: "sctp",
    135: "mh",
    136: "udplite",
}


def module_of(protocol: str | None) -> str | None:
    """Which module iptables loads by itself for options behind ``-p``, or None."""
    number = None if protocol is None else protocol_number(protocol)
    return None if number is None else _MODULE_OF_PROTOCOL.get(number)


def take_apart(words: Sequence[str]) -> Sequence[str]:
    """Options that are glued to their values (``-jDROP``, ``--jump=DROP``) as two words."""
    for word in words:
        if word[:1] == "-" and (word[1:2] != "-" or "=" in word) and word not in HEADS:
            break
    else:
        return words
    found: list[str] = []
    before = ""
    for word in words:
        if word.startswith("-") and type(word) is str and before not in TEXT_OPTIONS:
            if len(word) > 2 and word[:2] in _GLUED:
                found += (word[:2], word[2:])
                before = ""
                continue
            name, equals, value = word.partition("=")
            if equals and name in HEADS:
                found += (name, value)
                before = ""
                continue
        found.append(word)
        before = word
    return found


def group_end(words: Sequence[str], position: int) -> int:
    """Where the words of a match or target end: at the next option of the rule itself."""
    end = len(words)
    while position < end:
        word = words[position]
        if word in HEADS and type(word) is not QuotedWord:
            # a value may look like an option, but then it was quoted
            return position
        if word == "!" and position + 1 < end and words[position + 1] in HEADS:
            return position
        if word in TEXT_OPTIONS:
            position += 1
        position += 1
    return min(position, end)


def regroup(words: Sequence[str], chains: Container[str]) -> list[str]:
    """The same rule with every option next to its module.

    iptables gives an option to the first module that was loaded so far and has it, wherever the
    option stands, and loads the protocol's module for those that none has:
    ``-p tcp -m state --state NEW --dport 22`` means ``… -m state --state NEW -m tcp --dport 22``.
    Options of modules that netfw does not know stay where they are.
    """
    heads: list[str] = []
    groups: list[tuple[str, list[str]]] = []
    target: list[str] = []
    protocol: str | None = None
    position, end = 0, len(words)
    while position < end:
        start = position
        position += words[position] == "!"
        head = HEADS.get(words[position]) if position < end else None
        if head is None:
            stop = group_end(words, position)
            implicit = module_of(protocol)
            if implicit is None:
                heads += words[start:stop]
            else:
                _share_out(words[start:stop], None, groups, implicit)
            position = stop
            continue
        position += 1
        if head in ("-m", "-j") and position < end:
            value = words[position]
            stop = group_end(words, position + 1)
            rest = words[position + 1 : stop]
            position = stop
            if head == "-m":
                groups.append((value, []))
                own, kept = MATCH_OPTIONS.get(value), groups[-1][1]
            else:
                target += words[start : stop - len(rest)]
                own = {} if value in chains else TARGET_OPTIONS.get(value)
                kept = target
            if own is None:
                kept += rest
            else:
                _share_out(rest, (own, kept), groups, module_of(protocol))
            continue
        if head not in ALONE:
            position += words[position : position + 1] == ["!"]
            if head == "-p" and position < end:
                protocol = words[position]
            position += 1
            if head == "-c" and "," not in words[position - 1]:
                position += 1
        heads += words[start:position]
    for module, kept in groups:
        heads += ("-m", module, *kept)
    return heads + target


def _share_out(
    words: Sequence[str],
    own: tuple[Arity, list[str]] | None,
    groups: list[tuple[str, list[str]]],
    implicit: str | None,
) -> None:
    """Give each option in words to its owner; what nobody knows stays with the first."""
    position = 0
    while position < len(words):
        for arity, kept in _owners(own, groups):
            try:
                _, stop = take_option(words, position, arity)
            except NotUnderstoodError:
                continue
            kept += words[position:stop]
            position = stop
            break
        else:
            if implicit is not None and all(module != implicit for module, _ in groups):
                groups.append((implicit, []))
                if implicit in MATCH_OPTIONS:
                    continue
            kept = own[1] if own is not None else groups[-1][1]
            kept += words[position:]
            return


def _owners(
    own: tuple[Arity, list[str]] | None, groups: list[tuple[str, list[str]]]
) -> list[tuple[Arity, list[str]]]:
    known = [(MATCH_OPTIONS[name], kept) for name, kept in groups if name in MATCH_OPTIONS]
    return known if own is None else [own, *known]
