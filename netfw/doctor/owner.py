"""Whose a use of a mark probably is: by the program, by the names of chains, by its value."""

from __future__ import annotations

import re
from functools import cache

from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import System
from netfw.doctor.registry import MarkKind, load_registry, owners_of
from netfw.ir.match import CommentMatch
from netfw.ir.names import OWN_CHAIN_PREFIX, OWN_COMMENT_PREFIX

OURS = "netfw"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_][A-Za-z0-9]+)*[-_]?\*?")
_SHORTEST = 4
_MOST = 4
_RULES = frozenset({System.IPTABLES_NFT, System.IPTABLES_LEGACY, System.NFTABLES})
_KINDS = {Word.PACKET: MarkKind.PACKET, Word.CONNECTION: MarkKind.CONNECTION}


def owners(use: MarkUse) -> tuple[str, ...]:
    """Names of software, the likeliest first; empty where nobody is known for it.

    A program that the host names, and chains that only one program has, leave no doubt; a value
    of the registry is a guess.
    """
    if _is_ours(use):
        return (OURS,)
    if use.owner:
        return (use.owner,)
    named = _by_name(use)
    if named:
        return named[:_MOST]
    found: dict[str, None] = {}
    for word, value, mask in _constants(use):
        found |= dict.fromkeys(_by_value(word, value, mask))
    return tuple(found)[:_MOST]


def _is_ours(use: MarkUse) -> bool:
    return use.spot.chain.startswith(OWN_CHAIN_PREFIX) or any(
        isinstance(match, CommentMatch) and match.text.startswith(OWN_COMMENT_PREFIX)
        for match in use.matches
    )


def _constants(use: MarkUse) -> list[tuple[Word, int, int]]:
    """The values that a use writes or asks for, with their masks."""
    found = [
        (test.word, test.value, test.mask)
        for test in use.tests
        if test.value is not None and test.value & test.mask
    ]
    found += [
        (effect.word, effect.xor, effect.written)
        for effect in use.effects
        if effect.xor and not effect.mixed and not effect.opaque
    ]
    return found


def _by_name(use: MarkUse) -> tuple[str, ...]:
    if use.spot.system not in _RULES:
        return ()
    # the table of a native rule is 'inet NAME'
    return _who_has(use.spot.chain, use.spot.table.rpartition(" ")[2])


@cache
def _who_has(*names: str) -> tuple[str, ...]:
    return tuple(
        software
        for software, patterns in _patterns()
        if any(
            name == pattern or (is_prefix and name.startswith(pattern))
            for name in names
            for pattern, is_prefix in patterns
        )
    )


@cache
def _by_value(word: Word, value: int, mask: int) -> tuple[str, ...]:
    """Who uses this very value; others in whose field it lies are too many to name."""
    return tuple(
        software.title
        for software in owners_of(value, mask, _KINDS[word])
        if any(known.value & known.mask == value & mask for known in software.values)
    )


@cache
def _patterns() -> tuple[tuple[str, tuple[tuple[str, bool], ...]], ...]:
    """The names of chains and tables that the registry tells, with whether they only begin so.

    Only names with a hyphen or an underscore inside count: others are words of a sentence.
    """
    found = []
    for software in load_registry():
        patterns = []
        for name in _NAME.findall(software.set_in):
            bare = name.rstrip("*")
            if len(bare) >= _SHORTEST and ("-" in bare or "_" in bare):
                patterns.append((bare, name.endswith("*")))
        if patterns:
            found.append((software.title, tuple(patterns)))
    return tuple(found)
