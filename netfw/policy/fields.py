"""Reads mappings, lists and words out of nodes, and notes what does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from functools import cache
from typing import TypeVar

from netfw.errors import Where
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.source import Entry, Mapping, Node, Scalar, Sequence, describe

Value = TypeVar("Value")

MAX_NAME = 63
"""Longest name in a policy. Comments and chain names are made of names and have limits too."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


@cache
def _known_set(known: tuple[str, ...]) -> frozenset[str]:
    return frozenset(known)


class Fields:
    """A mapping with a known set of keys; every other key is a fault."""

    def __init__(self, node: Mapping, known: tuple[str, ...], what: str, faults: Faults) -> None:
        self.what = what
        self._node = node
        self._faults = faults
        if node.by_key.keys() <= _known_set(known):
            return
        for entry in node.entries:
            if entry.key.text not in known:
                faults.add(
                    entry.key.where,
                    f"unknown key '{entry.key.text}' in {what}",
                    did_you_mean(entry.key.text, known, f"{what} has the keys {', '.join(known)}"),
                )

    @property
    def where(self) -> Where:
        """Where the mapping begins."""
        return self._node.where

    def find(self, key: str) -> Node | None:
        """The value of an optional key."""
        entry = self._node.by_key.get(key)
        return None if entry is None else entry.value

    def renamed(self, words: MappingOf[str, str]) -> Fields:
        """The values of some keys alone, under other names: those of ``words``, each with the
        key that it stands for here (empty: none)."""
        by_key = {
            name: entry
            for name, word in words.items()
            if (entry := self._node.by_key.get(word)) is not None
        }
        node = Mapping(self._node.file, self._node.place, by_key)
        return Fields(node, tuple(by_key), self.what, self._faults)

    def has_any_of(self, keys: frozenset[str]) -> bool:
        """Whether one of these keys is there."""
        return not keys.isdisjoint(self._node.by_key)

    def entry(self, key: str) -> Entry | None:
        """Key and value of an optional key."""
        return self._node.by_key.get(key)

    def require(self, key: str, hint: str = "") -> Node | None:
        """The value of a key that must be there."""
        node = self._node.find(key)
        if node is None:
            self._faults.add(self.where, f"{self.what} lacks the key '{key}'", hint)
        return node


def read_fields(node: Node, known: tuple[str, ...], what: str, faults: Faults) -> Fields | None:
    """Read a mapping with certain keys."""
    if isinstance(node, Mapping):
        return Fields(node, known, what, faults)
    faults.add(
        node.where, f"{what} must be a mapping, not {describe(node)}", f"keys: {', '.join(known)}"
    )
    return None


def read_entries(node: Node, what: str, faults: Faults) -> tuple[Entry, ...]:
    """Read a mapping with keys of the user's choice."""
    if isinstance(node, Mapping):
        if not node.entries:
            faults.add(node.where, f"{what} is empty", "leave the key out")
        return node.entries
    faults.add(node.where, f"{what} must be a mapping of names, not {describe(node)}")
    return ()


def read_items(node: Node, what: str, faults: Faults) -> tuple[Node, ...]:
    """Read a list that is not empty."""
    if not isinstance(node, Sequence):
        faults.add(node.where, f"{what} must be a list, not {describe(node)}", "start with '- '")
        return ()
    if not node.items:
        faults.add(node.where, f"{what} is an empty list", "leave the key out")
    return node.items


def read_words(node: Node, what: str, faults: Faults) -> tuple[Scalar, ...]:
    """Read a word or a list of words, each once."""
    items = node.items if isinstance(node, Sequence) else (node,)
    if not items:
        faults.add(node.where, f"{what} is an empty list", "name something or leave the key out")
    words: dict[str, Scalar] = {}
    for item in items:
        if not isinstance(item, Scalar) or not item.text:
            faults.add(item.where, f"{what} must be a word or a list, not {describe(item)}")
        elif item.text in words:
            faults.add(item.where, f"'{item.text}' is in {what} twice", "remove one of them")
        else:
            words[item.text] = item
    return tuple(words.values())


def read_members(node: Node, what: str, faults: Faults) -> tuple[Scalar | Mapping, ...]:
    """Read words and mappings: one of them, or a list; each word once."""
    items = node.items if isinstance(node, Sequence) else (node,)
    if not items:
        faults.add(node.where, f"{what} is an empty list", "name something or leave the key out")
    members: list[Scalar | Mapping] = []
    words: set[str] = set()
    for item in items:
        if isinstance(item, Mapping):
            members.append(item)
        elif not isinstance(item, Scalar) or not item.text:
            faults.add(item.where, f"{what} must be a word or a list, not {describe(item)}")
        elif item.text in words:
            faults.add(item.where, f"'{item.text}' is in {what} twice", "remove one of them")
        else:
            words.add(item.text)
            members.append(item)
    return tuple(members)


FLAG_WORDS = {"yes": True, "no": False, "true": True, "false": False}
"""The words for a setting that is on or off."""


def read_flag(node: Node, what: str, faults: Faults) -> bool:
    """Read ``yes`` or ``no``, or ``true`` or ``false``; a fault counts as no."""
    word = read_word(node, what, faults)
    if word is not None and word.text not in FLAG_WORDS:
        faults.add(word.where, f"{what} is 'yes' or 'no', not '{word.text}'")
    return word is not None and FLAG_WORDS.get(word.text, False)


def read_word(node: Node, what: str, faults: Faults) -> Scalar | None:
    """Read a single word."""
    if isinstance(node, Scalar) and node.text:
        return node
    faults.add(node.where, f"{what} must be a word, not {describe(node)}")
    return None


def read_number(node: Node, what: str, first: int, last: int, faults: Faults) -> int | None:
    """Read a decimal number in a range."""
    word = read_word(node, what, faults)
    if word is None:
        return None
    number = parse_decimal(word.text)
    if number is None or not first <= number <= last:
        faults.add(word.where, f"{what} '{word.text}' is not a number from {first} to {last}")
        return None
    return number


def parse_decimal(text: str) -> int | None:
    """A decimal number without sign or leading zero, or None."""
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        return None
    return None if len(text) > 1 and text[0] == "0" else int(text)


def check_name(word: Scalar, what: str, reserved: frozenset[str], faults: Faults) -> bool:
    """Whether a name of the user's choice is fit; notes the fault if it is not."""
    if len(word.text) > MAX_NAME:
        faults.add(word.where, f"{what} '{word.text}' is longer than {MAX_NAME} characters")
    elif not _NAME.fullmatch(word.text):
        faults.add(
            word.where,
            f"'{word.text}' cannot be {what}",
            "names are lower-case letters, digits and '-', and start and end without '-'",
        )
    elif word.text in reserved:
        faults.add(word.where, f"'{word.text}' cannot be {what}: netfw uses it for its own rules")
    else:
        return True
    return False


def look_up(
    word: Scalar,
    known: MappingOf[str, Value],
    what: str,
    faults: Faults,
    otherwise: Callable[[str], str] = lambda _: "",
) -> Value | None:
    """What a name stands for; an unknown name is a fault."""
    value = known.get(word.text)
    if value is None:
        hint = did_you_mean(word.text, known, otherwise(word.text))
        faults.add(word.where, f"unknown {what} '{word.text}'", hint)
    return value
