"""Lint of marks: values outside their mask, marks that come too late, stale interfaces."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.errors import Where
from netfw.ir.match import ConnmarkMatch, InterfaceMatch, MarkMatch, Way
from netfw.ir.names import Hook, TableName
from netfw.ir.ruleset import Rule
from netfw.ir.target import Dnat, Redirect, RestoreMark, SaveMark, SetConnmark, SetMark
from netfw.prove.finding import Finding, Kind
from netfw.prove.path import PathKind, Stop, stops
from netfw.prove.reach import Hit, Place, Reach
from netfw.prove.space import Field, bits_of, mark_bit

_BEHIND_ROUTING = frozenset({Hook.INPUT, Hook.FORWARD, Hook.POSTROUTING})


def lint_marks(reach: Reach) -> Iterator[Finding]:
    """Every finding about marks, in the ruleset's order."""
    lint = _MarksLint(reach)
    for table in reach.paths.ruleset.tables:
        for chain in table.chains:
            for number, rule in enumerate(chain.rules, start=1):
                yield from lint.of_rule(Place(table.name, chain.name, number), rule)


class _MarksLint:
    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.read_behind = _bits_read(reach)
        self.rerouters = self._find_rerouters()

    def of_rule(self, place: Place, rule: Rule) -> Iterator[Finding]:
        where: Where | str = str(place) if rule.origin is None else rule.origin.where
        for match in rule.matches:
            if isinstance(match, MarkMatch | ConnmarkMatch) and not match.mark.can_match:
                what = "always" if match.negate else "never"
                text = f"{place}: mark {match.mark} has value bits outside its mask: it {what}"
                yield Finding(Kind.OUTSIDE_MASK, where, f"{text} matches")
        if isinstance(rule.target, SetMark | SetConnmark):
            outside = rule.target.mark.value & ~rule.target.mark.mask
            # with an empty mask it is what --xor-mark is saved as
            if outside and rule.target.mark.mask:
                text = f"{place}: --set-xmark {rule.target.mark} toggles the bits {outside:#x}"
                yield Finding(Kind.OUTSIDE_MASK, where, f"{text}, which are outside its mask")
        if isinstance(rule.target, SetMark | RestoreMark):
            yield from self._too_late(place, rule, where)
        if any(
            isinstance(match, InterfaceMatch) and match.way is Way.OUT for match in rule.matches
        ):
            yield from self._stale_out(place, where)

    def _too_late(self, place: Place, rule: Rule, where: Where | str) -> Iterator[Finding]:
        hits = self.reach.hits.get(place, ())
        if not hits or not all(_is_behind_routing(place.table, hit.hook) for hit in hits):
            return
        written = _written(rule)
        read = 0
        for hit in hits:
            read |= self.read_behind.get((hit.kind, hit.hook, place.table), 0)
        if written & read == 0:
            yield Finding(
                Kind.MARK_TOO_LATE,
                where,
                f"{place} sets mark bits {written:#x} when routing has been decided, and no rule "
                "behind it reads them",
            )

    def _stale_out(self, place: Place, where: Where | str) -> Iterator[Finding]:
        hits = [hit for hit in self.reach.hits.get(place, ()) if hit.hook is Hook.OUTPUT]
        for other in self.rerouters:
            if _comes_before(other.table, place.table) and any(
                self._can_have_moved(other, hit) for hit in hits
            ):
                yield Finding(
                    Kind.STALE_OUT,
                    where,
                    f"{place} asks for -o in OUTPUT, but {other} can have routed the packet again",
                )
                return

    def _can_have_moved(self, rerouter: Place, hit: Hit) -> bool:
        """Whether a packet that meets a rule can have another mark than it began with, in bits
        that an earlier rule writes, or another destination."""
        space = self.reach.space
        if rerouter.table is TableName.NAT:
            return hit.context.see(space, space.flag(Field.DNAT)) & hit.those != space.false
        table = self.reach.paths.ruleset.table(rerouter.table)
        assert table is not None
        for bit in bits_of(_written(table.chain(rerouter.chain).rule(rerouter.number))):
            variable = space.variable(mark_bit(bit))
            now = hit.context.see(space, variable)
            if hit.those & space.either(hit.context.those & variable, now) != space.false:
                return True
        return False

    def _find_rerouters(self) -> list[Place]:
        """Rules that make the kernel route this host's packets again: a mark in mangle OUTPUT, a
        new destination in nat OUTPUT."""
        found = []
        for place, hits in self.reach.hits.items():
            if not any(hit.hook is Hook.OUTPUT for hit in hits):
                continue
            table = self.reach.paths.ruleset.table(place.table)
            assert table is not None
            target = table.chain(place.chain).rule(place.number).target
            if (place.table is TableName.MANGLE and isinstance(target, SetMark | RestoreMark)) or (
                place.table is TableName.NAT and isinstance(target, Dnat | Redirect)
            ):
                found.append(place)
        return found


def _comes_before(table: TableName, other: TableName) -> bool:
    order = (TableName.MANGLE, TableName.NAT, TableName.FILTER, TableName.SECURITY)
    return other in order and order.index(table) < order.index(other)


def _is_behind_routing(table: TableName, hook: Hook) -> bool:
    """A mark of mangle OUTPUT is in time: the kernel routes again behind that table."""
    if hook is Hook.OUTPUT:
        return table in (TableName.NAT, TableName.FILTER, TableName.SECURITY)
    return hook in _BEHIND_ROUTING


def _written(rule: Rule) -> int:
    match rule.target:
        case SetMark(mark):
            return mark.written
        case RestoreMark(nfmask, ctmask):
            return nfmask | ctmask
        case _:
            return 0


def _bits_read(reach: Reach) -> dict[tuple[PathKind, Hook, TableName], int]:
    """The bits of the mark that rules read at a table or behind it, on each path."""
    found: dict[tuple[PathKind, Hook, TableName], int] = {}
    for kind in PathKind:
        bits = 0
        for stop in reversed(list(stops(reach.paths.ruleset, kind))):
            bits |= _read_at(reach, stop)
            found[kind, stop.hook, stop.table.name] = bits
    return found


def _read_at(reach: Reach, stop: Stop) -> int:
    bits = 0
    for chain in stop.table.chains:
        for number, rule in enumerate(chain.rules, start=1):
            place = Place(stop.table.name, chain.name, number)
            if not any(hit.hook is stop.hook for hit in reach.hits.get(place, ())):
                continue
            for match in rule.matches:
                if isinstance(match, MarkMatch):
                    bits |= match.mark.mask
            if isinstance(rule.target, SaveMark):
                bits |= rule.target.nfmask
    return bits
