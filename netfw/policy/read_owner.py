"""Reads the criteria ``user`` and ``group``."""

from __future__ import annotations

from netfw.ir.form import UINT32, Range
from netfw.policy.faults import Faults
from netfw.policy.fields import parse_decimal, read_words
from netfw.policy.names import Names
from netfw.policy.negation import read_negation
from netfw.policy.owner import Owner, OwnerKind
from netfw.policy.source import Node, Scalar
from netfw.policy.surroundings import Surroundings, SurroundingsFault

_KNOWN = {"root": 0}
"""The one user and group whose number is the same everywhere."""


def read_user(node: Node, names: Names, faults: Faults) -> Owner | None:
    """``backup``, ``1000``, ``1000-1999``, a list of them, or ``{not: …}``."""
    return _read(node, OwnerKind.USER, names, faults)


def read_group(node: Node, names: Names, faults: Faults) -> Owner | None:
    """The same for groups."""
    return _read(node, OwnerKind.GROUP, names, faults)


def _read(node: Node, kind: OwnerKind, names: Names, faults: Faults) -> Owner | None:
    inner, negate = read_negation(node, kind.value, faults)
    if inner is None:
        return None
    numbers: list[Range] = []
    accounts: list[tuple[str, int]] = []
    for word in read_words(inner, f"'{kind.value}'", faults):
        span = _parse(word.text)
        if span is None:
            number = _look_up(word, kind, names.surroundings, faults)
            accounts += [] if number is None else [(word.text, number)]
        elif 0 <= span.first <= span.last < UINT32:
            numbers.append(span)
        else:
            faults.add(
                word.where,
                f"'{word.text}': numbers of {kind.value}s go up to {UINT32 - 1}, upwards",
            )
    if not numbers and not accounts:
        return None
    ordered = sorted(numbers, key=lambda span: (span.first, span.last))
    return Owner(kind, tuple(ordered), negate, tuple(sorted(accounts)))


def _parse(text: str) -> Range | None:
    """A number or a range of numbers; None for a name."""
    if text in _KNOWN:
        return Range(_KNOWN[text], _KNOWN[text])
    first_text, dash, last_text = text.partition("-")
    first = parse_decimal(first_text)
    last = parse_decimal(last_text) if dash else first
    return None if first is None or last is None else Range(first, last)


def _look_up(
    word: Scalar, kind: OwnerKind, surroundings: Surroundings, faults: Faults
) -> int | None:
    try:
        return surroundings.number_of(kind, word.text)
    except SurroundingsFault as fault:
        faults.add(word.where, fault.problem, fault.hint)
        return None
