"""What a rule of the policy looks like in iptables: terms, exceptions, and what is asked last.

A packet is meant where it matches one of the terms, none of the exceptions, and all of ``last``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from netfw.compiler.criterion_matches import alternatives
from netfw.compiler.term import (
    ANY_PAIR,
    InterfacePair,
    Term,
    expand_nets,
    expand_traffic,
    interface_matches,
    negate_traffic,
)
from netfw.ir.match import AddressMatch, Match, Side
from netfw.ir.net import Net
from netfw.policy.conditions import Conditions


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
        return bool(self.exceptions) or (bool(self.last) and len(self.terms) > 1)


def shape_of(conditions: Conditions, pairs: Sequence[InterfacePair] = ANY_PAIR) -> Shape:
    """The shape of a rule with these conditions, for packets that pass one of the pairs."""
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
    interfaces = tuple(map(interface_matches, pairs))
    further = product(*(alternatives(extra) for extra in conditions.extras))
    terms = tuple(
        (*source, *destination, *ways, *kind, *(match for part in extras for match in part))
        for source, destination, ways, kind, extras in product(
            sources, destinations, interfaces, kinds, further
        )
    )
    return Shape(terms, tuple(exceptions))


def _ends(
    side: Side, nets: tuple[Net, ...], but: tuple[Net, ...], exceptions: list[Term]
) -> tuple[Term, ...]:
    """Alternatives for one end. A single net that is not meant needs no exception: ``! -s``."""
    positive = expand_nets(side, nets)
    if len(but) == 1 and positive == ((),):
        return ((AddressMatch(side, but[0], negate=True),),)
    exceptions += [(AddressMatch(side, net),) for net in but]
    return positive
