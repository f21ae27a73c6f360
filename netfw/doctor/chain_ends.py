"""The rules that end their base chain, found by the packets that they may share with another.

A host may have thousands of them beside thousands of rules that mark; those for one address, or
one interface, are only looked at beside rules that may see it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from netfw.doctor.any_of import Condition
from netfw.doctor.asked import conditions_of
from netfw.doctor.host_state import HeldRules, HostState
from netfw.doctor.iptables_uses import spot_of
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.nft_conditions import conditions
from netfw.doctor.nft_uses import nft_reach, nft_spot
from netfw.doctor.place import Passage, Spot, System
from netfw.doctor.reach import Entry, Path
from netfw.ir.match import AddressMatch, CommentMatch, InterfaceMatch, Side, Way
from netfw.ir.names import TableName
from netfw.ir.ruleset import Chain
from netfw.ir.target import Accept, Drop, Nfqueue, Reject

_TARGETS = {Accept: "accepts", Drop: "drops", Reject: "rejects", Nfqueue: "queues"}
_STATEMENTS = {"accept": "accepts", "drop": "drops", "reject": "rejects", "queue": "queues"}
_Number = int
"""Which of the endings of a base chain, in their order."""


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """A rule that ends its base chain: when packets come by, and for which.

    ``does`` is what it does (accepts, drops, rejects, queues); ``marks`` says that it gives its
    packets a mark of its own first, as rules of nftables can.
    """

    passages: tuple[Passage, ...]
    matches: tuple[Condition, ...]
    does: str
    find_spot: Callable[[], Spot]
    marks: bool = False

    @property
    def spot(self) -> Spot:
        """The rule; writing it out takes time, so it is done when asked for."""
        return self.find_spot()


class Endings:
    """All rules of a host that end a base chain in which marks are set."""

    def __init__(self, state: HostState) -> None:
        by_base: dict[str, list[tuple[Path, ChainEnd]]] = {}
        for each in (*_of_iptables(state), *_of_nftables(state)):
            for base in dict.fromkeys(where.base for where in each.passages):
                last = max(where.last for where in each.passages if where.base == base)
                by_base.setdefault(base, []).append((last, each))
        self._by_base = {base: _Ordered.of(found) for base, found in by_base.items()}

    def before(self, use: MarkUse) -> Iterator[ChainEnd]:
        """Those that may stand before a use and meet a packet of it, in the order of the chain."""
        asked = conditions_of(use)
        for base in dict.fromkeys(where.base for where in use.passages):
            known = self._by_base.get(base)
            if known is not None:
                first = max(where.first for where in use.passages if where.base == base)
                yield from known.before(first, asked)


@dataclass(frozen=True, slots=True)
class _Nets:
    """Endings by a network of theirs, so that those that overlap another one are found."""

    by_mask: dict[int, tuple[list[int], dict[int, list[_Number]]]]

    @classmethod
    def of(cls, found: Iterable[tuple[AddressMatch, _Number]]) -> _Nets:
        by_mask: dict[int, dict[int, list[_Number]]] = {}
        for match, number in found:
            of_mask = by_mask.setdefault(match.net.mask, {})
            of_mask.setdefault(match.net.address, []).append(number)
        return cls({mask: (sorted(known), known) for mask, known in by_mask.items()})

    def overlapping(self, match: AddressMatch | None) -> Iterator[_Number]:
        """Those whose network shares an address with another one; all, where there is none."""
        for mask, (addresses, known) in self.by_mask.items():
            if match is None:
                wanted = addresses
            elif mask & match.net.mask == mask:
                # the wider one: it is where the other's address lies
                wanted = [match.net.address & mask]
            else:
                # the narrower ones inside
                last = match.net.address | ~match.net.mask & ((1 << match.net.family.bits) - 1)
                start = bisect_left(addresses, match.net.address)
                wanted = addresses[start : bisect_right(addresses, last)]
            for address in wanted:
                yield from known.get(address, ())


@dataclass(frozen=True)
class _Ordered:
    """The endings of one base chain, in the order in which packets meet them."""

    ends: tuple[ChainEnd, ...]
    lasts: tuple[Path, ...]
    sources: _Nets
    destinations: _Nets
    by_interface: dict[str, list[_Number]] = field(default_factory=dict)
    others: tuple[_Number, ...] = ()

    @classmethod
    def of(cls, found: list[tuple[Path, ChainEnd]]) -> _Ordered:
        ordered = sorted(found, key=lambda one: one[0])
        sources, destinations, others = [], [], []
        by_interface: dict[str, list[_Number]] = {}
        for number, (_, end) in enumerate(ordered):
            source = _net_of(end.matches, Side.SOURCE)
            destination = _net_of(end.matches, Side.DESTINATION)
            name = _interface_of(end.matches)
            if source is not None:
                sources.append((source, number))
            elif destination is not None:
                destinations.append((destination, number))
            elif name:
                by_interface.setdefault(name, []).append(number)
            else:
                others.append(number)
        return cls(
            tuple(end for _, end in ordered),
            tuple(last for last, _ in ordered),
            _Nets.of(sources),
            _Nets.of(destinations),
            by_interface,
            tuple(others),
        )

    def before(self, first: Path, asked: tuple[Condition, ...]) -> Iterator[ChainEnd]:
        until = bisect_left(self.lasts, first)
        if not until:
            return
        found = [*self.others]
        found += self.sources.overlapping(_net_of(asked, Side.SOURCE))
        found += self.destinations.overlapping(_net_of(asked, Side.DESTINATION))
        name = _interface_of(asked)
        if name:
            found += self.by_interface.get(name, ())
        else:
            for numbers in self.by_interface.values():
                found += numbers
        for number in sorted(number for number in found if number < until):
            yield self.ends[number]


def _net_of(matches: Iterable[Condition], side: Side) -> AddressMatch | None:
    """The network that a rule asks for on one side, where its mask leaves no gaps."""
    for one in matches:
        if isinstance(one, AddressMatch) and one.side is side and not one.negate and one.net.mask:
            inverted = one.net.mask ^ ((1 << one.net.family.bits) - 1)
            if not inverted & (inverted + 1):
                return one
    return None


def _interface_of(matches: Iterable[Condition]) -> str:
    """The one interface by which the packets of a rule come in; empty where there are others."""
    for one in matches:
        if isinstance(one, InterfaceMatch) and one.way is Way.IN and not one.negate:
            return "" if one.name.endswith("+") else one.name
    return ""


def _of_iptables(state: HostState) -> Iterator[ChainEnd]:
    marking = {
        (use.spot.system, use.spot.family, use.spot.table)
        for use in state.kinds_of_writers(Word.PACKET)
    }
    for held in state.rules:
        system = System.of_backend(held.backend)
        for table in held.ruleset.tables:
            if (system, held.family, table.name.value) in marking:
                for chain in table.chains:
                    entries = held.reach.entries(table.name, chain.name)
                    if entries:
                        yield from _of_chain(held, table.name, chain, entries)


def _of_chain(
    held: HeldRules, table: TableName, chain: Chain, entries: tuple[Entry, ...]
) -> Iterator[ChainEnd]:
    for number, rule in enumerate(chain.rules, start=1):
        does = _TARGETS.get(type(rule.target))
        if does is not None:
            yield ChainEnd(
                tuple(entry.passage(number) for entry in entries),
                tuple(
                    one
                    for one in (*rule.matches, *entries[0].calls)
                    if not isinstance(one, CommentMatch)
                ),
                does,
                partial(spot_of, held, table, chain.name, number),
            )


def _of_nftables(state: HostState) -> Iterator[ChainEnd]:
    marking = {use.spot.table for use in state.kinds_of_writers(Word.PACKET)}
    for table in state.tables:
        if f"{table.family} {table.name}" not in marking:
            continue
        reach = nft_reach(table)
        for chain in table.chains:
            entries = reach.get(chain.name, ())
            if not entries:
                continue
            for number, rule in enumerate(chain.rules, start=1):
                words = {word for one in rule.expressions for word in one}
                does = next((_STATEMENTS[word] for word in _STATEMENTS if word in words), "")
                if does:
                    yield ChainEnd(
                        tuple(entry.passage(number) for entry in entries),
                        (*conditions(rule.expressions), *entries[0].calls),
                        does,
                        partial(nft_spot, table, chain, number),
                        marks="mangle" in words,
                    )
