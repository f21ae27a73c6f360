"""Whether two rulesets do the same with every packet there can be: not only who is let through,
but how the others are stopped, what is logged, and every bit of the mark."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.ir.ruleset import Ruleset
from netfw.prove.chains import named_mark_bits
from netfw.prove.interfaces import Interfaces, patterns_of_ruleset
from netfw.prove.path import PathKind, Paths
from netfw.prove.space import Space
from netfw.prove.summary import value_after


def unlike(one: Ruleset, other: Ruleset) -> Iterator[str]:
    """What differs, in words; nothing where they do the same."""
    marks = [named_mark_bits(ruleset.rules()) for ruleset in (one, other)]
    patterns = patterns_of_ruleset(one) | patterns_of_ruleset(other)
    mark, connmark = marks[0][0] | marks[1][0], marks[0][1] | marks[1][1]
    space = Space(one.family, Interfaces(patterns), mark, connmark)
    paths = [Paths(space, ruleset) for ruleset in (one, other)]
    for kind in PathKind:
        domain = paths[0].domain(kind) | paths[1].domain(kind)
        first, second = (each.answer(kind) for each in paths)
        for what, mine, theirs in (
            ("ends", first.exits, second.exits),
            ("does", first.effects, second.effects),
        ):
            for key in dict.fromkeys([*mine, *theirs]):
                left, right = mine.get(key, space.false), theirs.get(key, space.false)  # type: ignore[call-overload]
                if space.either(left, right) & domain != space.false:
                    yield f"{kind}: {what} otherwise: {key}"
        for name in space.state_variables:
            left, right = (value_after(space, each, name) for each in (first, second))
            if space.either(left, right) & domain != space.false:
                yield f"{kind}: {name} is another afterwards"
