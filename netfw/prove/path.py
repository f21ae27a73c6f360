"""A path through the host as one summary: table after table, with translation in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from netfw.ir.match import ConnectionState
from netfw.ir.names import ChainPolicy, Family, Hook, TableName
from netfw.ir.protocols import ICMP, ICMPV6
from netfw.ir.ruleset import Ruleset, Table
from netfw.ir.target import Accept
from netfw.prove.chains import Chains
from netfw.prove.condition import Spot
from netfw.prove.space import NOTRACK, Bdd, Field, Space
from netfw.prove.summary import (
    NOTHING,
    RETURN,
    AcceptedBy,
    Leave,
    Summary,
    TranslatedBy,
    after,
    append,
    either,
    guard,
    then,
)
from netfw.prove.translation import Translation, translation
from netfw.traverse.connection import ICMP_ERRORS, ICMP_NEW, ICMPV6_NEVER_TRACKED
from netfw.traverse.hooks import hook_entries
from netfw.traverse.walk import needs_conntrack


class PathKind(Enum):
    """The ways through one host. What it sends to itself goes the way out and then the way in."""

    IN = "in"
    OUT = "out"
    FORWARD = "forward"

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """The hooks that are passed, in order."""
        return _HOOKS[self]


_HOOKS = {
    PathKind.IN: (Hook.PREROUTING, Hook.INPUT),
    PathKind.OUT: (Hook.OUTPUT, Hook.POSTROUTING),
    PathKind.FORWARD: (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING),
}


@dataclass(frozen=True, slots=True)
class Stop:
    """A table at a hook on a path."""

    hook: Hook
    table: Table

    @property
    def spot(self) -> Spot:
        """What rules can see here."""
        return Spot.of(self.hook, self.table.name)


def stops(ruleset: Ruleset, kind: PathKind) -> Iterator[Stop]:
    """The tables of a path in the order in which the kernel asks them."""
    with_nat = needs_conntrack(ruleset)
    for hook in kind.hooks:
        for entry in hook_entries(hook):
            if not isinstance(entry.what, TableName):
                continue
            if entry.what is TableName.NAT and not with_nat:
                # without connection tracking no packet enters nat (nf_nat_inet_fn)
                continue
            table = ruleset.table(entry.what)
            if table is not None and table.builtin(hook) is not None:
                yield Stop(hook, table)


class Paths:
    """A ruleset's answers for whole paths."""

    def __init__(self, space: Space, ruleset: Ruleset) -> None:
        self.space = space
        self.ruleset = ruleset
        self.chains = Chains(space, ruleset)
        self._answers: dict[PathKind, Summary] = {}

    def answer(self, kind: PathKind) -> Summary:
        """What becomes of every packet that arrives on a path.

        Exits are drops and the like; who takes none is delivered or sent. A packet is described as
        it arrives; for packets of connections that exist already, which nat does not look at
        again, with the addresses that the connection gives them.
        """
        found = self._answers.get(kind)
        if found is None:
            found = NOTHING
            for stop in reversed(list(stops(self.ruleset, kind))):
                found = self._before(stop, found)
            found = self._answers[kind] = self._with_entry(found)
        return found

    def domain(self, kind: PathKind) -> Bdd:
        """The packets that can be on a path at all."""
        space = self.space
        names = [name for name in space.interfaces.names if name]
        comes_in = space.interface(Field.IN_INTERFACE, names)
        goes_out = space.interface(Field.OUT_INTERFACE, names)
        if kind is PathKind.OUT:
            comes_in = space.no_interface(Field.IN_INTERFACE)
        elif kind is PathKind.IN:
            goes_out = space.no_interface(Field.OUT_INTERFACE)
        found = comes_in & goes_out & possible(space)
        if needs_conntrack(self.ruleset):
            # defragmentation comes before the first table
            found &= ~space.flag(Field.FRAGMENT)
        return found

    def at_stop(self, stop: Stop) -> Summary:
        """A built-in chain with its policy: who is let through goes on behind it."""
        chain = self.chains.summary(stop.table, stop.hook.value, stop.spot)
        return close(self.space, chain, stop)

    def _before(self, stop: Stop, rest: Summary) -> Summary:
        piece = self.at_stop(stop)
        if stop.table.name is TableName.NAT:
            return self._translating(stop, piece, rest)
        return then(self.space, piece, rest)

    def _translating(self, stop: Stop, piece: Summary, rest: Summary) -> Summary:
        """Only what begins a connection is asked; whom a rule translates goes on changed."""
        space = self.space
        asked = is_asked_by_nat(space)
        piece = guard(space, asked, piece, frozenset({NOTRACK}))
        translations = {
            way.target: those
            for way, those in piece.exits.items()
            if isinstance(way.target, Translation)
        }
        if not translations:
            return then(space, piece, rest)
        others = {
            way: those
            for way, those in piece.exits.items()
            if not isinstance(way.target, Translation)
        }
        unchanged = space.true
        effects = dict(piece.effects)
        ways = []
        for target, those in translations.items():
            unchanged &= ~those
            effects[TranslatedBy(stop.hook, target)] = those
            changed = substitute_all(space, rest, translation(space, stop.hook, target))
            ways.append((those, after(space, piece, changed)))
        ways.append((unchanged, after(space, piece, rest)))
        return append(space, replace(piece, exits=others, effects=effects), either(space, ways))

    def _with_entry(self, answer: Summary) -> Summary:
        """Nobody has switched tracking off for a packet that arrives."""
        return substitute_all(self.space, answer, {NOTRACK: False})


