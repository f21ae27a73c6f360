"""Rules and chains as summaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from netfw.errors import FactError, Where
from netfw.ir.calls import Calls
from netfw.ir.match import (
    ConnlimitMatch,
    ConnmarkMatch,
    ConntrackMatch,
    HashlimitMatch,
    LimitMatch,
    MarkMatch,
    Match,
    StateMatch,
)
from netfw.ir.names import TableName
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table
from netfw.ir.target import (
    Ct,
    Goto,
    HopLimit,
    Jump,
    Log,
    Nflog,
    NoTarget,
    RestoreMark,
    Return,
    SaveMark,
    SetConnmark,
    SetMark,
    Target,
    Trace,
    Ttl,
)
from netfw.prove.condition import Conditions, Spot
from netfw.prove.members import Members
from netfw.prove.space import NOTRACK, Bdd, Space, bits_of, connmark_bit, mark_bit
from netfw.prove.summary import (
    NOTHING,
    RETURN,
    ChangedBy,
    Leave,
    LogEffect,
    Summary,
    Write,
    called,
    fold,
    guard,
)
from netfw.traverse.effects import is_inert

_DEEP = 40
"""Calls within each other from which on chains are taken from the innermost outwards."""
NameOf = Callable[[int], str]
"""The name of a bit's state variable."""


def named_mark_bits(rules: Iterable[Rule]) -> tuple[int, int]:
    """The bits of the packet's mark, and of the connection's, that some rule reads or writes."""
    mark, connmark = 0, 0
    for rule in rules:
        for match in rule.matches:
            if isinstance(match, MarkMatch):
                mark |= match.mark.mask
            elif isinstance(match, ConnmarkMatch):
                connmark |= match.mark.mask
        match rule.target:
            case SetMark(word):
                mark |= word.written
            case SetConnmark(word):
                connmark |= word.written
            case SaveMark(nfmask, ctmask) | RestoreMark(nfmask, ctmask):
                mark |= nfmask | ctmask
                connmark |= nfmask | ctmask
            case _:
                pass
    return mark, connmark


