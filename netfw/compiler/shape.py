"""What a rule of the policy looks like in iptables: terms, exceptions, and what is asked last.

A packet is meant where it matches one of the terms, none of the exceptions, and all of ``last``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from netfw.compiler.criterion_matches import alternatives, counting
from netfw.compiler.criterion_matches import exceptions as exceptions_of
from netfw.compiler.term import (
    ANY_PAIR,
    InterfacePair,
    Term,
    expand_nets,
    expand_traffic,
    interface_matches,
    negate_traffic,
)
from netfw.ir.match import AddressMatch, ConnlimitMatch, InterfaceMatch, Match, Side, TcpMatch, Way
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.policy.conditions import Conditions
from netfw.policy.passage import Passage


@dataclass(frozen=True, slots=True)
class Shape:
    """See the module. Without exceptions, a term and ``last`` make a rule."""

    terms: tuple[Term, ...]
    exceptions: tuple[Term, ...] = ()
    last: tuple[Match, ...] = ()

    @property
    def needs_chain(self) -> bool:
        """Whether plain rules cannot say it: exceptions have to come between, and what counts
        packets must see each of them once."""
        if any(isinstance(match, ConnlimitMatch) for match in self.last):
            # each match keeps its own list of connections, so that there must be one of it
            return True
        return bool(self.exceptions) or (bool(self.last) and len(self.terms) > 1)


def shape_of(
    conditions: Conditions,
    family: Family,
    identity: str,
    pairs: Sequence[InterfacePair] = ANY_PAIR,
) -> Shape:
    """The shape of a rule with these conditions, for packets that pass one of the pairs;
    ``identity`` is what counters are known by."""
    exceptions: list[Term] = []
    sources = _ends(Side.SOURCE, conditions.sources, conditions.not_sources, exceptions)
    destinations = _ends(
        Side.DESTINATION, conditions.destinations, conditions.not_destinations, exceptions
    )
    kinds = expand_traffic(conditions.traffic)
    if conditions.not_traffic:
        inline = negate_traffic(conditions.traffic, conditions.not_traffic)
        if inline is None:
            exceptions += expand_traffic(conditions.not_traffic)
        else:
            kinds = (inline,)
    interfaces: list[Term] = [
        interface_matches(pair) for pair in _join_passages(conditions, pairs)
    ]
    for extra in conditions.extras:
        if isinstance(extra, Passage) and extra.negate:
            interfaces = _except_passage(extra, interfaces, exceptions)
        exceptions += exceptions_of(extra)
    further = product(*(alternatives(extra) for extra in conditions.extras))
    terms = tuple(
        (*source, *destination, *ways, *_one_tcp_match(kind, [m for part in extras for m in part]))
        for source, destination, ways, kind, extras in product(
            sources, destinations, interfaces, kinds, further
        )
    )
    last = (match for extra in conditions.extras for match in counting(extra, family, identity))
    return Shape(terms, tuple(exceptions), tuple(last))


def _one_tcp_match(kind: Term, further: Sequence[Match]) -> Term:
    """Both, where one match asks for ports and flags of TCP."""
    asks_flags = next((match for match in further if isinstance(match, TcpMatch)), None)
    asks_ports = next((match for match in kind if isinstance(match, TcpMatch)), None)
    if asks_flags is None or asks_ports is None:
        return (*kind, *further)
    both = replace(asks_ports, flags=asks_flags.flags)
    return (
        *(both if match is asks_ports else match for match in kind),
        *(match for match in further if match is not asks_flags),
    )


def _join_passages(
    conditions: Conditions, pairs: Sequence[InterfacePair]
) -> tuple[InterfacePair, ...]:
    """The pairs, narrowed to the interfaces that ``in`` and ``out`` ask for."""
    found = tuple(pairs)
    for extra in conditions.extras:
        if not isinstance(extra, Passage) or extra.negate:
            continue
        if extra.way is Way.IN:
            found = tuple(
                (name, way_out)
                for way_in, way_out in found
                for name in _narrowed(way_in, extra.interfaces)
            )
        else:
            found = tuple(
                (way_in, name)
                for way_in, way_out in found
                for name in _narrowed(way_out, extra.interfaces)
            )
    return tuple(dict.fromkeys(found))


def _narrowed(name: str | None, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Names of interfaces that are in both, where a name may end in ``+``."""
    if name is None:
        return wanted
    both = ((name, other) for other in wanted)
    return tuple(
        narrower
        for one, other in both
        if (narrower := other if _covers(one, other) else one if _covers(other, one) else None)
        is not None
    )


def _covers(pattern: str, name: str) -> bool:
    return pattern == name or (pattern.endswith("+") and name.startswith(pattern[:-1]))


def _except_passage(
    passage: Passage, interfaces: list[Term], exceptions: list[Term]
) -> list[Term]:
    """A single interface that is not meant needs no exception where no other is named."""
    names = passage.interfaces
    free = all(
        not isinstance(match, InterfaceMatch) or match.way is not passage.way
        for ways in interfaces
        for match in ways
    )
    if len(names) == 1 and free:
        match = InterfaceMatch(passage.way, names[0], negate=True)
        is_in = passage.way is Way.IN
        return [(match, *ways) if is_in else (*ways, match) for ways in interfaces]
    exceptions += [(InterfaceMatch(passage.way, name),) for name in names]
    return interfaces


def _ends(
    side: Side, nets: tuple[Net, ...], but: tuple[Net, ...], exceptions: list[Term]
) -> tuple[Term, ...]:
    """Alternatives for one end. A single net that is not meant needs no exception: ``! -s``."""
    positive = expand_nets(side, nets)
    if len(but) == 1 and positive == ((),):
        return ((AddressMatch(side, but[0], negate=True),),)
    exceptions += [(AddressMatch(side, net),) for net in but]
    return positive
