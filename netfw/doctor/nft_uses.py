"""What rules of native nftables do with marks, out of what ``nft -j`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from netfw.doctor.any_of import Condition
from netfw.doctor.iptables_uses import effects_of, tests_of
from netfw.doctor.mark_use import Ending, MarkEffect, MarkTest, MarkUse, Word
from netfw.doctor.nft_conditions import conditions, conditions_of_call
from netfw.doctor.nft_mark_value import effect_of, mark_read
from netfw.doctor.observed import NftChain, NftRule, NftTable
from netfw.doctor.place import Spot, Stage, System
from netfw.doctor.reach import Entry, reached
from netfw.ir.mark import MAX_MARK
from netfw.ir.match import ConnmarkMatch, MarkMatch
from netfw.ir.names import Family

_STAGES = {
    "prerouting": Stage.PREROUTING,
    "input": Stage.INPUT,
    "forward": Stage.FORWARD,
    "output": Stage.OUTPUT,
    "postrouting": Stage.POSTROUTING,
    "ingress": Stage.INGRESS,
    "egress": Stage.EGRESS,
}
_OF_FAMILY = {"bridge": Stage.BRIDGE, "arp": Stage.ARP}
"""Families whose packets are not, or not yet, those of the IP layer."""
_FAMILIES = {"ip": Family.IPV4, "ip6": Family.IPV6}
_ENDINGS = {
    "accept": Ending.ACCEPTED,
    "drop": Ending.DROPPED,
    "reject": Ending.DROPPED,
    "queue": Ending.QUEUED,
    "return": Ending.RETURNED,
    "jump": Ending.CALLS,
    "goto": Ending.CALLS,
}
_TARGETS = {
    "MARK": Word.PACKET,
    "mark": Word.PACKET,
    "CONNMARK": Word.CONNECTION,
    "TPROXY": Word.PACKET,
    "HMARK": Word.PACKET,
}
"""Targets that write a mark; ebtables' own is in small letters."""
_NO_CONDITION = frozenset({"counter", "mangle", "log", "comment", "quota", *_ENDINGS})


def nft_uses(tables: Iterable[NftTable]) -> Iterator[MarkUse]:
    """Every rule that reads or writes a mark, in the order of tables and chains."""
    for table in tables:
        reach = nft_reach(table)
        of_nat = {
            name
            for name, entries in reach.items()
            if any(_chain(table, entry.base.rsplit(" ", 1)[1]).kind == "nat" for entry in entries)
        }
        for chain in table.chains:
            entries = reach.get(chain.name, ())
            for number, rule in enumerate(chain.rules, start=1):
                tests, effects = _tests(rule), _effects(rule)
                if not tests and not effects:
                    continue
                yield MarkUse(
                    nft_spot(table, chain, number),
                    tuple(entry.passage(number) for entry in entries),
                    tests,
                    effects,
                    tuple(conditions(rule.expressions)),
                    entries[0].calls if entries else (),
                    ending=_ending(rule),
                    is_first_only=chain.name in of_nat,
                    is_conditional=any(not _NO_CONDITION & set(one) for one in rule.expressions)
                    or any(entry.first for entry in entries),
                )


def nft_spot(table: NftTable, chain: NftChain, number: int) -> Spot:
    """The spot of a rule, counted from 1."""
    rule = chain.rules[number - 1]
    return Spot(
        System.NFTABLES,
        _FAMILIES.get(table.family),
        f"{table.family} {table.name}",
        chain.name,
        number,
        rule.text,
        handle=rule.handle,
    )


def nft_reach(table: NftTable) -> dict[str, tuple[Entry, ...]]:
    """How each chain of a table is reached, once for each base chain that leads there."""
    found: dict[str, list[Entry]] = {}
    callers = list(_callers(table))
    for chain in table.chains:
        if not chain.hook:
            continue
        stage = _OF_FAMILY.get(table.family) or _STAGES.get(chain.hook)
        if stage is None:
            continue
        base = f"{table.family} {table.name} {chain.name}"
        start = Entry(stage, chain.priority, base)
        for name, entry in reached(start, chain.name, _ordered(callers, chain.name)):
            found.setdefault(name, []).append(entry)
    return {name: tuple(entries) for name, entries in found.items()}


def _chain(table: NftTable, name: str) -> NftChain:
    return next(chain for chain in table.chains if chain.name == name)


Call = tuple[str, int, str, tuple[Condition, ...]]


def _callers(table: NftTable) -> Iterator[Call]:
    for chain in table.chains:
        for number, rule in enumerate(chain.rules, start=1):
            for called in dict.fromkeys(_called(rule.expressions)):
                asked = tuple(conditions_of_call(rule.expressions, called))
                yield chain.name, number, called, asked
            for name in _maps_asked(rule.expressions):
                for called in dict.fromkeys(_called(table.sets.get(name, ()))):
                    yield chain.name, number, called, tuple(conditions(rule.expressions))