class Chains:
    """The summaries of a ruleset's chains; each is made once for every spot it is asked at."""

    def __init__(self, space: Space, ruleset: Ruleset) -> None:
        self.space = space
        self.ruleset = ruleset
        self.conditions = Conditions(space, Members(space, ruleset))
        self._summaries: dict[tuple[TableName, str, Spot], Summary] = {}
        self._open: list[tuple[TableName, str]] = []
        self._calls: dict[TableName, Calls] = {}

    def calls(self, table: Table) -> Calls:
        """Which chains of a table of this ruleset call which."""
        found = self._calls.get(table.name)
        if found is None:
            found = self._calls[table.name] = Calls.of(table)
        return found

    def summary(self, table: Table, name: str, spot: Spot) -> Summary:
        """What a chain does; raises FactError where chains call each other in a circle."""
        key = (table.name, name, spot)
        found = self._summaries.get(key)
        if found is None:
            chain = table.find_chain(name)
            if chain is None:
                raise FactError.at(f"table {table.name}", f"there is no chain '{name}'")
            if (table.name, name) in self._open:
                raise FactError.at(
                    _place_of(chain), f"chain '{name}' of table {table.name} calls itself"
                )
            self._open.append((table.name, name))
            if len(self._open) % _DEEP == 0:
                # the innermost first: Python cannot nest as deep as a legacy backend lets chains
                for inner in self.calls(table).order(name)[:0:-1]:
                    self.summary(table, inner, spot)
            found = fold(self.space, self.pieces(table, chain, spot))
            self._open.pop()
            self._summaries[key] = found
        return found

    def pieces(self, table: Table, chain: Chain, spot: Spot) -> list[Summary]:
        """The summaries of a chain's rules, in order."""
        found, places = [], Counter[str | None]()
        for rule in chain.rules:
            if any(isinstance(match, HashlimitMatch | ConnlimitMatch) for match in rule.matches):
                places[rule.comment] += 1
            found.append(self.of_rule(table, rule, spot, places[rule.comment] or 1))
        return found

    def of_rule(self, table: Table, rule: Rule, spot: Spot, place: int = 1) -> Summary:
        """What a single rule does; ``place`` counts those of one origin that count packets."""
        target = rule.target
        if isinstance(target, NoTarget | Trace):
            return NOTHING
        if isinstance(target, Log | Nflog):
            return self._log(target, rule, spot)
        condition = self.conditions.of_rule(rule, spot, place)
        if condition == self.space.false:
            return NOTHING
        reads = _reads(rule)
        if isinstance(target, Jump | Goto):
            chain = self.summary(table, target.chain, spot)
            body = called(self.space, chain, by_goto=isinstance(target, Goto))
            return guard(self.space, condition, body, reads)
        return self._of_target(target, condition, reads, spot)

    def _log(self, target: Log | Nflog, rule: Rule, spot: Spot) -> Summary:
        """The rate at which it logs is a part of the effect and not of the condition."""
        limits = [match for match in rule.matches if isinstance(match, LimitMatch)]
        if len(limits) == 1:
            others = tuple(match for match in rule.matches if match is not limits[0])
            rule = Rule(others, target, rule.origin)
        condition = self.conditions.of_rule(rule, spot)
        effect = LogEffect(target, limits[0] if len(limits) == 1 else None)
        return Summary(effects={effect: condition}, reads=_reads(rule))

    def _of_target(
        self, target: Target, condition: Bdd, reads: frozenset[str], spot: Spot
    ) -> Summary:
        match target:
            case Return():
                return Summary({RETURN: condition}, reads=reads)
            case SetMark(word):
                writes = self._set(word.mask, word.value, condition, mark_bit)
                toggled = frozenset(mark_bit(bit) for bit in bits_of(word.value & ~word.mask))
                return Summary(writes=writes, reads=reads | toggled)
            case SetConnmark(word):
                connected = condition & self.conditions.has_connection(spot)
                writes = self._set(word.mask, word.value, connected, connmark_bit)
                toggled = frozenset(connmark_bit(bit) for bit in bits_of(word.value & ~word.mask))
                return Summary(writes=writes, reads=reads | toggled | {NOTRACK})
            case SaveMark(nfmask, ctmask):
                connected = condition & self.conditions.has_connection(spot)
                return self._copy(
                    connected, reads | {NOTRACK}, (connmark_bit, ctmask), (mark_bit, nfmask)
                )
            case RestoreMark(nfmask, ctmask):
                connected = condition & self.conditions.has_connection(spot)
                return self._copy(
                    connected, reads | {NOTRACK}, (mark_bit, nfmask), (connmark_bit, ctmask)
                )
            case Ct(notrack=True, words=()):
                return Summary(writes={NOTRACK: Write(condition, condition)}, reads=reads)
            case _ if isinstance(target, Ttl | HopLimit) or is_inert(target):
                return Summary(effects={ChangedBy(target): condition}, reads=reads)
            case _:
                # a verdict, a translation, or what netfw does not know: it leaves by that name
                return Summary({Leave(target): condition}, reads=reads)

    def _set(self, mask: int, value: int, condition: Bdd, name_of: NameOf) -> dict[str, Write]:
        """``(mark & ~mask) ^ value``: bits of the mask become the value's, others toggle."""
        space = self.space
        writes = {}
        for bit in bits_of(mask | value):
            name = name_of(bit)
            if mask >> bit & 1:
                ones = condition if value >> bit & 1 else space.false
            else:
                ones = condition & ~space.state_variables[name]
            writes[name] = Write(condition, ones)
        return writes

    def _copy(
        self,
        condition: Bdd,
        reads: frozenset[str],
        to: tuple[NameOf, int],
        source: tuple[NameOf, int],
    ) -> Summary:
        """``to = (to & ~to_mask) ^ (source & source_mask)``."""
        space = self.space
        (to_name, to_mask), (source_name, source_mask) = to, source
        writes, read = {}, set()
        for bit in bits_of(to_mask | source_mask):
            name, other = to_name(bit), source_name(bit)
            value = space.false
            if not to_mask >> bit & 1:
                value = space.state_variables[name]
                read.add(name)
            if source_mask >> bit & 1:
                value = space.either(value, space.state_variables[other])
                read.add(other)
            writes[name] = Write(condition, condition & value)
        return Summary(writes=writes, reads=reads | read)


def _reads(rule: Rule) -> frozenset[str]:
    """The state variables that a rule's matches ask for."""
    names: set[str] = set()
    for match in rule.matches:
        names.update(_read_by(match))
    return frozenset(names)


def _read_by(match: Match) -> Iterator[str]:
    if isinstance(match, MarkMatch):
        yield from (mark_bit(bit) for bit in bits_of(match.mark.mask))
    elif isinstance(match, ConnmarkMatch):
        yield from (connmark_bit(bit) for bit in bits_of(match.mark.mask))
        yield NOTRACK
    elif isinstance(match, ConntrackMatch | StateMatch):
        yield NOTRACK


def _place_of(chain: Chain) -> Where | str:
    for rule in chain.rules:
        if rule.origin is not None:
            return rule.origin.where
    return f"chain {chain.name}"
