"""Sets whose members carry marks, out of what ``ipset save`` prints."""

from __future__ import annotations

import re
from dataclasses import dataclass

from netfw.ir.mark import MAX_MARK, MaskedWord, parse_word

_LINE = re.compile(r"^(create|add) (\S+) (\S+)(.*)$", re.MULTILINE)
_MARK = re.compile(r" skbmark (\w+)(?:/(\w+))?")


@dataclass(frozen=True, slots=True)
class MarkedSet:
    """A set of ipset whose members carry marks (``skbinfo``): the marks in it, without doubles."""

    name: str
    kind: str
    marks: tuple[MaskedWord, ...]


def parse_marked_sets(text: str) -> tuple[MarkedSet, ...]:
    """The sets that were made with ``skbinfo``, also those without a member yet."""
    kinds: dict[str, str] = {}
    marks: dict[str, dict[MaskedWord, None]] = {}
    if " skbinfo" not in text:
        return ()
    for word, name, what, rest in _LINE.findall(text):
        if word == "create":
            if " skbinfo" in rest:
                kinds[name] = what
        elif name in kinds:
            found = _MARK.search(rest)
            if found is not None:
                mask = parse_word(found[2]) if found[2] else MAX_MARK
                marks.setdefault(name, {})[MaskedWord(parse_word(found[1]), mask)] = None
    return tuple(MarkedSet(name, kind, tuple(marks.get(name, ()))) for name, kind in kinds.items())
