"""mangle PREROUTING and OUTPUT: marks by which packets are routed and classed, in time for both.

What begins a connection is decided here, in order; the connection's mark keeps the decision, and
the packets that follow take it from there. The kernel routes a packet of this host again behind
mangle OUTPUT if its mark has changed (ipt_mangle_out in net/ipv4/netfilter/iptable_mangle.c).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from netfw.compiler import chain_name
from netfw.compiler.build_early import acts_early
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.late_rule import LateRule, check_size
from netfw.compiler.shape import shape_of
from netfw.compiler.stage import into_chain
from netfw.compiler.term import ANY_PAIR, InterfacePair
from netfw.ir.match import ConnectionState, ConntrackMatch, MarkMatch
from netfw.ir.names import OWN_CHAIN_PREFIX, Hook, TableName
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Goto, Jump, RestoreMark, Return, SetConnmark, SetMark, Target
from netfw.policy.endpoint import Direction
from netfw.policy.steering import SteerPolicy

_GOING_ON = ConntrackMatch(frozenset({ConnectionState.ESTABLISHED, ConnectionState.RELATED}))


def build_steer(draft: Draft) -> Draft:
    """Make the chains that decide, at both hooks: a mark that a packet brings decides nothing."""
    if not draft.policy.steering.entries:
        return draft
    for hook, from_host in ((Hook.PREROUTING, False), (Hook.OUTPUT, True)):
        draft = _add_hook(draft, hook, from_host=from_host)
    return draft.with_chains(TableName.MANGLE, _keep(draft), *_decisions(draft))


def _add_hook(draft: Draft, hook: Hook, *, from_host: bool) -> Draft:
    steering = draft.policy.steering
    tables, classes = (
        chain_name.STEER_TABLES[from_host],
        chain_name.STEER_CLASSES[from_host],
    )
    rules = [
        make_rule(_origin(draft, "clear"), SetMark(steering.field.nothing)),
        make_rule(_origin(draft, "clear"), SetConnmark(steering.field.nothing)),
    ]
    lists = (
        (tables, steering.with_table(from_host=from_host), _target_of_table),
        (classes, steering.with_class(from_host=from_host), _target_of_class),
    )
    for name, entries, target_of in lists:
        extra: list[Chain] = []
        body = [
            rule
            for entry in entries
            for rule in _compile(draft, entry, target_of(entry), name, extra)
        ]
        if not body:
            continue
        if body[-1].origin == _steered(draft):
            # behind the last entry there is nobody left to ask
            body.pop()
        if name == tables and from_host and acts_early(draft, Direction.EGRESS):
            body.insert(0, _leave_untracked(draft))
        draft = draft.with_chains(TableName.MANGLE, Chain(name, tuple(body)), *extra)
        rules.append(into_chain(_origin(draft, name.removeprefix(OWN_CHAIN_PREFIX)), name))
        if extra:
            settled = Origin(draft.file, "verdict/noted", "the next list has its own say")
            rules.append(make_rule(settled, SetMark(draft.field.scratch_clear)))
    steer = chain_name.STEER[from_host]
    keep = make_rule(_origin(draft, "established"), Goto(chain_name.STEER_KEEP), _GOING_ON)
    if from_host and steering.moves:
        draft = draft.with_chains(
            TableName.MANGLE,
            Chain(steer, (_brought(draft), keep, _into_new(draft))),
            Chain(chain_name.STEER_NEW, tuple(rules)),
            _bring_back(draft),
        )
    else:
        draft = draft.with_chains(TableName.MANGLE, Chain(steer, (keep, *rules)))
    return draft.with_rules(
        TableName.MANGLE, OWN_CHAIN_PREFIX + hook.value, into_chain(_origin(draft, "all"), steer)
    )


def _brought(draft: Draft) -> Rule:
    """The first route of such a packet may be that of a table: it is routed again, and the filter
    table sees an interface by which it does not leave."""
    brought = MarkMatch(draft.policy.steering.field.nothing, negate=True)
    return make_rule(_origin(draft, "brought"), Goto(chain_name.STEER_BROUGHT), brought)


def _into_new(draft: Draft) -> Rule:
    return make_rule(_origin(draft, "new"), Goto(chain_name.STEER_NEW))


def _bring_back(draft: Draft) -> Chain:
    """As if it had brought nothing, and noted so that it is judged where it leaves."""
    origin = _origin(draft, "brought")
    begins = replace(_GOING_ON, negate=True)
    return Chain(
        chain_name.STEER_BROUGHT,
        (
            make_rule(origin, Jump(chain_name.STEER_KEEP), _GOING_ON),
            make_rule(origin, Jump(chain_name.STEER_NEW), begins),
            make_rule(origin, SetMark(draft.policy.steering.field.for_answers)),
        ),
    )


def _leave_untracked(draft: Draft) -> Rule:
    """What raw OUTPUT has let through was judged by the interface of its first route."""
    origin = Origin(draft.file, "verdict/early", "allowed by an early policy")
    return make_rule(origin, Return(), MarkMatch(draft.field.was_checked))


def _compile(
    draft: Draft, entry: SteerPolicy, target: Target, where: str, extra: list[Chain]
) -> Iterator[Rule]:
    """The rules of an entry. One with exceptions gets a chain of its own in ``extra``, which says
    by the scratch bit that it has decided."""
    conditions = entry.conditions(draft.family)
    if conditions is None:
        return
    pairs: Sequence[InterfacePair] = ANY_PAIR
    if entry.inputs:
        pairs = [(name, None) for endpoint in entry.inputs for name in endpoint.interfaces]
    if conditions.is_plain:
        yield LateRule(
            (),
            target,
            entry.origin,
            conditions=conditions,
            action=_action_of(target),
            pairs=tuple(pairs),
        )
        return
    shape = shape_of(conditions, draft.family, entry.identity, pairs)
    check_size(entry.origin, len(shape.terms) + len(shape.exceptions))
    if not shape.needs_chain:
        for term in shape.terms:
            yield make_rule(entry.origin, target, *term, *shape.last)
        return
    # an entry with a table and a class stands in two lists
    is_class = where in chain_name.STEER_CLASSES.values()
    name = chain_name.chain_of_entry(entry.identity, of_class=is_class)
    back = [make_rule(entry.origin, Return(), *term) for term in shape.exceptions]
    note = make_rule(entry.origin, SetMark(draft.field.scratch_set), *shape.last)
    noted = MarkMatch(draft.field.scratch_set)
    extra.append(Chain(name, (*back, note, make_rule(entry.origin, target, noted))))
    for term in shape.terms:
        yield make_rule(entry.origin, Jump(name), *term)
    yield make_rule(_steered(draft), Return(), noted)


def _steered(draft: Draft) -> Origin:
    return Origin(draft.file, "verdict/steered", "the first entry that matches decides")


def _action_of(target: Target) -> str:
    """What rules of a list have in common that do the same."""
    if isinstance(target, Goto):
        return target.chain.removeprefix(OWN_CHAIN_PREFIX).lower()
    return "main"


def _target_of_table(entry: SteerPolicy) -> Target:
    if not entry.table:
        return Return()
    return Goto(chain_name.chain_of_table(entry.table, answers=entry.answers))


def _target_of_class(entry: SteerPolicy) -> Target:
    return Goto(chain_name.chain_of_class(entry.tc_class)) if entry.tc_class else Return()


def _keep(draft: Draft) -> Chain:
    """What follows takes the class of its connection in both directions, and the table in the
    one that it is for."""
    field = draft.policy.steering.field
    origin = _origin(draft, "established")
    kept = field.mask if draft.policy.steering.moves else field.classes
    rules = [make_rule(origin, RestoreMark(field.mask, kept))]
    if draft.policy.steering.moves:
        rules += [
            make_rule(
                origin,
                SetMark(field.no_way),
                MarkMatch(mark),
                ConntrackMatch(direction=direction),
            )
            for direction, mark in (
                ("REPLY", field.for_itself),
                ("ORIGINAL", field.for_answers),
            )
        ]
    return Chain(chain_name.STEER_KEEP, tuple(rules))


def _decisions(draft: Draft) -> list[Chain]:
    """A chain for each table, for each table of answers, and for each class that are named in
    this family."""
    steering = draft.policy.steering
    field = steering.field
    found: dict[str, Chain] = {}
    for entry in steering.entries:
        if entry.conditions(draft.family) is None:
            continue
        if entry.table:
            number = steering.tables[entry.table]
            name = chain_name.chain_of_table(entry.table, answers=entry.answers)
            what = "answers go" if entry.answers else "the packet goes"
            origin = Origin(
                draft.file,
                f"verdict/{'replies' if entry.answers else 'table'}-{entry.table}",
                f"{what} by routing table {entry.table}",
            )
            # answers are still to come: the packet itself is none
            marks: list[Target] = [SetConnmark(field.answers_by(number))]
            if not entry.answers:
                packets = field.packets_by(number)
                marks = [SetMark(packets), SetConnmark(packets)]
            found[name] = Chain(name, tuple(make_rule(origin, target) for target in marks))
        if entry.tc_class:
            mark = field.tc_class(steering.classes[entry.tc_class])
            name = chain_name.chain_of_class(entry.tc_class)
            origin = Origin(
                draft.file,
                f"verdict/class-{chain_name.text_of_class(entry.tc_class)}",
                f"the connection belongs to class {chain_name.text_of_class(entry.tc_class)}",
            )
            both: tuple[Target, ...] = (SetMark(mark), SetConnmark(mark))
            found[name] = Chain(name, tuple(make_rule(origin, target) for target in both))
    return list(found.values())


def _origin(draft: Draft, name: str) -> Origin:
    texts = {
        "established": "what follows goes the way of its connection",
        "brought": "a mark that a process has set may have chosen the route",
        "new": "what begins a connection, or belongs to none",
        "clear": "no packet chooses its way by a mark that it brings",
        "all": "marks for routing and for tc",
    }
    text = texts.get(name, "the first entry that matches decides")
    return Origin(draft.file, f"stage/steer-{name.lower()}", text)
