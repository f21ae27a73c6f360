"""Interface names as finitely many classes: names that no rule can tell apart are one class."""

from __future__ import annotations

from collections.abc import Iterable

from netfw.ir.ipset import PartKind, SetInterface
from netfw.ir.match import InterfaceMatch, Way
from netfw.ir.names import MAX_INTERFACE_NAME
from netfw.ir.ruleset import Ruleset
from netfw.policy.model import Policy

NO_INTERFACE = ""
"""What a packet has that this host makes (coming in) or takes (leaving)."""
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.:@"
_TAILS = ("0", "1", "x", "-", "zz", "q7")


class Interfaces:
    """One representative name for each class.

    Patterns are names as rules have them, with ``+`` at the end as a wildcard. Two names that
    every pattern treats alike are in one class; ``other`` is a name that no pattern but ``+``
    means. The first class is the missing interface.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        given = sorted(set(patterns))
        exact = [name for name in given if not name.endswith("+")]
        starts = sorted({name[:-1] for name in given if name.endswith("+")} - {""})
        names = dict.fromkeys([NO_INTERFACE, *exact])
        for start in starts:
            # the name that is just the start is told apart only by an exact pattern
            found = _fresh(start, exact, [longer for longer in starts if len(longer) > len(start)])
            if found is not None:
                names.setdefault(found)
        other = _fresh("", exact, starts, ("other0", "other-1", "z-9", "q_7"))
        if other is not None:
            names.setdefault(other)
        self.names: tuple[str, ...] = tuple(names)
        self.other: str | None = other
        self._patterns = tuple(InterfaceMatch(Way.IN, pattern) for pattern in given)

    def covered(self, match: InterfaceMatch) -> tuple[int, ...]:
        """The classes that a match means, before negation, by their place in ``names``."""
        return tuple(place for place, name in enumerate(self.names) if match.covers(name))

    def like(self, interface: str) -> str | None:
        """The representative that every pattern treats like this interface, or None."""
        if interface in self.names:
            return interface
        meant = [match.covers(interface) for match in self._patterns]
        for name in self.names:
            if name and meant == [match.covers(name) for match in self._patterns]:
                return name
        return None

    def with_pattern(self, pattern: str) -> tuple[str, ...]:
        """The representatives that a pattern means; a real interface each."""
        match = InterfaceMatch(Way.IN, pattern)
        return tuple(name for name in self.names if name and match.covers(name))


def _fresh(
    start: str, exact: list[str], longer: list[str], tails: tuple[str, ...] = _TAILS
) -> str | None:
    """A name with this start that no exact name and no longer start means; None if all do."""
    candidates = [start + tail for tail in tails]
    candidates += [f"{start}{number}" for number in range(1000)]
    candidates += [start + letter for letter in _LETTERS]
    if start:
        candidates.append(start)
    for name in candidates:
        if (
            len(name.encode()) <= MAX_INTERFACE_NAME
            and name not in exact
            and not any(name.startswith(other) for other in longer)
        ):
            return name
    return None


def patterns_of_ruleset(ruleset: Ruleset) -> set[str]:
    """Every interface pattern that a rule names, or a set that it may ask."""
    in_sets = {
        part.name + "+" if part.wildcard else part.name
        for ipset in ruleset.sets
        if PartKind.INTERFACE in ipset.parts
        for member in ipset.members
        for part in member.parts
        if isinstance(part, SetInterface)
    }
    return in_sets | {
        match.name
        for rule in ruleset.rules()
        for match in rule.matches
        if isinstance(match, InterfaceMatch)
    }


def patterns_of_policy(policy: Policy) -> set[str]:
    """Every interface pattern that a policy names."""
    return {name for endpoint in policy.endpoints for name in endpoint.interfaces}
