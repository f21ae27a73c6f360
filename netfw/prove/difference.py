"""What is newly accepted and newly denied between two policies or rulesets, for all packets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from netfw.ir.names import Family
from netfw.ir.ruleset import Ruleset
from netfw.ir.target import Drop, Reject
from netfw.policy.model import Policy
from netfw.prove.box import Box, boxes_of
from netfw.prove.chains import named_mark_bits
from netfw.prove.diagrams import within_memory
from netfw.prove.interfaces import Interfaces, patterns_of_policy, patterns_of_ruleset
from netfw.prove.path import PathKind, Paths, possible
from netfw.prove.policy_sets import PolicySets
from netfw.prove.space import Bdd, Field, Space
from netfw.prove.steer_sets import bits_of_policy
from netfw.prove.summary import Effect, SteeredBy, TranslatedBy

MOST_BOXES = 12
"""How many boxes of a change are worked out; what is more is only counted."""


class Change(Enum):
    """What has become of packets."""

    ACCEPTED = "newly accepted"
    DENIED = "newly denied"
    DEPENDS = "now left to a target that netfw cannot follow"
    TRANSLATED = "newly translated"
    NOT_TRANSLATED = "no longer translated"
    STEERED = "newly steered"
    NOT_STEERED = "no longer steered"


@dataclass(frozen=True, slots=True)
class Changed:
    """Packets on a path whose fate is another one now.

    ``boxes`` are as many as were worked out, ``is_whole`` says whether they are all of it;
    ``exponent`` is the number of packets as a power of two. ``by`` is the translation, or what
    they are steered by.
    """

    family: Family
    kind: PathKind
    change: Change
    boxes: tuple[Box, ...]
    is_whole: bool
    exponent: float
    by: TranslatedBy | SteeredBy | None = None


@dataclass(slots=True)
class _Side:
    """One side: who is let through, who is stopped, and what is done besides."""

    passes: Bdd
    stopped: Bdd
    effects: Mapping[Effect, Bdd] = field(default_factory=dict)


@within_memory()
def compare_policies(old: Policy, new: Policy) -> list[Changed]:
    """What changes from one policy to another, by their own meaning, in both families."""
    found: list[Changed] = []
    for family in Family:
        patterns = patterns_of_policy(old) | patterns_of_policy(new)
        bits = [bits_of_policy(policy) for policy in (old, new)]
        marks = (bits[0][0] | bits[1][0], bits[0][1] | bits[1][1])
        space = Space(family, Interfaces(patterns), *marks)
        sides = [PolicySets(space, policy) for policy in (old, new)]
        for kind in PathKind:
            before, after = (_of_policy(space, sets, kind) for sets in sides)
            domain = possible(space) & _on_path(space, kind) & ~space.flag(Field.FRAGMENT)
            found += _changes(space, kind, before, after, domain)
    return found


@within_memory()
def compare_rulesets(old: Ruleset, new: Ruleset) -> list[Changed]:
    """What changes from one ruleset to another of the same family; raises ValueError else."""
    if old.family is not new.family:
        raise ValueError(f"{old.family} and {new.family} cannot be compared")
    marks = [named_mark_bits(ruleset.rules()) for ruleset in (old, new)]
    patterns = patterns_of_ruleset(old) | patterns_of_ruleset(new)
    space = Space(
        old.family, Interfaces(patterns), marks[0][0] | marks[1][0], marks[0][1] | marks[1][1]
    )
    sides = [Paths(space, ruleset) for ruleset in (old, new)]
    found: list[Changed] = []
    for kind in PathKind:
        before, after = (_of_rules(space, paths, kind) for paths in sides)
        domain = sides[0].domain(kind) | sides[1].domain(kind)
        found += _changes(space, kind, before, after, domain)
    return found


def _on_path(space: Space, kind: PathKind) -> Bdd:
    comes_in = ~space.no_interface(Field.IN_INTERFACE)
    goes_out = ~space.no_interface(Field.OUT_INTERFACE)
    return {
        PathKind.IN: comes_in & ~goes_out,
        PathKind.OUT: ~comes_in & goes_out,
        PathKind.FORWARD: comes_in & goes_out,
    }[kind]


def _of_policy(space: Space, sets: PolicySets, kind: PathKind) -> _Side:
    meaning = sets.meaning(kind)
    stopped = space.any_of([meaning.denied, *meaning.rejected.values()])
    return _Side(~stopped, stopped, meaning.effects | sets.steering.ways(kind))


def _of_rules(space: Space, paths: Paths, kind: PathKind) -> _Side:
    answer = paths.answer(kind)
    stopped, unknown = space.false, space.false
    for way, those in answer.exits.items():
        if way.target is None or isinstance(way.target, Drop | Reject):
            stopped |= those
        else:
            unknown |= those
    return _Side(~stopped & ~unknown, stopped, answer.effects)


def _changes(
    space: Space, kind: PathKind, before: _Side, after: _Side, domain: Bdd
) -> Iterator[Changed]:
    for change, those in (
        (Change.ACCEPTED, after.passes & ~before.passes),
        (Change.DENIED, after.stopped & ~before.stopped),
        (Change.DEPENDS, ~after.passes & ~after.stopped & (before.passes | before.stopped)),
    ):
        yield from _changed(space, kind, change, those, domain)
    effects = dict.fromkeys([*before.effects, *after.effects])
    for what in effects:
        if not isinstance(what, TranslatedBy | SteeredBy):
            continue
        begins, ends = Change.TRANSLATED, Change.NOT_TRANSLATED
        if isinstance(what, SteeredBy):
            begins, ends = Change.STEERED, Change.NOT_STEERED
        had = before.effects.get(what, space.false) & before.passes
        has = after.effects.get(what, space.false) & after.passes
        # who is newly accepted or denied has been told already
        told = after.passes & before.passes
        yield from _changed(space, kind, begins, has & ~had & told, domain, what)
        yield from _changed(space, kind, ends, had & ~has & told, domain, what)


def _changed(
    space: Space,
    kind: PathKind,
    change: Change,
    those: Bdd,
    domain: Bdd,
    by: TranslatedBy | SteeredBy | None = None,
) -> Iterator[Changed]:
    those &= domain
    if those == space.false:
        return
    boxes = list(boxes_of(space, those, domain, MOST_BOXES + 1))
    yield Changed(
        space.family,
        kind,
        change,
        tuple(boxes[:MOST_BOXES]),
        len(boxes) <= MOST_BOXES,
        space.exponent(those),
        by,
    )
