"""The proof that compiled rules say what the policy says, for every packet there can be."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.ir.ruleset import Ruleset
from netfw.policy.endpoint import Endpoint
from netfw.policy.model import Policy
from netfw.prove.assertions import Broken, broken_on
from netfw.prove.chains import named_mark_bits
from netfw.prove.comparison import Comparison, Difference
from netfw.prove.diagrams import within_memory
from netfw.prove.interfaces import Interfaces, patterns_of_policy, patterns_of_ruleset
from netfw.prove.meaning import Meaning
from netfw.prove.path import PathKind, Paths
from netfw.prove.policy_sets import PolicySets
from netfw.prove.space import Bdd, Field, Space
from netfw.prove.steer_sets import bits_of_policy


@dataclass(frozen=True, slots=True)
class PathSize:
    """Packets on a path between two endpoints (None: this host, or an undeclared interface).

    Sizes are powers of two: how many different headers a first packet can have, all in all, and
    of those allowed and denied. The rest is not covered.
    """

    kind: PathKind
    came_by: str
    leaves_by: str
    all: float
    allowed: float
    denied: float


@dataclass(slots=True)
class FamilyProof:
    """What the proof of one family found. Times are seconds of wall clock."""

    family: Family
    rules: int
    differences: list[Difference] = field(default_factory=list)
    paths: list[PathSize] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    """Assertions of the policy that the rules do not keep."""
    nodes: int = 0
    """The size of the accepted sets' diagrams."""
    seconds: float = 0.0


@dataclass(slots=True)
class Proof:
    """The result for all families."""

    families: list[FamilyProof]

    @property
    def holds(self) -> bool:
        """Whether rules and policy agree on every packet, and every assertion is kept."""
        return not any(proof.differences or proof.broken for proof in self.families)


@within_memory()
def prove(policy: Policy, rulesets: Mapping[Family, Ruleset], *, sizes: bool = True) -> Proof:
    """Compare a policy with rules for it, read from their text, on every path.

    With ``sizes`` the sets between endpoints are counted too.
    """
    return Proof([_prove_family(policy, ruleset, sizes) for ruleset in rulesets.values()])


def space_for(policy: Policy, ruleset: Ruleset) -> Space:
    """A space in which both can be said."""
    mark, connmark = named_mark_bits(ruleset.rules())
    patterns = patterns_of_ruleset(ruleset) | patterns_of_policy(policy)
    bits, of_connections = bits_of_policy(policy)
    mark, connmark = mark | bits, connmark | of_connections
    return Space(ruleset.family, Interfaces(patterns), mark, connmark)


def _prove_family(policy: Policy, ruleset: Ruleset, sizes: bool) -> FamilyProof:
    start = time.perf_counter()
    space = space_for(policy, ruleset)
    paths, sets = Paths(space, ruleset), PolicySets(space, policy)
    proof = FamilyProof(ruleset.family, ruleset.rule_count)
    for kind in PathKind:
        answer, meaning = paths.answer(kind), sets.meaning(kind)
        comparison = Comparison(space, sets, policy.field, kind, paths.domain(kind))
        proof.differences += comparison.differences(answer, meaning)
        proof.broken += broken_on(sets, policy.assertions, kind, comparison.done(answer))
        proof.nodes += len(comparison.accepted(answer))
        if sizes:
            proof.paths += _sizes(space, sets, kind, comparison.domain, meaning)
    proof.seconds = time.perf_counter() - start
    return proof


def _sizes(
    space: Space, sets: PolicySets, kind: PathKind, domain: Bdd, meaning: Meaning
) -> Iterator[PathSize]:
    """How many kinds of header a first packet can have between endpoints, and what becomes of
    them."""
    denied = space.any_of([meaning.denied, *meaning.rejected.values()])
    here = domain & _first_packets(space)
    allowed, refused = here & meaning.allowed, here & denied
    for came_by, leaves_by, those in _ways(sets, kind):
        yield PathSize(
            kind,
            came_by,
            leaves_by,
            space.exponent(those & here),
            space.exponent(those & allowed),
            space.exponent(those & refused),
        )


def _ways(sets: PolicySets, kind: PathKind) -> Iterator[tuple[str, str, Bdd]]:
    at = sets.conditions.at
    ends: tuple[Endpoint, ...] = sets.policy.endpoints
    if kind is PathKind.IN:
        yield from ((end.name, "", at(Field.IN_INTERFACE, end)) for end in ends)
    elif kind is PathKind.OUT:
        yield from (("", end.name, at(Field.OUT_INTERFACE, end)) for end in ends)
    else:
        for a in ends:
            for b in ends:
                those = at(Field.IN_INTERFACE, a) & sets.conditions.at(Field.OUT_INTERFACE, b)
                yield a.name, b.name, those


def _first_packets(space: Space) -> Bdd:
    """First packets of connections, with one value for whatever is not in their headers."""
    found = space.in_state(ConnectionState.NEW)
    for name in (*space.state_variables, *space.oracle_names):
        found &= ~space.variable(name)
    return found & ~space.flag(Field.FRAGMENT)
