"""What of a wish a host has not shown to take yet: that alone has to be tried out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from netfw.ir.ipset import IpSet, PartKind
from netfw.ir.names import OWN_CHAIN_PREFIX
from netfw.plan.own import Own, OwnTable
from netfw.plan.set_text import base_of, member_of, rename_sets, sets_named

_GOES_TO = re.compile(rf" -[jg] ({re.escape(OWN_CHAIN_PREFIX)}\S+)$")


def novelty(wanted: Own, now: Own) -> Own:
    """The part of ``wanted`` to load into an empty namespace, to know that a host that holds
    ``now`` takes all of it.

    Of a table, all chains with the rules that it does not hold now or that ask a set with other
    members; and for each two chains a rule that leads from one to the other, since the kernel
    refuses circles and chains that lie too deep. Sets have the members alone that are new.
    """
    names = {name: base_of(name) for name in now.sets}
    installed = {names[name]: ipset for name, ipset in now.sets.items()}
    sets = {name: _new_part(ipset, installed.get(name)) for name, ipset in wanted.sets.items()}
    changed = {
        name
        for name, ipset in sets.items()
        if ipset.members or name not in installed or ipset.parts == (PartKind.SET,)
    }
    tables = {}
    for place, table in wanted.tables.items():
        held = now.tables.get(place, OwnTable())
        known = frozenset(rename_sets(text, names) for text in _texts(held))
        sieve = _Sieve(known, changed)
        kept = OwnTable(sieve.of(table.chains), sieve.of(table.calls))
        if sieve.has_found:
            tables[place] = kept
    asked = {
        name for table in tables.values() for text in _texts(table) for name in sets_named(text)
    }
    if any(sets[name].parts == (PartKind.SET,) for name in asked & sets.keys()):
        # a list is not taken without the sets that it names
        asked = set(sets)
    return Own(tables, {name: ipset for name, ipset in sets.items() if name in asked})


@dataclass(slots=True)
class _Sieve:
    """Keeps rules of one table that are not known there, or that ask a set that changes."""

    known: frozenset[str]
    changed: set[str]
    has_found: bool = False

    def of(self, rules: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {chain: tuple(self._kept(texts)) for chain, texts in rules.items()}

    def _kept(self, texts: tuple[str, ...]) -> Iterator[str]:
        led: set[str] = set()
        for text in texts:
            is_new = text not in self.known or (
                "--match-set" in text and not self.changed.isdisjoint(sets_named(text))
            )
            way = _GOES_TO.search(text)
            if is_new or (way is not None and way[1] not in led):
                self.has_found |= is_new
                yield text
                if way is not None:
                    led.add(way[1])


def _texts(table: OwnTable) -> Iterator[str]:
    for rules in (table.chains, table.calls):
        for texts in rules.values():
            yield from texts


def _new_part(wanted: IpSet, installed: IpSet | None) -> IpSet:
    if installed is None or wanted.parts == (PartKind.SET,):
        return wanted
    known = set(map(member_of, installed.members))
    members = tuple(one for one in wanted.members if member_of(one) not in known)
    return replace(wanted, members=members)
