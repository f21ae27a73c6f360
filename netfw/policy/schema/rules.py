"""Forms of rules, and of policies that hold them."""

from __future__ import annotations

from netfw.ir.names import MAX_NFLOG_PREFIX
from netfw.policy.read_log import LAST_GROUP, PREFIX
from netfw.policy.read_rule import LONGEST_NOTE, NOTE_KEYS
from netfw.policy.reject_kind import RejectKind
from netfw.policy.rule import Action
from netfw.policy.schema.criteria import CRITERIA, excepting
from netfw.policy.schema.form import (
    Form,
    chosen,
    closed,
    defined,
    either,
    explained,
    just_one_of,
    listed,
    number,
    text,
    with_variable,
)
from netfw.policy.tier import Acts

NAME_OF_RULE = explained(
    defined("name"), "What the rule is called in the kernel; without it by a hash of what it says."
)
NOTE: Form = {"type": ["string", "number", "boolean"], "maxLength": LONGEST_NOTE}
"""What people note beside a rule."""
_NOTES = {
    "owner": "Who answers for the rule.",
    "ticket": "Where it was asked for.",
    "note": "Why it is there.",
}
_SERVICES = excepting(defined("services"))
_ACTIONS = {
    Action.ALLOW: "Lets these packets through.",
    Action.DENY: "Drops these packets in silence.",
    Action.REJECT: "Drops these packets with an answer.",
    Action.LOG: "Writes a line for these packets, and decides nothing.",
    Action.COUNT: "Counts these packets, and decides nothing.",
    Action.PASS: "Sends these packets on to the next tier.",
}


def _log() -> Form:
    # a line of the kernel has less room for it than a copy to a group, which the reader checks
    prefix = text(PREFIX.pattern, MAX_NFLOG_PREFIX)
    return closed(
        {
            "service": explained(_SERVICES, "What is logged; without it everything."),
            "prefix": explained(
                with_variable(prefix, {"type": ["number", "boolean"]}),
                "What the line begins with; without it the policy's name.",
            ),
            "rate": explained(defined("log-rate"), "How often; without it 10/minute."),
            "group": explained(
                with_variable(number(0, LAST_GROUP), text("[0-9]{1,5}")),
                "The NFLOG group that gets a copy of the packet, instead of a line of the kernel.",
            ),
        }
    )


def _rule() -> Form:
    actions = {
        action.value: explained(
            either(_SERVICES, _log()) if action is Action.LOG else _SERVICES, _ACTIONS[action]
        )
        for action in Action
    }
    others = {
        "with": explained(
            chosen(kind.value for kind in RejectKind),
            "How 'reject' answers; without it with a reset for tcp, else port-unreachable.",
        ),
        "name": NAME_OF_RULE,
    }
    notes = {key: explained(NOTE, _NOTES[key]) for key in NOTE_KEYS}
    return just_one_of(actions, CRITERIA | others | notes)


def _policy() -> Form:
    rules = listed(defined("rule"))
    return closed(
        {
            "name": explained(defined("name"), "What the policy is called, also in the kernel."),
            "tier": explained(defined("name"), "One of 'tiers'; without it the last one."),
            "acts": explained(
                chosen(acts.value for acts in Acts),
                "Where it judges: normal (in filter), pre-dnat (what comes in, before "
                "translation), untracked (before connection tracking).",
            ),
            "at": explained(defined("endpoints"), "The endpoints that it is for."),
            "ingress": explained(
                rules, "What comes in to a host endpoint, or is forwarded into a workload."
            ),
            "egress": explained(
                rules, "What this host sends out by the endpoint, or what a workload sends."
            ),
            "from": explained(defined("endpoints"), "Where forwarded packets come in."),
            "to": explained(defined("endpoints"), "Where forwarded packets leave."),
            "forward": explained(rules, "What is forwarded from one endpoint to another."),
        },
        required=("name",),
    ) | {
        "oneOf": [{"required": ["at"]}, {"required": ["forward"]}],
        "anyOf": [
            {"required": keys}
            for keys in (
                ["at", "ingress"],
                ["at", "egress"],
                ["forward", "from"],
                ["forward", "to"],
            )
        ],
    }


RULES: dict[str, Form] = {
    "rule": {"description": "Does one thing with the packets that it is about.", **_rule()},
    "policy": {
        "description": "Rules at endpoints, or for what is forwarded between them. The first "
        "rule that matches decides; what no rule matches is denied.",
        **_policy(),
    },
}
"""Forms by noun."""
