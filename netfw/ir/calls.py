"""Which chains of a table call which others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from netfw.ir.ruleset import Rule, Table
from netfw.ir.target import Goto, Jump


def called_by(rule: Rule) -> str | None:
    """The chain that a rule goes to (``-j``, ``-g``), or None."""
    return rule.target.chain if isinstance(rule.target, Jump | Goto) else None


class Calls:
    """The calls between chains, by name: chains that are called and not there call nothing.

    Chains may be nested as deep as a legacy backend takes them, which is without a limit; so
    nothing here calls itself.
    """

    def __init__(self, callees: Mapping[str, Collection[str]]) -> None:
        self._callees = callees

    @classmethod
    def of(cls, table: Table) -> Calls:
        """The calls in a table."""
        return cls(
            {
                chain.name: dict.fromkeys(
                    called for rule in chain.rules if (called := called_by(rule)) is not None
                )
                for chain in table.chains
            }
        )

    def order(self, start: str) -> list[str]:
        """A chain and all that it leads to: callers before those they call, but in a circle."""
        return self._search([start])[0][::-1]

    def circle(self, starts: Iterable[str]) -> tuple[str, ...]:
        """The names of chains that call each other in a circle which one of the starts leads to,
        in order; empty where there is none. The last one calls the first."""
        return self._search(starts)[1]

    def _search(self, starts: Iterable[str]) -> tuple[list[str], tuple[str, ...]]:
        finished: list[str] = []
        circle: tuple[str, ...] = ()
        done: set[str] = set()
        for start in starts:
            trail: dict[str, Iterator[str]] = {}
            following: str | None = None if start in done else start
            while following is not None or trail:
                if following is not None:
                    trail[following] = iter(self._callees.get(following, ()))
                name, others = next(reversed(trail.items()))
                following = None
                for other in others:
                    if other in trail:
                        names = list(trail)
                        circle = circle or tuple(names[names.index(other) :])
                    elif other not in done:
                        following = other
                        break
                if following is None:
                    del trail[name]
                    done.add(name)
                    finished.append(name)
        return finished, circle
