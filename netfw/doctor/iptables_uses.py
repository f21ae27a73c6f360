"""What iptables rules do with marks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from netfw.doctor.any_of import Condition
from netfw.doctor.mark_use import Ending, MarkEffect, MarkTest, MarkUse, Word
from netfw.doctor.place import Spot, System
from netfw.ir.mark import MAX_MARK
from netfw.ir.match import (
    CommentMatch,
    ConnmarkMatch,
    MarkMatch,
    Match,
    RpfilterMatch,
    SocketMatch,
    UnknownMatch,
)
from netfw.ir.names import Family, TableName
from netfw.ir.ruleset import Rule
from netfw.ir.target import (
    Accept,
    ChangeSet,
    Drop,
    Goto,
    Hmark,
    Jump,
    Nfqueue,
    Reject,
    RestoreMark,
    Return,
    SaveMark,
    SetConnmark,
    SetMark,
    Target,
    Tproxy,
    UnknownTarget,
)
from netfw.render.rule import render_rule

if TYPE_CHECKING:
    from netfw.doctor.host_state import HeldRules
    from netfw.doctor.observed import MarkedSet, QueueReader

_ENDINGS: Mapping[type[Target], Ending] = {
    Accept: Ending.ACCEPTED,
    Tproxy: Ending.ACCEPTED,
    Drop: Ending.DROPPED,
    Reject: Ending.DROPPED,
    Nfqueue: Ending.QUEUED,
    Return: Ending.RETURNED,
    Jump: Ending.CALLS,
    Goto: Ending.CALLS,
}


def iptables_uses(
    held: HeldRules, sets: Iterable[MarkedSet] = (), queues: Iterable[QueueReader] = ()
) -> Iterator[MarkUse]:
    """Every rule that reads or writes a mark, in the order of tables and chains; those that no
    hook leads to have no passages. ``queues`` say whose those are that give packets to one."""
    by_name = {one.name: one for one in sets}
    readers = {one.queue: one.owner for one in queues}
    for table in held.ruleset.tables:
        for chain in table.chains:
            entries = None
            for number, rule in enumerate(chain.rules, start=1):
                effects = _effects(rule, by_name)
                tests = tuple(tests_of(rule.matches))
                if not effects and not tests:
                    continue
                if entries is None:
                    entries = held.reach.entries(table.name, chain.name)
                yield MarkUse(
                    spot_of(held, table.name, chain.name, number),
                    tuple(entry.passage(number) for entry in entries),
                    tests,
                    effects,
                    rule.matches,
                    entries[0].calls if entries else (),
                    _ENDINGS.get(type(rule.target), Ending.GOES_ON),
                    is_first_only=table.name is TableName.NAT,
                    is_conditional=any(_asks(match) for match in rule.matches)
                    or any(_asks(match) for entry in entries for match in entry.calls),
                    owner=_reader(rule.target, readers),
                )


def _reader(target: Target, readers: Mapping[int, str]) -> str:
    """The program that reads the queue of a rule; empty where there is none."""
    if not isinstance(target, Nfqueue) or target.balance is not None:
        return ""
    return readers.get(target.queue or 0, "")


def spot_of(held: HeldRules, table: TableName, chain: str, number: int) -> Spot:
    """The spot of a rule, counted from 1. Raises KeyError or IndexError where it is not there."""
    found = held.ruleset.table(table)
    if found is None:
        raise KeyError(table)
    rule = found.chain(chain).rule(number)
    return Spot(
        System.of_backend(held.backend),
        held.family,
        table.value,
        chain,
        number,
        f"-A {chain} {_text(rule, held.family)}".rstrip(),
        rule.origin.where.line if rule.origin is not None else 0,
    )


def _text(rule: Rule, family: Family) -> str:
    try:
        return render_rule(rule, family)
    except ValueError:
        # somebody's rule that could be read need not be one that iptables would write
        return str(rule.target)


def _asks(match: Condition) -> bool:
    return not isinstance(match, CommentMatch)


def tests_of(matches: Iterable[Match]) -> Iterator[MarkTest]:
    """What matches ask of marks."""
    for match in matches:
        match match:
            case MarkMatch(mark, negate):
                yield MarkTest(Word.PACKET, mark.mask, mark.value, negate)
            case ConnmarkMatch(mark, negate):
                yield MarkTest(Word.CONNECTION, mark.mask, mark.value, negate)
            case RpfilterMatch(uses_mark=True):
                yield MarkTest(Word.PACKET, MAX_MARK, None)
            case UnknownMatch(module="mark" | "connmark" as module):
                word = Word.PACKET if module == "mark" else Word.CONNECTION
                yield MarkTest(word, MAX_MARK, None)
            case _:
                pass


def _effects(rule: Rule, sets: Mapping[str, MarkedSet]) -> tuple[MarkEffect, ...]:
    found = []
    for match in rule.matches:
        if isinstance(match, SocketMatch) and match.restores_mark:
            found.append(MarkEffect.any_value(Word.PACKET, MAX_MARK, "the socket's mark"))
    if isinstance(rule.target, _WRITERS):
        found += effects_of(rule.target, sets)
    return tuple(found)


def effects_of(target: Target, sets: Mapping[str, MarkedSet]) -> Iterator[MarkEffect]:
    """What a target does to marks; ``sets`` are those whose members carry some, by name."""
    match target:
        case SetMark(mark):
            yield MarkEffect.set_word(Word.PACKET, mark)
        case SetConnmark(mark):
            yield MarkEffect.set_word(Word.CONNECTION, mark)
        case SaveMark(nfmask, ctmask):
            yield MarkEffect(Word.CONNECTION, ~ctmask & MAX_MARK, mixed=nfmask)
        case RestoreMark(nfmask, ctmask):
            yield MarkEffect(Word.PACKET, ~nfmask & MAX_MARK, mixed=ctmask)
        case Tproxy():
            if target.mark.written:
                yield MarkEffect.set_word(Word.PACKET, target.mark)
        case Hmark():
            yield MarkEffect.any_value(Word.PACKET, MAX_MARK, "a hash")
        case Nfqueue():
            why = "whatever the program behind NFQUEUE says"
            yield MarkEffect.any_value(Word.PACKET, MAX_MARK, why)
        case ChangeSet(maps_mark=True):
            name = target.map[0] if target.map is not None else ""
            known = sets.get(name)
            bits = MAX_MARK
            if known is not None:
                bits = 0
                for mark in known.marks:
                    bits |= mark.written
            yield MarkEffect.any_value(Word.PACKET, bits, f"what set {name} says")
        case UnknownTarget(name="MARK" | "CONNMARK" as name):
            word = Word.PACKET if name == "MARK" else Word.CONNECTION
            yield MarkEffect.any_value(word, MAX_MARK, "netfw does not know these options")
        case _:
            pass


_WRITERS = (
    SetMark,
    SetConnmark,
    SaveMark,
    RestoreMark,
    Tproxy,
    Hmark,
    Nfqueue,
    ChangeSet,
    UnknownTarget,
)
"""The kinds that can write a mark; most rules have none of them."""
