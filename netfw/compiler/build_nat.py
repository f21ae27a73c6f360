"""nat: new destinations for what arrives or is sent, new sources for what leaves."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.late_rule import check_size
from netfw.compiler.shape import shape_of
from netfw.compiler.term import InterfacePair
from netfw.ir.match import ConnectionState, ConntrackMatch
from netfw.ir.names import OWN_CHAIN_PREFIX, Hook, TableName
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import (
    Accept,
    Dnat,
    Jump,
    Masquerade,
    NatRange,
    Netmap,
    Redirect,
    Return,
    Snat,
    Target,
)
from netfw.policy.endpoint import Endpoint
from netfw.policy.new_end import Given, Moved, NewEnd, Own
from netfw.policy.translation import Point, Translation, Turn, turns_at

_HOOKS = {
    Point.ARRIVING: Hook.PREROUTING,
    Point.SENDING: Hook.OUTPUT,
    Point.LEAVING: Hook.POSTROUTING,
}


def build_nat(draft: Draft) -> Draft:
    """Make NETFW-PREROUTING, NETFW-OUTPUT and NETFW-POSTROUTING, those of them that have work."""
    for point, hook in _HOOKS.items():
        extra: list[Chain] = []
        rules = [
            rule
            for translation, turn in turns_at(draft.policy.translations, point)
            for rule in _compile(draft, translation, turn, extra)
        ]
        if rules:
            chain = Chain(OWN_CHAIN_PREFIX + hook.value, tuple(rules))
            draft = draft.with_chains(TableName.NAT, chain, *extra)
    return draft


def _compile(
    draft: Draft, translation: Translation, turn: Turn, extra: list[Chain]
) -> Iterator[Rule]:
    """The rules of an entry at a point. One with exceptions gets a chain of its own in ``extra``:
    who is none of them is translated there, and that ends the table."""
    conditions = turn.conditions(draft.family)
    if conditions is None:
        return
    shape = shape_of(conditions, draft.family, translation.origin.identity, _pairs(turn))
    check_size(translation.origin, len(shape.terms) + len(shape.exceptions))
    origin, target = translation.origin, _target(turn)
    last = (*shape.last, *_redirected(turn))
    if not shape.needs_chain:
        for term in shape.terms:
            yield make_rule(origin, target, *term, *last)
        return
    name = chain_name.chain_of_turn(origin.identity, turn.point)
    back = [make_rule(origin, Return(), *term) for term in shape.exceptions]
    extra.append(Chain(name, (*back, make_rule(origin, target, *last))))
    for term in shape.terms:
        yield make_rule(origin, Jump(name), *term)


def _redirected(turn: Turn) -> tuple[ConntrackMatch, ...]:
    if not turn.of_redirected:
        return ()
    return (ConntrackMatch(frozenset({ConnectionState.DNAT})),)


def _pairs(turn: Turn) -> list[InterfacePair]:
    """``-i`` in a chain that POSTROUTING calls: iptables takes it there (it refuses it in the
    built-in chain only), and Linux fills it in since 5.7 (ip_output in net/ipv4/ip_output.c)."""
    return [
        (way_in, way_out)
        for way_in in _interfaces(turn.inputs)
        for way_out in _interfaces(turn.outs)
    ]


def _interfaces(endpoints: tuple[Endpoint, ...] | None) -> list[str | None]:
    if endpoints is None:
        return [None]
    return [name for endpoint in endpoints for name in endpoint.interfaces]


def _target(turn: Turn) -> Target:
    """What translates so; what shall stay as it is is accepted, so that nobody translates it."""
    new = turn.new
    if new is None:
        return Accept()
    if isinstance(new, Moved):
        return Netmap(new.net)
    to = _range(new)
    if turn.point is Point.LEAVING:
        return Masquerade(to) if isinstance(new, Own) else Snat(to)
    return Redirect(to) if isinstance(new, Own) else Dnat(to)


def _range(new: NewEnd) -> NatRange:
    assert not isinstance(new, Moved)
    flags = ["--random"] if new.is_random else []
    addresses = None
    if isinstance(new, Given):
        addresses = (new.first, new.last)
        flags += ["--persistent"] if new.is_lasting else []
    ports = new.ports
    return NatRange(
        addresses,
        None if ports is None else (ports.span.first, ports.span.last),
        tuple(flags),
        None if ports is None else ports.base,
    )
