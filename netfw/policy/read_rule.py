"""Reads one rule of an ``ingress``, ``egress`` or ``forward`` list."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.errors import Where
from netfw.ir.ruleset import Origin
from netfw.policy.criteria import Criteria
from netfw.policy.endpoint import Direction
from netfw.policy.faults import Faults
from netfw.policy.fields import Fields, check_name, read_fields, read_word
from netfw.policy.identity import Draft
from netfw.policy.names import RESERVED_RULE_NAMES, Names
from netfw.policy.read_criteria import CRITERIA_KEYS, describe_families, read_criteria
from netfw.policy.read_log import read_log
from netfw.policy.rule import Action, LogSettings, PolicyRule
from netfw.policy.service_literal import ANY_WORD
from netfw.policy.source import Mapping, Node, written_form

_ACTIONS = {action.value: action for action in Action}
_KEYS = (*_ACTIONS, *CRITERIA_KEYS, "name")


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """A rule that has no identity yet."""

    action: Action
    criteria: Criteria
    log: LogSettings | None
    where: Where
    text: str
    draft: Draft

    def named(self, identity: str) -> PolicyRule:
        """The finished rule."""
        return PolicyRule(
            self.action,
            self.criteria,
            Origin(self.where, identity, self.text),
            self.log,
        )


def read_rule(
    node: Node, direction: Direction, policy_name: str, names: Names, faults: Faults
) -> RuleDraft | None:
    """Read a rule; None where it is at fault."""
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
        [log.prefix, log.rate, log.unit] if log else [],
        *read.further,
    ]
    return RuleDraft(
        action,
        read.criteria,
        log,
        node.where,
        written_form(node)[1:-1],
        Draft(action.value, meaning, name),
    )


def read_rule_name(fields: Fields, faults: Faults) -> str | None:
    """The optional name of a rule."""
    node = fields.find("name")
    word = read_word(node, "'name'", faults) if node else None
    if word and check_name(word, "the name of a rule", RESERVED_RULE_NAMES, faults):
        return word.text
    return None


def _read_action(fields: Fields, faults: Faults) -> Action | None:
    given = [action for word, action in _ACTIONS.items() if fields.find(word) is not None]
    if len(given) == 1:
        return given[0]
    if given:
        words = " and ".join(f"'{action.value}'" for action in given)
        faults.add(fields.where, f"a rule does one thing, not {words}", "make two rules of it")
    else:
        faults.add(
            fields.where, "a rule lacks what it does", "start it with allow, deny, reject or log"
        )
    return None
