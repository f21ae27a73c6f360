"""The order in which the tables of a family change.

Tables change one after the other, and in between a packet meets old rules in one and new ones in
another. What both the old and the new rules let through shall get through then too, and what
neither does shall not. Filter judges what others have prepared or demand:

- **Early rules** (raw, mangle but for POSTROUTING) decide before filter, which does not ask again
  what they allow. When some come, filter's own rules for the same packets may go: so filter comes
  after them. When they go, filter has to have its rules before.
- **Demands**: mangle POSTROUTING lets out what filter has marked only, and what nat has sent
  elsewhere needs a rule of filter that lets it go there. When they come, filter has to fulfil
  them before, and when they go, filter may stop to do so only afterwards.

A table of which one part has to come before filter and the other behind it changes twice. Where
packets are sent elsewhere than before, filter does: it lets them go to both places in between.
Where early rules come and go at once, no order is right for all of them; they come first then, so
that filter never relies upon a verdict that is not given yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from netfw.ir.names import Hook, TableName
from netfw.plan.own import OwnTable
from netfw.plan.table_change import TableChange
from netfw.plan.trend import Trend, chains_from, hooks_of, trend_of

_REDIRECTED = " --ctstate DNAT "
_LATE = (Hook.POSTROUTING,)
_EARLY = hooks_of(TableName.MANGLE, without=Hook.POSTROUTING)


def in_order(changes: Iterable[TableChange]) -> Iterator[TableChange]:
    """The changes of one family, as they have to be made."""
    by_table = {change.table: change for change in changes}
    if len(by_table) < 2:
        yield from by_table.values()
        return
    before: list[TableChange] = []
    behind: list[TableChange] = []
    raw = by_table.get(TableName.RAW)
    if raw is not None:
        hooks = hooks_of(TableName.RAW)
        (behind if _trend(raw, hooks) is Trend.SHRINKS else before).append(raw)
    mangle = by_table.get(TableName.MANGLE)
    if mangle is not None:
        _place_mangle(mangle, before, behind)
    nat = by_table.get(TableName.NAT)
    if nat is not None:
        _place_nat(nat, by_table, before, behind)
    yield from before
    yield from (
        by_table[name] for name in (TableName.FILTER, TableName.SECURITY) if name in by_table
    )
    # the last to prepare is the first that need not do so any longer
    yield from reversed(behind)


def _place_mangle(
    mangle: TableChange, before: list[TableChange], behind: list[TableChange]
) -> None:
    early, late = _trend(mangle, _EARLY), _trend(mangle, _LATE)
    early_is_first = early is not Trend.SHRINKS
    late_is_first = late is Trend.SHRINKS
    if early is Trend.NONE or late is Trend.NONE or early_is_first == late_is_first:
        is_first = late_is_first if early is Trend.NONE else early_is_first
        (before if is_first else behind).append(mangle)
        return
    first, second = _split(mangle, _EARLY if early_is_first else _LATE)
    before.append(first)
    behind.append(second)


def _place_nat(
    nat: TableChange,
    by_table: dict[TableName, TableChange],
    before: list[TableChange],
    behind: list[TableChange],
) -> None:
    trend = _trend(nat, hooks_of(TableName.NAT))
    filters = by_table.get(TableName.FILTER)
    if trend is Trend.TURNS and filters is not None:
        first, by_table[TableName.FILTER] = _bridged(filters)
        if first.is_needed:
            before.append(first)
    (behind if trend is Trend.GROWS else before).append(nat)


def _bridged(filters: TableChange) -> tuple[TableChange, TableChange]:
    """First to the new rules, but with the old ones too that let redirected packets go; then
    without those."""
    chains = {
        name: _with_redirected(filters.before.chains.get(name, ()), rules)
        for name, rules in filters.after.chains.items()
    }
    between = OwnTable(chains, filters.after.calls)
    return replace(filters, after=between), replace(filters, before=between)


def _with_redirected(old: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """A chain with those old rules for redirected packets that are not in it, but only where all
    stands before them that stood there: what the old rules dropped first is still dropped."""
    found = [*new]
    place = 0
    for text in old:
        if text in found:
            place = max(place, found.index(text) + 1)
        elif _REDIRECTED in text:
            found.insert(place, text)
            place += 1
        else:
            break
    return tuple(found)


def _trend(change: TableChange, hooks: Iterable[Hook]) -> Trend:
    return trend_of(change.before, change.after, hooks, change.family)


def _split(change: TableChange, hooks: Iterable[Hook]) -> tuple[TableChange, TableChange]:
    """First what packets meet at these hooks, then all the rest; what both lead to changes with
    the first."""
    first = [*hooks]
    rest = [hook for hook in hooks_of(change.table) if hook not in first]
    before, after = change.before, change.after
    between = OwnTable(
        {
            **{name: before.chains[name] for name in chains_from(before, rest)},
            **{name: after.chains[name] for name in chains_from(after, first)},
        },
        {
            **{hook.value: rules for hook in first if (rules := after.calls.get(hook.value))},
            **{hook.value: rules for hook in rest if (rules := before.calls.get(hook.value))},
        },
    )
    return replace(change, after=between), replace(change, before=between)
