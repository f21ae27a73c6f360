"""Reads the criteria ``user`` and ``group``."""

from __future__ import annotations

from netfw.ir.form import UINT32, Range
from netfw.policy.faults import Faults
from netfw.policy.fields import parse_decimal, read_words
from netfw.policy.names import Names
from netfw.policy.negation import read_negation
from netfw.policy.owner import Owner, OwnerKind
from netfw.policy.source import Node, Scalar

_KNOWN = {"root": 0}
"""The one user and group whose number is the same everywhere."""


def read_user(node: Node, names: Names, faults: Faults) -> Owner | None:
    """``1000``, ``1000-1999``, ``root``, a list of them, or ``{not: …}``."""
    return _read(node, OwnerKind.USER, faults)


def read_group(node: Node, names: Names, faults: Faults) -> Owner | None:
    """The same for groups."""
    return _read(node, OwnerKind.GROUP, faults)


def _read(node: Node, kind: OwnerKind, faults: Faults) -> Owner | None:
    inner, negate = read_negation(node, kind.value, faults)
    if inner is None:
        return None
    ranges = [
        span
        for word in read_words(inner, f"'{kind.value}'", faults)
        if (span := _parse(word, kind, faults)) is not None
    ]
    ordered = tuple(sorted(ranges, key=lambda span: (span.first, span.last)))
    return Owner(kind, ordered, negate) if ordered else None


def _parse(word: Scalar, kind: OwnerKind, faults: Faults) -> Range | None:
    if word.text in _KNOWN:
        return Range(_KNOWN[word.text], _KNOWN[word.text])
    first_text, dash, last_text = word.text.partition("-")
    first = parse_decimal(first_text)
    last = parse_decimal(last_text) if dash else first
    if first is None or last is None:
        faults.add(
            word.where,
            f"'{word.text}' is not the number of a {kind.value}, or a range of numbers",
            f"names differ from host to host: write the number ('id {word.text}' shows it)",
        )
    elif not 0 <= first <= last < UINT32:
        faults.add(
            word.where, f"'{word.text}': numbers of {kind.value}s go up to {UINT32 - 1}, upwards"
        )
    else:
        return Range(first, last)
    return None
