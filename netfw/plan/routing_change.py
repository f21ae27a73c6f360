"""From the routing that a host has for our marks to what it shall have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from netfw.ir.names import Family
from netfw.plan.change import Change, changed_lines
from netfw.plan.own import Own
from netfw.plan.step import LoadRouting


@dataclass(frozen=True, slots=True)
class RoutingChange:
    """Lines for ``ip -batch`` that add, before and after."""

    family: Family
    before: tuple[str, ...]
    after: tuple[str, ...]

    @classmethod
    def of(cls, now: Own, wanted: Own, family: Family) -> RoutingChange:
        """Of one family."""
        return cls(family, now.routing.get(family, ()), wanted.routing.get(family, ()))

    def comes_first(self) -> Iterator[LoadRouting]:
        """Before rules of netfilter set the marks that it reads. Routes stand before the routing
        rules that lead to them."""
        lines = [line for line in self.after if line not in self.before]
        if lines:
            yield LoadRouting(self.family, "".join(f"{line}\n" for line in lines))

    def goes_last(self) -> Iterator[LoadRouting]:
        """After the last mark that it reads. A route that another one has replaced has gone."""
        kept = {_key(line) for line in self.after}
        lines = [line for line in self.before[::-1] if _key(line) not in kept]
        if lines:
            yield LoadRouting(self.family, "".join(f"{_undone(line)}\n" for line in lines))

    def changes(self) -> Iterator[Change]:
        """For people."""
        yield from changed_lines(self.family, "routing", self.before, self.after)


def _key(line: str) -> str:
    """What a route replaces: its destination, table and metric; a routing rule replaces none."""
    words = line.split()
    if words[0] != "route":
        return line
    to = words[3] if words[2] == "unreachable" else words[2]
    told = dict(pairwise(words))
    return f"route {to} {told.get('table')} {told.get('metric', '')}"


def _undone(line: str) -> str:
    return line.replace("rule add ", "rule del ", 1).replace("route replace ", "route del ", 1)
