"""Reads one rule of an ``ingress``, ``egress`` or ``forward`` list."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.ir.protocols import TCP
from netfw.policy.criteria import Criteria
from netfw.policy.endpoint import Direction
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import Fields, check_name, read_fields, read_word
from netfw.policy.identity import Draft
from netfw.policy.names import RESERVED_RULE_NAMES, Names
from netfw.policy.read_criteria import CRITERIA_KEYS, describe_families, read_criteria
from netfw.policy.read_log import read_log
from netfw.policy.read_plain import read_plain_rule
from netfw.policy.reject_kind import RejectKind
from netfw.policy.rule import Action
from netfw.policy.rule_draft import RuleDraft
from netfw.policy.service_literal import ANY_WORD
from netfw.policy.source import Mapping, Node, written_form

_ACTIONS = {action.value: action for action in Action}
NOTE_KEYS = ("owner", "ticket", "note")
_KEYS = (*_ACTIONS, *CRITERIA_KEYS, "with", "name", *NOTE_KEYS)
LONGEST_NOTE = 1000
"""Characters of what is noted beside a rule."""


def read_rule(
    node: Node, direction: Direction, policy_name: str, names: Names, faults: Faults
) -> RuleDraft | None:
    """Read a rule; None where it is at fault."""
    plain = read_plain_rule(node, direction, names)
    return plain or _read_any_rule(node, direction, policy_name, names, faults)


def _read_any_rule(
    node: Node, direction: Direction, policy_name: str, names: Names, faults: Faults
) -> RuleDraft | None:
    before = len(faults)
    fields = read_fields(node, _KEYS, "a rule", faults)
    if fields is None or not isinstance(node, Mapping):
        return None
    action = _read_action(fields, faults)
    name = read_rule_name(fields, faults)
    if action is None:
        read_criteria(fields, None, "", names, faults)
        return None
    value = fields.find(action.value)
    assert value is not None
    log = None
    service: Node | None = value
    if action is Action.LOG:
        log, service = read_log(value, policy_name, faults)
    read = read_criteria(fields, service, action.value, names, faults)
    reject_kind = _read_reject_kind(fields, action, read.criteria, faults)
    notes = tuple(_read_notes(fields, faults))
    if len(faults) > before:
        return None
    if not read.criteria.families:
        faults.add(
            node.where,
            "no packet can match this rule: " + describe_families(read.criteria),
            "give it addresses and services of one family",
        )
        return None
    meaning = [
        direction.value,
        read.services or [ANY_WORD],
        read.sources,
        read.destinations,
        log.meaning if log else [],
        *([["with", reject_kind.value]] if reject_kind else []),
        *read.further,
    ]
    return RuleDraft(
        action,
        read.criteria,
        log,
        reject_kind,
        node.where,
        written_form(node)[1:-1],
        notes,
        Draft(action.value, meaning, name),
    )


def read_rule_name(fields: Fields, faults: Faults) -> str | None:
    """The optional name of a rule."""
    node = fields.find("name")
    word = read_word(node, "'name'", faults) if node else None
    if word and check_name(word, "the name of a rule", RESERVED_RULE_NAMES, faults):
        return word.text
    return None


def _read_reject_kind(
    fields: Fields, action: Action, criteria: Criteria, faults: Faults
) -> RejectKind | None:
    node = fields.find("with")
    word = None if node is None else read_word(node, "'with'", faults)
    if word is None:
        return None
    choices = [kind.value for kind in RejectKind]
    if action is not Action.REJECT:
        faults.add(word.where, f"'with' beside '{action.value}'", "only 'reject' sends an answer")
    elif word.text not in choices:
        hint = did_you_mean(word.text, choices, f"it is one of {', '.join(choices)}")
        faults.add(word.where, f"'with' cannot be '{word.text}'", hint)
    else:
        kind = RejectKind(word.text)
        if kind is RejectKind.TCP_RESET and any(
            traffic.protocol != TCP for traffic in criteria.traffic
        ):
            faults.add(
                word.where,
                "'tcp-reset' answers tcp only, and the service is more than that",
                "name services of tcp, or leave 'with' out: tcp is answered with a reset then",
            )
        for family in criteria.families:
            if kind.answer(family) is None:
                faults.add(
                    word.where,
                    f"{family} has no answer '{kind.value}'",
                    f"add 'ip: 4', or use another answer for {family}",
                )
        return kind
    return None


def _read_notes(fields: Fields, faults: Faults) -> Iterator[tuple[str, str]]:
    """What people want to know of a rule; it is kept with what was applied."""
    for key in NOTE_KEYS:
        node = fields.find(key)
        word = None if node is None else read_word(node, f"'{key}'", faults)
        if word is None:
            continue
        if len(word.text) > LONGEST_NOTE:
            faults.add(word.where, f"'{key}' is longer than {LONGEST_NOTE} characters")
        yield key, word.text


def _read_action(fields: Fields, faults: Faults) -> Action | None:
    given = [action for word, action in _ACTIONS.items() if fields.find(word) is not None]
    if len(given) == 1:
        return given[0]
    if given:
        words = " and ".join(f"'{action.value}'" for action in given)
        faults.add(fields.where, f"a rule does one thing, not {words}", "make two rules of it")
    else:
        faults.add(
            fields.where,
            "a rule lacks what it does",
            "start it with allow, deny, reject, log, count or pass",
        )
    return None