def close(space: Space, chain: Summary, stop: Stop) -> Summary:
    """A built-in chain's summary with its policy applied and ACCEPT turned into going on."""
    builtin = stop.table.builtin(stop.hook)
    assert builtin is not None
    accept = Leave(Accept())
    exits = dict(chain.exits)
    accepted = exits.pop(accept, space.false)
    exits.pop(RETURN, None)
    effects = dict(chain.effects)
    if accepted != space.false:
        effects[AcceptedBy(stop.hook, stop.table.name)] = accepted
    if builtin.policy is ChainPolicy.DROP:
        gone = accepted
        for those in exits.values():
            gone |= those
        dropped = ~gone
        if dropped != space.false:
            by_policy = Leave(None)
            exits[by_policy] = dropped
    return replace(chain, exits=exits, effects=effects)


def is_asked_by_nat(space: Space) -> Bdd:
    """First packets of connections."""
    return space.in_state(ConnectionState.NEW) & ~space.state_variables[NOTRACK]


def substitute_all(space: Space, of: Summary, replacements: dict[str, Bdd | bool]) -> Summary:
    """A summary with variables replaced everywhere."""

    def moved(those: Bdd) -> Bdd:
        return space.substitute(those, replacements)

    return replace(
        of,
        exits={way: moved(those) for way, those in of.exits.items()},
        writes={
            name: replace(write, where=moved(write.where), ones=moved(write.ones))
            for name, write in of.writes.items()
        },
        effects={what: moved(those) for what, those in of.effects.items()},
    )


def possible(space: Space) -> Bdd:
    """What every packet obeys: numbers stand for something, and conntrack agrees with itself.

    A first packet has no translation yet, and what has no connection has none either.
    """
    last = len(space.interfaces.names) - 1
    found = space.between(Field.IN_INTERFACE, 0, last) & space.between(
        Field.OUT_INTERFACE, 0, last
    )
    found &= space.between(Field.STATE, 0, 4)
    known = space.in_state(ConnectionState.ESTABLISHED, ConnectionState.RELATED)
    plain = ~space.flag(Field.DNAT) & ~space.flag(Field.SNAT) & ~space.flag(Field.REPLY)
    return found & (known | plain) & _possible_icmp(space)


def _possible_icmp(space: Space) -> Bdd:
    """Which states ICMP can have: errors are related or invalid, few types begin a connection,
    and neighbour discovery is never tracked (nf_conntrack_proto_icmp.c and …_icmpv6.c)."""
    protocol = ICMP if space.family is Family.IPV4 else ICMPV6

    def of_type(types: Iterable[int]) -> Bdd:
        return space.any_of(space.equal(Field.ICMP_TYPE, kind) for kind in types)

    new = space.in_state(ConnectionState.NEW)
    related = space.in_state(ConnectionState.RELATED)
    established = space.in_state(ConnectionState.ESTABLISHED)
    errors = of_type(ICMP_ERRORS[protocol])
    found = (~new | of_type(ICMP_NEW[protocol])) & (~established | ~errors)
    if protocol == ICMPV6:
        # one with a wrong checksum is invalid
        apart = space.in_state(ConnectionState.UNTRACKED, ConnectionState.INVALID)
        found &= ~of_type(ICMPV6_NEVER_TRACKED) | apart
    else:
        found &= errors | ~related
    return found | ~space.equal(Field.PROTOCOL, protocol)