def _ordered(callers: list[Call], start: str) -> list[Call]:
    """The calls of what a chain leads to, those of callers before those of the called."""
    from netfw.ir.calls import Calls

    callees: dict[str, list[str]] = {}
    of: dict[str, list[Call]] = {}
    for call in callers:
        callees.setdefault(call[0], []).append(call[2])
        of.setdefault(call[0], []).append(call)
    return [call for name in Calls(callees).order(start) for call in of.get(name, ())]


def _called(part: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """The chains that jumps anywhere in an expression go to, those in maps among them."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key in ("jump", "goto") and isinstance(value, Mapping):
                yield str(value.get("target", ""))
            else:
                yield from _called(value)
    elif isinstance(part, list | tuple):
        for one in part:
            yield from _called(one)


def _maps_asked(part: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(part, str) and part.startswith("@"):
        yield part[1:]
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from _maps_asked(value)
    elif isinstance(part, list | tuple):
        for one in part:
            yield from _maps_asked(one)


def _tests(rule: NftRule) -> tuple[MarkTest, ...]:
    asked = [one for one in rule.extensions if isinstance(one, MarkMatch | ConnmarkMatch)]
    found: list[MarkTest] = list(tests_of(asked))
    for expression in rule.expressions:
        if not isinstance(expression, Mapping):
            continue
        match = expression.get("match")
        if isinstance(match, Mapping):
            found += _of_match(match)
            continue
        for key in ("vmap", "set", "mangle"):
            if isinstance(expression.get(key), Mapping):
                asked = expression[key].get("elem" if key == "set" else "key")
                if key == "mangle":
                    asked = _keys_of_maps(expression[key].get("value"))
                found += [MarkTest(word, mask, None) for word, mask in _read_in(asked)]
    return tuple(found)


def _of_match(match: Mapping[str, Any]) -> Iterator[MarkTest]:
    left, right, relation = match.get("left"), match.get("right"), match.get("op", "==")
    read = mark_read(left)
    if read is None:
        for word, mask in _read_in(left):
            yield MarkTest(word, mask, None)
        return
    word, mask = read
    if not isinstance(right, int):
        yield MarkTest(word, mask, None, negated=relation == "!=")
    elif relation in ("==", "!="):
        yield MarkTest(word, mask, right, negated=relation == "!=")
    elif relation == "in":
        # one of these bits is set: the test is that not all of them are 0
        yield MarkTest(word, mask & right, 0, negated=True)
    else:
        yield MarkTest(word, mask, None)


def _read_in(part: Any) -> Iterator[tuple[Word, int]]:  # noqa: ANN401 - JSON
    """The marks that an expression asks for anywhere, in a concatenation or a fib lookup."""
    read = mark_read(part)
    if read is not None:
        yield read
    elif isinstance(part, Mapping):
        fib = part.get("fib")
        if isinstance(fib, Mapping):
            if "mark" in fib.get("flags", ()):
                yield Word.PACKET, MAX_MARK
            return
        for value in part.values():
            yield from _read_in(value)
    elif isinstance(part, list | tuple):
        for one in part:
            yield from _read_in(one)


def _keys_of_maps(part: Any) -> Any:  # noqa: ANN401 - JSON
    """What is looked up in the maps of a value: that is a condition, not a copy."""
    if isinstance(part, Mapping):
        if isinstance(part.get("map"), Mapping):
            return part["map"].get("key")
        return [_keys_of_maps(value) for value in part.values()]
    if isinstance(part, list | tuple):
        return [_keys_of_maps(one) for one in part]
    return None


def _effects(rule: NftRule) -> tuple[MarkEffect, ...]:
    found: list[MarkEffect] = []
    for extension in rule.extensions:
        if not isinstance(extension, MarkMatch | ConnmarkMatch):
            found += effects_of(extension, {})
    for expression in rule.expressions:
        if not isinstance(expression, Mapping):
            continue
        mangle = expression.get("mangle")
        if isinstance(mangle, Mapping):
            written = mark_read(mangle.get("key"))
            if written is not None:
                found.append(effect_of(written[0], mangle.get("value")))
        if not rule.extensions:
            found += _of_extension(expression.get("xt"))
        if "queue" in expression:
            why = "whatever the program behind queue says"
            found.append(MarkEffect.any_value(Word.PACKET, MAX_MARK, why))
    return tuple(found)


def _of_extension(extension: Any) -> Iterator[MarkEffect]:  # noqa: ANN401 - JSON
    """A target of iptables, ebtables or arptables, whose values nft does not show."""
    if isinstance(extension, Mapping) and extension.get("type") == "target":
        word = _TARGETS.get(str(extension.get("name")))
        if word is not None:
            yield MarkEffect.any_value(word, MAX_MARK, "nft does not show what this target sets")


def _ending(rule: NftRule) -> Ending:
    for expression in rule.expressions:
        for word, ending in _ENDINGS.items():
            if word in expression:
                return ending
    return Ending.GOES_ON
