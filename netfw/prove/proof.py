"""The proof that compiled rules say what the policy says, for every packet there can be."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from netfw.ir.mark_field import MarkField
from netfw.ir.names import Family, TableName
from netfw.ir.ruleset import Ruleset
from netfw.ir.target import Drop, Reject
from netfw.policy.model import Endpoint, Policy
from netfw.prove.chains import all_rules, named_mark_bits
from netfw.prove.interfaces import Interfaces, patterns_of_policy, patterns_of_ruleset
from netfw.prove.packet_of import Example, example_of
from netfw.prove.path import PathKind, Paths
from netfw.prove.policy_sets import Meaning, PolicySets
from netfw.prove.space import Bdd, Field, Space, bits_of, mark_bit
from netfw.prove.summary import AcceptedBy, Effect, LogEffect, Summary, TranslatedBy


@dataclass(frozen=True, slots=True)
class Difference:
    """Packets of which rules and policy say different things, and one of them.

    ``wanted`` is what the policy says, ``found`` what the rules do.
    """

    family: Family
    kind: PathKind
    wanted: str
    found: str
    example: Example
    exponent: float
    """How many such packets there are, as a power of two."""


@dataclass(frozen=True, slots=True)
class PathSize:
    """Packets on a path between two endpoints (None: this host, or an undeclared interface).

    Sizes are powers of two; ``nodes`` is the size of the diagram of the accepted set.
    """

    kind: PathKind
    came_by: str
    leaves_by: str
    allowed: float
    denied: float
    not_covered: float


@dataclass(slots=True)
class FamilyProof:
    """What the proof of one family found. Times are seconds of wall clock."""

    family: Family
    rules: int
    differences: list[Difference] = field(default_factory=list)
    paths: list[PathSize] = field(default_factory=list)
    nodes: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Proof:
    """The result for all families."""

    families: list[FamilyProof]

    @property
    def holds(self) -> bool:
        """Whether rules and policy agree on every packet."""
        return not any(proof.differences for proof in self.families)


def prove(policy: Policy, rulesets: Mapping[Family, Ruleset], *, sizes: bool = True) -> Proof:
    """Compare a policy with rules for it, read from their text, on every path.

    With ``sizes`` the sets between endpoints are counted too.
    """
    return Proof([_prove_family(policy, ruleset, sizes) for ruleset in rulesets.values()])


def space_for(policy: Policy, ruleset: Ruleset) -> Space:
    """A space in which both can be said."""
    mark, connmark = named_mark_bits(all_rules(ruleset))
    patterns = patterns_of_ruleset(ruleset) | patterns_of_policy(policy)
    return Space(ruleset.family, Interfaces(patterns), mark | policy.field.mask, connmark)


def _prove_family(policy: Policy, ruleset: Ruleset, sizes: bool) -> FamilyProof:
    start = time.perf_counter()
    space = space_for(policy, ruleset)
    paths, sets = Paths(space, ruleset), PolicySets(space, policy)
    proof = FamilyProof(ruleset.family, ruleset.rule_count)
    for kind in PathKind:
        answer, meaning = paths.answer(kind), sets.meaning(kind)
        comparison = _Comparison(space, sets, policy.field, kind, paths.domain(kind))
        proof.differences += comparison.differences(answer, meaning)
        proof.nodes += len(comparison.accepted(answer))
        if sizes:
            proof.paths += _sizes(space, sets, kind, comparison.domain, meaning)
    proof.seconds = time.perf_counter() - start
    return proof


class _Comparison:
    """One path, asked both ways."""

    def __init__(
        self, space: Space, sets: PolicySets, bits: MarkField, kind: PathKind, domain: Bdd
    ) -> None:
        self.space = space
        self.sets = sets
        self.bits = bits
        self.kind = kind
        self.domain = domain

    def accepted(self, answer: Summary) -> Bdd:
        """Packets that a rule of the filter table lets through."""
        hook = self.kind.hooks[0 if self.kind is PathKind.OUT else 1]
        return answer.effects.get(AcceptedBy(hook, TableName.FILTER), self.space.false)

    def differences(self, answer: Summary, meaning: Meaning) -> list[Difference]:
        """All kinds of difference, verdicts first, the dangerous ones before the others."""
        found = list(self._of_verdicts(answer, meaning))
        if not found:
            found += self._of_effects(answer, meaning)
            found += self._of_marks(answer, meaning)
        return found

    def _of_verdicts(self, answer: Summary, meaning: Meaning) -> Iterator[Difference]:
        space = self.space
        gone = answer.leaves(space)
        let_through = self.accepted(answer) & ~gone
        wanted = {
            "allowed": meaning.allowed,
            "denied": meaning.denied,
            **{
                f"rejected with {_kind(target)}": those
                for target, those in meaning.rejected.items()
            },
        }
        decided = space.any_of(wanted.values())
        wanted["not covered"] = ~decided
        found = {"allowed": let_through, "not covered": ~gone & ~let_through}
        for way, those in answer.exits.items():
            match way.target:
                case None | Drop():
                    name = "denied"
                case Reject(kind):
                    name = f"rejected with {kind}"
                case target:
                    name = f"handed to {type(target).__name__}"
            found[name] = found.get(name, space.false) | those
        for want, those in wanted.items():
            others = [name for name in found if name != want]
            # what is let through against the policy matters most
            for name in sorted(others, key=lambda name: (name != "allowed", name)):
                yield from self._difference(those & found[name], want, name)

    def _of_effects(self, answer: Summary, meaning: Meaning) -> Iterator[Difference]:
        space = self.space
        found = {
            what: those
            for what, those in answer.effects.items()
            if not isinstance(what, AcceptedBy)
        }
        gone = answer.leaves(space)
        for what in dict.fromkeys([*meaning.effects, *found]):
            want = meaning.effects.get(what, space.false)
            have = found.get(what, space.false)
            if isinstance(what, TranslatedBy):
                # the translation of a packet that goes no further shows nowhere
                want, have = want & ~gone, have & ~gone
            name = _effect_text(what)
            yield from self._difference(want & ~have, name, f"no {name}")
            yield from self._difference(have & ~want, f"no {name}", name)

    def _of_marks(self, answer: Summary, meaning: Meaning) -> Iterator[Difference]:
        space, bits = self.space, self.bits
        judged = space.any_of([meaning.allowed, meaning.denied, *meaning.rejected.values()])
        hosts = self.sets.at_any(Field.IN_INTERFACE, self.sets.policy.hosts)
        expected = {
            bits.accept: meaning.allowed,
            bits.checked: judged,
            bits.from_host_endpoint: hosts,
            bits.scratch: space.false,
        }
        for name in answer.writes:
            if not name.startswith("mark") or int(name[4:]) not in bits_of(bits.mask):
                where = answer.writes[name].where
                yield from self._difference(where, "no write", f"a write into {name}")
        for bit, those in expected.items():
            name = mark_bit(bit.bit_length() - 1)
            from netfw.prove.summary import value_after

            after = value_after(space, answer, name)
            yield from self._difference(those & ~after, f"mark {bit:#x}", f"mark 0/{bit:#x}")
            yield from self._difference(after & ~those, f"mark 0/{bit:#x}", f"mark {bit:#x}")

    def _difference(self, those: Bdd, wanted: str, found: str) -> Iterator[Difference]:
        those &= self.domain
        example = example_of(self.space, those)
        if example is not None:
            exponent = self.space.exponent(those)
            yield Difference(self.space.family, self.kind, wanted, found, example, exponent)


def _kind(target: object) -> str:
    return target.kind if isinstance(target, Reject) else str(target)


def _effect_text(what: Effect) -> str:
    match what:
        case TranslatedBy(hook, target):
            return f"{type(target).__name__.lower()} in {hook} {target.to}"  # type: ignore[union-attr]
        case LogEffect(target, limit):
            rate = "" if limit is None else f" at {limit.rate}/{limit.unit}"
            return f"log line '{target.prefix}'{rate}"
        case AcceptedBy():
            return str(what)


def _sizes(
    space: Space, sets: PolicySets, kind: PathKind, domain: Bdd, meaning: Meaning
) -> Iterator[PathSize]:
    """How many packets there are between endpoints; marks and oracles count as packets' own."""
    denied = space.any_of([meaning.denied, *meaning.rejected.values()])
    ends: list[Endpoint] = list(sets.policy.endpoints)
    ways: list[tuple[str, str, Bdd]] = []
    if kind is PathKind.IN:
        ways = [(end.name, "", sets.at(Field.IN_INTERFACE, end)) for end in ends]
    elif kind is PathKind.OUT:
        ways = [("", end.name, sets.at(Field.OUT_INTERFACE, end)) for end in ends]
    else:
        ways = [
            (a.name, b.name, sets.at(Field.IN_INTERFACE, a) & sets.at(Field.OUT_INTERFACE, b))
            for a in ends
            for b in ends
        ]
    for came_by, leaves_by, those in ways:
        here = those & domain
        allowed, refused = here & meaning.allowed, here & denied
        rest = here & ~meaning.allowed & ~denied
        yield PathSize(
            kind,
            came_by,
            leaves_by,
            space.exponent(allowed),
            space.exponent(refused),
            space.exponent(rest),
        )
