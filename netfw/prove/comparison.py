"""One path, asked both ways: what the rules do and what the policy wants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netfw.ir.mark_field import MarkField
from netfw.ir.names import Family, Hook, TableName
from netfw.ir.ruleset import Rule
from netfw.ir.target import Drop, Nflog, Reject
from netfw.policy.defaults import OnAccept
from netfw.prove.meaning import Meaning
from netfw.prove.packet_of import Example, example_of
from netfw.prove.path import PathKind
from netfw.prove.policy_sets import PolicySets
from netfw.prove.space import NOTRACK, Bdd, Field, Space, bits_of, mark_bit
from netfw.prove.summary import (
    AcceptedBy,
    ChangedBy,
    Effect,
    LogEffect,
    SteeredBy,
    Summary,
    TranslatedBy,
    value_after,
)
from netfw.render.rule import render_rule


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


class Comparison:
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
        """Packets that are let through: by a rule of the filter table, or, where others shall be
        asked behind netfw, by what the mark says."""
        if self.sets.policy.defaults.on_accept is OnAccept.RETURN:
            return self._marked_accepted(answer)
        hook = self.kind.hooks[0 if self.kind is PathKind.OUT else 1]
        by_rule = answer.effects.get(AcceptedBy(hook, TableName.FILTER), self.space.false)
        if self.kind is PathKind.OUT:
            # what leaves by another interface is judged behind the filter table
            late = self.sets.judged_late | self.space.any_of(
                those
                for what, those in answer.effects.items()
                if isinstance(what, TranslatedBy) and what.hook is Hook.OUTPUT
            )
            by_rule |= late & self._marked_accepted(answer)
        return by_rule

    def _marked_accepted(self, answer: Summary) -> Bdd:
        """Packets that end up with a mark that says that they are allowed."""
        said = self.space.true
        for bit in bits_of(self.bits.verdict_mask):
            said &= value_after(self.space, answer, mark_bit(bit))
        return said

    def done(self, answer: Summary) -> Meaning:
        """What the rules do, in the policy's words."""
        stopped = answer.leaves(self.space)
        return Meaning(self.accepted(answer) & ~stopped, stopped, {})

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
        found: dict[Effect, Bdd] = {
            what: those
            for what, those in answer.effects.items()
            if not isinstance(what, AcceptedBy)
        }
        gone = answer.leaves(space)
        for what in dict.fromkeys([*meaning.effects, *found]):
            want = meaning.effects.get(what, space.false)
            have = found.get(what, space.false)
            if isinstance(what, TranslatedBy | ChangedBy):
                # what is done to a packet that goes no further shows nowhere
                want, have = want & ~gone, have & ~gone
            name = _effect_text(what, space.family)
            yield from self._difference(want & ~have, name, f"no {name}")
            yield from self._difference(have & ~want, f"no {name}", name)

    def _of_marks(self, answer: Summary, meaning: Meaning) -> Iterator[Difference]:
        space, bits = self.space, self.bits
        judged = space.any_of([meaning.allowed, meaning.denied, *meaning.rejected.values()])
        hosts = self.sets.conditions.at_any(Field.IN_INTERFACE, self.sets.policy.hosts)
        expected = {
            bits.accept: meaning.allowed,
            bits.checked: judged,
            bits.from_host_endpoint: hosts,
            bits.scratch: space.false,
        }
        wanted = meaning.untracked or space.false
        write = answer.writes.get(NOTRACK)
        found = space.false if write is None else write.where & write.ones
        yield from self._difference(wanted & ~found, "no tracking", "tracking")
        yield from self._difference(found & ~wanted, "tracking", "no tracking")
        for name in answer.writes:
            if name == NOTRACK:
                continue
            is_own = name in (mark_bit(bit) for bit in bits_of(bits.mask))
            if not is_own and name not in meaning.marks:
                where = answer.writes[name].where
                yield from self._difference(where, "no write", f"a write into {name}")
        for bit, those in expected.items():
            name = mark_bit(bit.bit_length() - 1)
            after = value_after(space, answer, name)
            yield from self._difference(those & ~after, f"mark {bit:#x}", f"mark 0/{bit:#x}")
            yield from self._difference(after & ~those, f"mark 0/{bit:#x}", f"mark {bit:#x}")
        going = ~answer.leaves(space)
        for name, those in meaning.marks.items():
            after = value_after(space, answer, name)
            yield from self._difference(going & those & ~after, f"{name} set", f"{name} clear")
            yield from self._difference(going & after & ~those, f"{name} clear", f"{name} set")

    def _difference(self, those: Bdd, wanted: str, found: str) -> Iterator[Difference]:
        those &= self.domain
        example = example_of(self.space, those)
        if example is not None:
            exponent = self.space.exponent(those)
            yield Difference(self.space.family, self.kind, wanted, found, example, exponent)


def _kind(target: object) -> str:
    return target.kind if isinstance(target, Reject) else str(target)


def _effect_text(what: Effect, family: Family) -> str:
    match what:
        case TranslatedBy(hook, target):
            rule = render_rule(Rule((), target), family)
            return f"'{rule}' in {hook}"
        case LogEffect(target, limit):
            rate = "" if limit is None else f" at {limit.rate}/{limit.unit}"
            if isinstance(target, Nflog):
                return f"copy '{target.prefix}' to NFLOG group {target.group}{rate}"
            return f"log line '{target.prefix}'{rate}"
        case ChangedBy(target):
            return f"'{render_rule(Rule((), target), family)}'"
        case SteeredBy(text):
            return text
        case AcceptedBy():
            return str(what)
