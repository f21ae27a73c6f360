"""Reads one rule of an ``ingress``, ``egress`` or ``forward`` list."""

from __future__ import annotations

import re
from dataclasses import dataclass

from netfw.errors import Where
from netfw.ir.names import MAX_LOG_PREFIX, Family
from netfw.ir.net import Net
from netfw.ir.ruleset import Origin
from netfw.policy.conditions import conditions_of
from netfw.policy.endpoint import Direction
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import Fields, check_name, parse_decimal, read_fields, read_word
from netfw.policy.identity import Draft
from netfw.policy.names import RESERVED_RULE_NAMES, Names, net_words, service_words
from netfw.policy.rule import Action, LogSettings, PolicyRule
from netfw.policy.service_literal import ANY_WORD
from netfw.policy.source import Mapping, Node, Scalar, Sequence, written_form
from netfw.policy.traffic import ANY, Traffic

_ACTIONS = tuple(action.value for action in Action)
_KEYS = (*_ACTIONS, "from", "to", "name")
_LOG_KEYS = ("service", "prefix", "rate")

RATE_UNITS = {
    "s": "sec",
    "sec": "sec",
    "second": "sec",
    "m": "min",
    "min": "min",
    "minute": "min",
    "h": "hour",
    "hour": "hour",
    "d": "day",
    "day": "day",
}
"""Units of a rate, and what the limit match calls them."""
DEFAULT_RATE = "10/minute"
"""How often a log rule writes unless it says so: enough to see it, too little to fill a disk."""
PREFIX_END = ": "
"""What stands between the prefix and the kernel's words."""
_PREFIX = re.compile(r"[A-Za-z0-9_.,/@#=+-]+( [A-Za-z0-9_.,/@#=+-]+)*")


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """A rule that has no identity yet."""

    action: Action
    traffic: tuple[Traffic, ...]
    sources: tuple[Net, ...]
    destinations: tuple[Net, ...]
    log: LogSettings | None
    where: Where
    text: str
    draft: Draft

    def named(self, identity: str) -> PolicyRule:
        """The finished rule."""
        return PolicyRule(
            self.action,
            self.traffic,
            self.sources,
            self.destinations,
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
    from_node, to_node = fields.find("from"), fields.find("to")
    sources = names.read_nets(from_node, "from", faults) if from_node else ()
    destinations = names.read_nets(to_node, "to", faults) if to_node else ()
    name = read_rule_name(fields, faults)
    if action is None:
        return None
    value = fields.find(action.value)
    assert value is not None
    log = None
    service: Node | None = value
    if action is Action.LOG:
        log, service = _read_log(value, policy_name, faults)
    traffic = names.read_traffic(service, action.value, faults) if service else (ANY,)
    if len(faults) > before:
        return None
    if not any(conditions_of(family, traffic, sources, destinations) for family in Family):
        faults.add(
            node.where,
            "no packet can match this rule: " + _families_in_words(traffic, sources, destinations),
            "give it addresses and services of one family",
        )
        return None
    meaning = [
        direction.value,
        service_words(service) or [ANY_WORD],
        net_words(from_node),
        net_words(to_node),
        [log.prefix, log.rate, log.unit] if log else [],
    ]
    return RuleDraft(
        action,
        traffic,
        sources,
        destinations,
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
    given = [action for action in Action if fields.find(action.value) is not None]
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


def _read_log(
    value: Node, policy_name: str, faults: Faults
) -> tuple[LogSettings | None, Node | None]:
    """``log: {prefix, rate, service}``, or ``log: service`` with defaults."""
    longest = MAX_LOG_PREFIX - len(PREFIX_END)
    if isinstance(value, Scalar | Sequence):
        rate, unit = _parse_rate(DEFAULT_RATE)
        return LogSettings(policy_name[:longest].rstrip("-"), rate, unit), value
    fields = read_fields(value, _LOG_KEYS, "'log'", faults)
    if fields is None:
        return None, None
    prefix = policy_name[:longest].rstrip("-")
    if (node := fields.find("prefix")) and (word := read_word(node, "'prefix'", faults)):
        prefix = word.text
        if len(prefix) > longest:
            faults.add(word.where, f"prefix '{prefix}' is longer than {longest} characters")
        elif not _PREFIX.fullmatch(prefix):
            faults.add(
                word.where,
                f"prefix '{prefix}' has characters that a log line should not have",
                "use letters, digits, single blanks and _.,/@#=+-",
            )
    rate, unit = _parse_rate(DEFAULT_RATE)
    if (node := fields.find("rate")) and (word := read_word(node, "'rate'", faults)):
        try:
            rate, unit = _parse_rate(word.text)
        except ValueError as error:
            faults.add(
                word.where,
                str(error),
                did_you_mean(word.text, ("unlimited",), "write it like 5/minute, or 'unlimited'"),
            )
    return LogSettings(prefix, rate, unit), fields.find("service")


def _parse_rate(text: str) -> tuple[int | None, str]:
    """Read ``5/minute``; raises ValueError with a sentence."""
    if text == "unlimited":
        return None, "min"
    number_text, _, unit_text = text.partition("/")
    number = parse_decimal(number_text)
    unit = RATE_UNITS.get(unit_text)
    if number is None or unit is None:
        raise ValueError(f"'{text}' is not a rate")
    # the limit match counts in steps of 1/10000 s (XT_LIMIT_SCALE, linux/netfilter/xt_limit.h)
    if not 1 <= number <= 10_000:
        raise ValueError(f"'{text}': rates go from 1 to 10000")
    return number, unit


def _families_in_words(
    traffic: tuple[Traffic, ...], sources: tuple[Net, ...], destinations: tuple[Net, ...]
) -> str:
    parts = []
    for what, families in (
        ("its service", {family for kind in traffic for family in kind.families}),
        ("'from'", {net.family for net in sources}),
        ("'to'", {net.family for net in destinations}),
    ):
        if len(families) == 1:
            parts.append(f"{what} is {next(iter(families))} only")
    return ", ".join(parts)
