"""Matches and targets that are lists of options, read by the way their types are spelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from typing import TypeVar

from netfw.facts.forms import read_value
from netfw.facts.options import Arity, NotUnderstoodError, take_options
from netfw.facts.options import Option as Given
from netfw.ir.form import Range, Span, arity
from netfw.ir.names import Family
from netfw.ir.spelling import Option, Spelled, Wanted, check_spelled, defaults_of

S = TypeVar("S", bound=Spelled)


def arity_of(kind: type[Spelled]) -> Arity:
    """How many values each option of a type takes."""
    return {option.name: arity(option.form) for option in kind.OPTIONS}


def read_spelled(
    kind: type[S],
    words: Sequence[str],
    family: Family,
    assumed: Mapping[str, object] | None = None,
) -> S:
    """What words say as data; ``assumed`` are fields that iptables fills in where none is given.

    Raises ValueError where the type cannot hold what the words say, or a rule of this family
    cannot hold it.
    """
    return read_options(kind, take_options(words, arity_of(kind)), family, assumed)


def read_options(
    kind: type[S],
    given: Sequence[Given],
    family: Family,
    assumed: Mapping[str, object] | None = None,
) -> S:
    """The same for options that have been taken apart."""
    by_name = {option.name: option for option in kind.OPTIONS}
    fields: dict[str, object] = {}
    for one in given:
        option = by_name[one.name]
        if option.field in fields:
            raise NotUnderstoodError(f"{one.name} is given twice")
        value = read_value(option.form, one.values, family)
        fields[option.field] = Wanted(value, one.negate) if option.wanted else value
        if option.negate:
            fields[option.negate] = one.negate
        elif one.negate and not option.wanted:
            raise NotUnderstoodError(f"! {one.name}")
        if _says_nothing(option, value) and not one.negate:
            fields[option.field] = None
    for name, default in defaults_of(kind).items():
        if name not in fields and default is MISSING:
            if assumed is None or name not in assumed:
                raise NotUnderstoodError(f"{kind.MODULE} lacks {name}")
            fields[name] = assumed[name]
    made = kind(**fields)
    check_spelled(made, family)
    return made


def _says_nothing(option: Option, value: object) -> bool:
    form = option.form
    return isinstance(form, Span) and form.drops_all and value == Range(0, form.most)
