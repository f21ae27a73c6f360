"""Which packets come to a rule and meet it, among all that arrive.

The packets that are still under way are carried forward through the rules: who they are, said by
what they were when they arrived, and what has become of their marks and addresses since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from netfw.ir.names import Hook, TableName
from netfw.ir.ruleset import Chain
from netfw.ir.target import Goto, Jump
from netfw.prove.path import (
    PathKind,
    Paths,
    Stop,
    is_asked_by_nat,
    stops,
)
from netfw.prove.space import NOTRACK, Bdd, Space
from netfw.prove.summary import Summary, then, value_after
from netfw.prove.translation import Translation, translation


class Place(NamedTuple):
    """A rule by table, chain and number (from 1)."""

    table: TableName
    chain: str
    number: int

    def __str__(self) -> str:
        return f"{self.table} {self.chain} rule {self.number}"


@dataclass(frozen=True, slots=True)
class Hit:
    """Packets that meet a rule on a path, at a hook; said of them as they arrive."""

    kind: PathKind
    hook: Hook
    those: Bdd
    context: Context


@dataclass(frozen=True, slots=True)
class Context:
    """Packets under way. ``values`` are what variables have become since they arrived: marks, and
    addresses where a rule has translated them."""

    those: Bdd
    values: dict[str, Bdd | bool]

    def see(self, space: Space, condition: Bdd) -> Bdd:
        """The packets that meet a condition now."""
        return self.those & space.substitute(condition, self.values)


@dataclass(frozen=True, slots=True)
class _Node:
    """A stretch of a chain's rules, and what it does as a whole."""

    first: int
    last: int
    summary: Summary
    left: _Node | None = None
    right: _Node | None = None


class Reach:
    """Everything that reaches anything, for one ruleset."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.space = paths.space
        self.hits: dict[Place, list[Hit]] = {}
        self.entered: dict[tuple[TableName, str], list[Hit]] = {}
        """Who enters a chain, by table and name."""
        self._trees: dict[tuple[TableName, str, Hook], _Node | None] = {}
        for kind in PathKind:
            self._go(kind)

    def _go(self, kind: PathKind) -> None:
        space = self.space
        start = Context(self.paths.domain(kind), {NOTRACK: False})
        contexts = [start]
        for stop in stops(self.paths.ruleset, kind):
            contexts = [
                behind for context in contexts for behind in self._pass(kind, stop, context)
            ]
            contexts = [context for context in contexts if context.those != space.false]

    def _pass(self, kind: PathKind, stop: Stop, context: Context) -> Iterator[Context]:
        """Through one table; nat splits those whom a rule translates from the others."""
        space = self.space
        whole = self.paths.at_stop(stop)
        if stop.table.name is not TableName.NAT:
            self._enter(kind, stop, context)
            yield self._advance(context, whole)
            return
        asked = replace(context, those=context.see(space, is_asked_by_nat(space)))
        self._enter(kind, stop, asked)
        others = {
            way: those
            for way, those in whole.exits.items()
            if not isinstance(way.target, Translation)
        }
        rest = asked.those
        for way, those in whole.exits.items():
            if isinstance(way.target, Translation):
                taken = replace(asked, those=asked.see(space, those))
                rest &= ~taken.those
                changed = self._advance(taken, replace(whole, exits={}))
                to = translation(space, stop.hook, way.target)
                yield replace(changed, values=changed.values | to)
        plain = replace(asked, those=rest)
        yield self._advance(plain, replace(whole, exits=others))
        yield replace(context, those=context.those & ~asked.those)

    def _enter(self, kind: PathKind, stop: Stop, context: Context) -> None:
        """Into a built-in chain and all that it calls, callers before those they call."""
        waiting: dict[str, list[Context]] = {stop.hook.value: [context]}
        for name in self.paths.chains.calls(stop.table).order(stop.hook.value):
            chain = stop.table.find_chain(name)
            assert chain is not None
            tree = self._tree(stop, chain)
            for entering in _merged(self.space, waiting.pop(name, [])):
                hit = Hit(kind, stop.hook, entering.those, entering)
                self.entered.setdefault((stop.table.name, name), []).append(hit)
                if tree is not None:
                    self._descend(kind, stop, chain, tree, entering, waiting)

    def _tree(self, stop: Stop, chain: Chain) -> _Node | None:
        key = (stop.table.name, chain.name, stop.hook)
        if key not in self._trees:
            pieces = self.paths.chains.pieces(stop.table, chain, stop.spot)
            level = [_Node(at, at, piece) for at, piece in enumerate(pieces)]
            while len(level) > 1:
                level = [
                    self._joined(level[at], level[at + 1]) if at + 1 < len(level) else level[at]
                    for at in range(0, len(level), 2)
                ]
            self._trees[key] = level[0] if level else None
        return self._trees[key]

    def _joined(self, left: _Node, right: _Node) -> _Node:
        both = then(self.space, left.summary, right.summary)
        return _Node(left.first, right.last, both, left, right)

    def _descend(
        self,
        kind: PathKind,
        stop: Stop,
        chain: Chain,
        node: _Node,
        context: Context,
        waiting: dict[str, list[Context]],
    ) -> None:
        if context.those == self.space.false:
            return
        if node.left is not None and node.right is not None:
            self._descend(kind, stop, chain, node.left, context, waiting)
            behind = self._advance(context, node.left.summary)
            self._descend(kind, stop, chain, node.right, behind, waiting)
            return
        rule = chain.rules[node.first]
        condition = self.paths.chains.conditions.of_rule(rule, stop.spot)
        those = context.see(self.space, condition)
        if those == self.space.false:
            return
        place = Place(stop.table.name, chain.name, node.first + 1)
        met = replace(context, those=those)
        self.hits.setdefault(place, []).append(Hit(kind, stop.hook, those, met))
        if isinstance(rule.target, Jump | Goto):
            waiting.setdefault(rule.target.chain, []).append(met)

    def _advance(self, context: Context, piece: Summary) -> Context:
        """The same packets behind a piece: those who go on, with what it wrote."""
        space = self.space
        if piece.is_nothing:
            return context
        those = context.those
        if piece.exits:
            those = those & ~space.substitute(piece.leaves(space), context.values)
        values = dict(context.values)
        for name, write in piece.writes.items():
            where = those & space.substitute(write.where, context.values)
            if where != space.false:
                value = space.substitute(value_after(space, piece, name), context.values)
                values[name] = value & those
        return Context(those, values)


def _merged(space: Space, contexts: Sequence[Context]) -> list[Context]:
    """As few contexts as possible: those that share no packet can be one."""
    if len(contexts) <= 1:
        return list(contexts)
    half = len(contexts) // 2
    found = _merged(space, contexts[:half])
    for other in _merged(space, contexts[half:]):
        for at, one in enumerate(found):
            if one.those & other.those == space.false:
                found[at] = _join(space, one, other)
                break
        else:
            found.append(other)
    return found


def _join(space: Space, one: Context, other: Context) -> Context:
    values: dict[str, Bdd | bool] = {}
    for name in dict.fromkeys([*one.values, *other.values]):
        left = _value(space, one, name)
        right = _value(space, other, name)
        if left == right:
            values[name] = one.values.get(name, left)
        else:
            values[name] = space.ite(one.those, left, right)
    return Context(one.those | other.those, values)


def _value(space: Space, context: Context, name: str) -> Bdd:
    value = context.values.get(name)
    if value is None:
        return space.variable(name)
    if isinstance(value, bool):
        return space.true if value else space.false
    return value
