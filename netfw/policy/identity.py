"""Stable names for rules: what a rule is called in the kernel does not depend on its line.

A rule has the name that its author gave it, or its action and a short hash of what it says. So a
blank line changes nothing, and a new rule renames no other.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence

SHORT_HASH = 6
"""Hexadecimal digits that suffice until two different rules of a policy share them."""
LONG_HASH = 16
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def hash_of(meaning: object) -> str:
    """A hash over plain data, as hexadecimal digits."""
    return hashlib.sha256(_CANONICAL.encode(meaning).encode()).hexdigest()


def hash_of_words(word: str, *lists: Sequence[str]) -> str:
    """The same for a word and lists of words, of plain characters that JSON leaves alone: without
    an encoder, which takes most of the time."""
    listed = ['["' + '","'.join(words) + '"]' if words else "[]" for words in lists]
    return hashlib.sha256(f'["{word}",{",".join(listed)}]'.encode()).hexdigest()


class Draft:
    """One rule that needs a name: what it does, what it says, and its name if it has one.

    Of what it says only the hash is kept; whoever has that already says so.
    """

    __slots__ = ("action", "digest", "name")

    def __init__(self, action: str, meaning: object, name: str | None, digest: str = "") -> None:
        self.action = action
        self.digest = digest or hash_of(meaning)
        self.name = name


def name_rules(prefix: str, drafts: Sequence[Draft]) -> list[str]:
    """Identities ``prefix/name`` for the rules of one policy, in order.

    Where two different rules would share a short hash, both get a long one: that depends on the
    rules and not on their order. A repetition of the same rule gets ``.2``, ``.3`` and so on.
    """
    sharing: dict[str, set[str]] = defaultdict(set)
    short = [_short(draft) for draft in drafts]
    for draft, short_name in zip(drafts, short, strict=True):
        if draft.name is not None:
            sharing[draft.name].add("name")
        else:
            sharing[short_name].add(draft.digest)
    seen: dict[str, int] = {}
    identities = []
    for draft, short_name in zip(drafts, short, strict=True):
        if draft.name is not None:
            name = draft.name
        elif len(sharing[short_name]) == 1:
            name = short_name
        else:
            name = f"{draft.action}-{draft.digest[:LONG_HASH]}"
        seen[name] = seen.get(name, 0) + 1
        suffix = f".{seen[name]}" if seen[name] > 1 else ""
        identities.append(f"{prefix}/{name}{suffix}")
    return identities


def _short(draft: Draft) -> str:
    return f"{draft.action}-{draft.digest[:SHORT_HASH]}"
