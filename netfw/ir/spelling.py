"""Matches and targets that are lists of options: which option stands for which field.

Such a type says beside its fields how iptables spells them, in the order of iptables-save.
``facts`` reads by that, ``render`` writes by it, and ``check_spelled`` holds the limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

from netfw.ir.form import Flag, Form, Range, Span, check_value
from netfw.ir.names import Family

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted(Generic[T]):
    """A value that a packet shall have, or (negated) shall not have."""

    value: T
    negate: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its name, the field that it stands for, and the form of its value.

    ``negate`` is the field that holds its ``!``; ``wanted`` where the value itself is a
    ``Wanted`` that does. ``always``: written even where the field has its default.
    ``reads_only``: another spelling that iptables-save never writes. ``only``: the one family
    that has the option.
    """

    name: str
    field: str
    form: Form
    negate: str = ""
    wanted: bool = False
    always: bool = False
    reads_only: bool = False
    only: Family | None = None


class Spelled:
    """A match or target that is a list of options.

    ``MODULE`` is the word behind ``-m`` or ``-j``. Of each group in ``ONE_OF`` exactly one field
    is set; of those in ``SOME_OF`` one or more. ``FAMILY`` is the one family that has it.
    """

    __slots__ = ()
    MODULE: ClassVar[str]
    OPTIONS: ClassVar[tuple[Option, ...]]
    ONE_OF: ClassVar[tuple[tuple[str, ...], ...]] = ()
    SOME_OF: ClassVar[tuple[str, ...]] = ()
    FAMILY: ClassVar[Family | None] = None


class SpelledMatch(Spelled):
    """A match that is a list of options."""

    __slots__ = ()


class SpelledTarget(Spelled):
    """A target that is a list of options."""

    __slots__ = ()


_DEFAULTS: dict[type[Spelled], Mapping[str, object]] = {}


def defaults_of(kind: type[Spelled]) -> Mapping[str, object]:
    """The fields of a type with their defaults; MISSING for those that must be given."""
    found = _DEFAULTS.get(kind)
    if found is None:
        declared: Any = kind
        found = _DEFAULTS[kind] = {field.name: field.default for field in fields(declared)}
    return found


def check_spelled(of: Spelled, family: Family) -> None:
    """Raise ValueError with a sentence where a rule of this family cannot hold this."""
    module = of.MODULE
    if of.FAMILY is not None and of.FAMILY is not family:
        raise ValueError(f"'{module}' is not for {family}")
    defaults = defaults_of(type(of))
    for group in of.ONE_OF:
        if sum(getattr(of, name) != defaults[name] for name in group) != 1:
            raise ValueError(f"'{module}' has not exactly one of: {', '.join(group)}")
    if of.SOME_OF and all(getattr(of, name) == defaults[name] for name in of.SOME_OF):
        raise ValueError(f"'{module}' has none of: {', '.join(of.SOME_OF)}")
    standing: set[str] = set()
    for option in of.OPTIONS:
        if stands(of, option):
            _check_option(of, option, family)
            standing.update((option.field, option.negate))
    for name, default in defaults.items():
        if name not in standing and getattr(of, name) != default:
            raise ValueError(f"'{module}' has no option that says {name} is {getattr(of, name)!r}")


def _check_option(of: Spelled, option: Option, family: Family) -> None:
    value = getattr(of, option.field)
    negate = bool(option.negate) and getattr(of, option.negate)
    if option.only not in (None, family):
        raise ValueError(f"{option.name} is not for {family}")
    if option.wanted:
        value, negate = value.value, value.negate
    form = option.form
    check_value(form, value, family, option.name)
    if isinstance(form, Span) and form.drops_all and value == Range(0, form.most) and not negate:
        raise ValueError(f"{option.name} of all values says nothing")


def stands(of: Spelled, option: Option) -> bool:
    """Whether iptables-save writes an option, by the value of its field."""
    value = getattr(of, option.field)
    if option.reads_only or value is None:
        return False
    if isinstance(option.form, Flag):
        return bool((value.value if option.wanted else value) == option.form.value)
    if option.always:
        return True
    defaults = defaults_of(type(of))
    return bool(value != defaults[option.field])
