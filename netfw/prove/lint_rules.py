"""Lint of anybody's ruleset, by proof: what no packet can meet, and what changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from netfw.errors import Where
from netfw.ir.match import CommentMatch, Match
from netfw.ir.names import Hook, TableName
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table
from netfw.ir.target import Accept, Goto, Jump, Log, Nflog, NoTarget, Target, Trace
from netfw.prove.chains import named_mark_bits
from netfw.prove.condition import Spot
from netfw.prove.diagrams import within_memory
from netfw.prove.finding import Finding, Kind
from netfw.prove.interfaces import Interfaces, patterns_of_ruleset
from netfw.prove.lint_marks import lint_marks
from netfw.prove.path import Paths
from netfw.prove.reach import Hit, Place, Reach
from netfw.prove.space import Bdd, Space
from netfw.prove.summary import NOTHING, Leave, Summary, then, value_after

_SHADOWERS_NAMED = 3


@within_memory()
def lint_rules(ruleset: Ruleset) -> list[Finding]:
    """Every finding of a ruleset, in its order; one of each place for the same reason."""
    mark, connmark = named_mark_bits(ruleset.rules())
    interfaces = Interfaces(patterns_of_ruleset(ruleset))
    space = Space(ruleset.family, interfaces, mark, connmark)
    found = list(_RulesLint(Reach(Paths(space, ruleset))).findings())
    senseless = {finding.where for finding in found if finding.kind is Kind.OUTSIDE_MASK}
    return sorted(
        (
            finding
            for finding in found
            if finding.kind is not Kind.NEVER_MATCHES or finding.where not in senseless
        ),
        key=lambda finding: finding.where.line if isinstance(finding.where, Where) else 0,
    )


class _RulesLint:
    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.paths = reach.paths
        self.space = reach.space

    def findings(self) -> Iterator[Finding]:
        for table in self.paths.ruleset.tables:
            for chain in table.chains:
                entered = self.reach.entered.get((table.name, chain.name))
                if not entered:
                    yield from self._unreachable(table, chain)
                    continue
                yield from self._of_chain(table, chain, entered)
        yield from lint_marks(self.reach)

    def _unreachable(self, table: Table, chain: Chain) -> Iterator[Finding]:
        """A built-in chain may stand empty; nat chains are not entered without conntrack."""
        if chain.is_builtin and not chain.rules:
            return
        callers = [
            f"{other.name} rule {number}"
            for other in table.chains
            for number, rule in enumerate(other.rules, start=1)
            if isinstance(rule.target, Jump | Goto) and rule.target.chain == chain.name
        ]
        if chain.is_builtin:
            why = "without connection tracking no packet enters it"
        elif callers:
            more = f" and {len(callers) - 1} more" if len(callers) > 1 else ""
            why = f"it is called by {callers[0]}{more}, which no packet meets"
        else:
            why = "no rule calls it"
        yield Finding(
            Kind.UNREACHABLE_CHAIN,
            _first_place(table, chain),
            f"chain {chain.name} of table {table.name} is never entered: {why}",
        )

    def _of_chain(self, table: Table, chain: Chain, entered: list[Hit]) -> Iterator[Finding]:
        said: dict[tuple[tuple[Match, ...], Target], int] = {}
        repeated = {meaning for meaning, count in _meanings(chain).items() if count > 1}
        idle = self._idle_rules(table, chain, entered)
        for number, rule in enumerate(chain.rules, start=1):
            place = Place(table.name, chain.name, number)
            meaning = (_without_comments(rule), rule.target)
            first = said.setdefault(meaning, number)
            is_met = place in self.reach.hits
            text = f"{place}"
            if first < number and not isinstance(rule.target, NoTarget):
                yield Finding(
                    Kind.DUPLICATE, _where(rule, place), f"{text} says the same as rule {first}"
                )
            elif not is_met:
                yield self._unmet(table, chain, number, rule, entered)
            elif number in idle and meaning not in repeated:
                yield Finding(
                    Kind.CHANGES_NOTHING,
                    _where(rule, place),
                    f"{text} changes nothing: without it the packets that meet it end the same",
                    is_note=True,
                )
            elif _accepts_all(table.name, chain, rule):
                yield Finding(
                    Kind.ANY_TO_ANY,
                    _where(rule, place),
                    f"{text} accepts every packet that comes to it",
                    is_note=True,
                )

    def _unmet(
        self, table: Table, chain: Chain, number: int, rule: Rule, entered: list[Hit]
    ) -> Finding:
        place = Place(table.name, chain.name, number)
        conditions = self.paths.chains.conditions
        wanted = self.space.false
        for hit in entered:
            spot = Spot.of(hit.hook, table.name)
            wanted |= hit.context.see(self.space, conditions.of_rule(rule, spot))
        if wanted == self.space.false:
            text = f"{place} is never met: no packet that enters the chain meets its conditions"
            return Finding(Kind.NEVER_MATCHES, _where(rule, place), text)
        takers = list(self._takers(table, chain, number, wanted))
        if not takers:
            text = f"{place} is never met: the packets that could are gone before"
            return Finding(Kind.NEVER_MATCHES, _where(rule, place), text)
        named = ", ".join(f"rule {taker}" for taker in takers[:_SHADOWERS_NAMED])
        more = len(takers) - _SHADOWERS_NAMED
        tail = f" and {more} more" if more > 0 else ""
        text = f"{place} is never met: {named}{tail} before it take every packet it is about"
        return Finding(Kind.SHADOWED, _where(rule, place), text)

    def _takers(self, table: Table, chain: Chain, number: int, wanted: Bdd) -> Iterator[int]:
        """The rules before that take the packets which a rule wants, in order."""
        left = wanted
        for earlier in range(1, number):
            rule = chain.rules[earlier - 1]
            if isinstance(rule.target, NoTarget | Log | Nflog | Trace):
                continue
            for hit in self.reach.hits.get(Place(table.name, chain.name, earlier), ()):
                if left & hit.those != self.space.false:
                    left &= ~hit.those
                    yield earlier
                    break
            if left == self.space.false:
                return

    def _idle_rules(self, table: Table, chain: Chain, entered: list[Hit]) -> set[int]:
        """Rules without which the chain does the same with every packet that meets them."""
        useful: set[int] = set()
        for spot in {Spot.of(hit.hook, table.name) for hit in entered}:
            rest: Summary = NOTHING
            if chain.is_builtin:
                # what falls off the end meets the chain policy
                rest = self._policy(table, chain)
            pieces = self.paths.chains.pieces(table, chain, spot)
            for number in range(len(pieces), 0, -1):
                piece = pieces[number - 1]
                with_rule = then(self.space, piece, rest)
                if number not in useful and self._differ(
                    with_rule, rest, Place(table.name, chain.name, number)
                ):
                    useful.add(number)
                rest = with_rule
        counting = {
            number
            for number, rule in enumerate(chain.rules, start=1)
            # a rule without target counts, and TRACE is there to be looked at
            if isinstance(rule.target, NoTarget | Trace)
        }
        return set(range(1, len(chain.rules) + 1)) - useful - counting

    def _policy(self, table: Table, chain: Chain) -> Summary:
        target: Target | None = None if str(chain.policy) == "DROP" else Accept()
        return Summary({Leave(target): self.space.true})

    def _differ(self, one: Summary, other: Summary, place: Place) -> bool:
        """Whether two summaries differ for some packet that meets a rule."""
        differing = self.space.any_of(_differences(self.space, one, other))
        if differing == self.space.false:
            return False
        return any(
            hit.context.see(self.space, differing) != self.space.false
            for hit in self.reach.hits.get(place, ())
        )


def _differences(space: Space, one: Summary, other: Summary) -> Iterator[Bdd]:
    # a DROP by a rule and one by the policy are the same to a packet
    left, right = _by_outcome(space, one), _by_outcome(space, other)
    for way in left.keys() | right.keys():
        yield space.either(left.get(way, space.false), right.get(way, space.false))
    for what in one.effects.keys() | other.effects.keys():
        yield space.either(
            one.effects.get(what, space.false), other.effects.get(what, space.false)
        )
    for name in one.writes.keys() | other.writes.keys():
        yield space.either(value_after(space, one, name), value_after(space, other, name))


def _by_outcome(space: Space, of: Summary) -> dict[str, Bdd]:
    found: dict[str, Bdd] = {}
    for way, those in of.exits.items():
        name = "RETURN" if way.is_return else "Drop()" if way.target is None else str(way.target)
        found[name] = found.get(name, space.false) | those
    return found


def _meanings(chain: Chain) -> Counter[tuple[tuple[Match, ...], Target]]:
    return Counter((_without_comments(rule), rule.target) for rule in chain.rules)


def _without_comments(rule: Rule) -> tuple[Match, ...]:
    return tuple(match for match in rule.matches if not isinstance(match, CommentMatch))


def _accepts_all(table: TableName, chain: Chain, rule: Rule) -> bool:
    return (
        table is TableName.FILTER
        and chain.is_builtin
        and chain.name != Hook.OUTPUT.value
        and isinstance(rule.target, Accept)
        and not _without_comments(rule)
    )


def _where(rule: Rule, place: Place) -> Where | str:
    return str(place) if rule.origin is None else rule.origin.where


def _first_place(table: Table, chain: Chain) -> Where | str:
    rules: Iterable[Rule] = chain.rules
    for rule in rules:
        if rule.origin is not None:
            return rule.origin.where
    return f"{table.name} {chain.name}"
