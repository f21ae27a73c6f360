"""Reads ``policies``: entries with rules for endpoints, or for what is forwarded between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from netfw.errors import Where
from netfw.policy.endpoint import Direction
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import Fields, check_name, read_fields, read_items, read_word
from netfw.policy.identity import name_rules
from netfw.policy.model import EndpointPolicy, ForwardPolicy
from netfw.policy.names import RESERVED_NAMES, Names
from netfw.policy.read_rule import read_rule
from netfw.policy.rule import Action, PolicyRule
from netfw.policy.rule_draft import RuleDraft
from netfw.policy.source import Node
from netfw.policy.tier import LAST_TIER, Acts, Tier

_KEYS = ("name", "at", "ingress", "egress", "from", "to", "forward", "tier", "acts")


def read_policies(
    node: Node, names: Names, tiers: Mapping[str, Tier], faults: Faults
) -> tuple[tuple[EndpointPolicy, ...], tuple[ForwardPolicy, ...]]:
    """Read all entries, those for endpoints and those for forwarding."""
    at_endpoints: list[EndpointPolicy] = []
    forward: list[ForwardPolicy] = []
    places: dict[str, Where] = {}
    for item in read_items(node, "'policies'", faults):
        fields = read_fields(item, _KEYS, "a policy", faults)
        if fields is None:
            continue
        name = _read_name(fields, places, faults)
        shape = _read_shape(fields, name, faults)
        if shape is Direction.FORWARD:
            if (acts := fields.find("acts")) is not None:
                faults.add(
                    acts.where,
                    f"policy '{name}' has 'forward' and 'acts'",
                    "early policies have 'at': they judge what comes in, also if it is forwarded",
                )
            tier = _read_tier(fields, tiers, faults)
            forward.append(replace(_read_forward(fields, name, names, faults), tier=tier))
        elif shape is not None:
            tier = _read_tier(fields, tiers, faults)
            policy = replace(_read_at(fields, name, names, faults), tier=tier)
            at_endpoints.append(_read_acts(fields, policy, faults))
    return tuple(at_endpoints), tuple(forward)


def _read_name(fields: Fields, places: dict[str, Where], faults: Faults) -> str:
    node = fields.require("name", "rules are known by the name of their policy")
    word = read_word(node, "'name'", faults) if node else None
    if word is None or not check_name(word, "the name of a policy", RESERVED_NAMES, faults):
        return ""
    if word.text in places:
        faults.add(
            word.where,
            f"there are two policies '{word.text}' "
            f"(the first in {places[word.text].seen_from(word.where)})",
            "give one of them another name",
        )
    places.setdefault(word.text, word.where)
    return word.text


def _read_tier(fields: Fields, tiers: Mapping[str, Tier], faults: Faults) -> str:
    node = fields.find("tier")
    word = None if node is None else read_word(node, "'tier'", faults)
    if word is None:
        return LAST_TIER
    if word.text not in tiers:
        faults.add(
            word.where,
            f"unknown tier '{word.text}'",
            did_you_mean(word.text, tiers, "define it under 'tiers:'"),
        )
        return LAST_TIER
    return word.text


def _read_acts(fields: Fields, policy: EndpointPolicy, faults: Faults) -> EndpointPolicy:
    """Where a policy judges; early ones cannot do everything."""
    node = fields.find("acts")
    word = None if node is None else read_word(node, "'acts'", faults)
    if word is None:
        return policy
    choices = [acts.value for acts in Acts]
    if word.text not in choices:
        hint = did_you_mean(word.text, choices, f"it is one of {', '.join(choices)}")
        faults.add(word.where, f"'acts' cannot be '{word.text}'", hint)
        return policy
    acts = Acts(word.text)
    if acts.is_early:
        _check_early(policy, acts, faults)
    return replace(policy, acts=acts)


def _check_early(policy: EndpointPolicy, acts: Acts, faults: Faults) -> None:
    for endpoint in policy.at:
        if not endpoint.is_host:
            faults.add(
                policy.where,
                f"policy '{policy.name}' acts {acts.value} at '{endpoint.name}', a workload",
                "early policies judge at host endpoints",
            )
    if acts is Acts.PRE_DNAT and policy.egress:
        faults.add(
            policy.where,
            f"policy '{policy.name}' acts {acts.value} and has 'egress'",
            "what leaves has no destination left to be translated: use 'acts: normal'",
        )
    for rule in (*policy.ingress, *policy.egress):
        if rule.action is Action.REJECT:
            faults.add(
                rule.origin.where,
                f"'reject' in a policy that acts {acts.value}",
                "no answer can be sent from there: use 'deny', or a policy that acts normal",
            )


def _read_shape(fields: Fields, name: str, faults: Faults) -> Direction | None:
    """Whether an entry is about endpoints (any direction but FORWARD stands for it), or about
    forwarding; None where it is neither or both."""
    local = [key for key in ("at", "ingress", "egress") if fields.find(key) is not None]
    between = [key for key in ("from", "to", "forward") if fields.find(key) is not None]
    what = f"policy '{name}'"
    if local and between:
        faults.add(
            fields.where,
            f"{what} has '{local[0]}' and '{between[0]}'",
            "'at' goes with 'ingress' and 'egress'; 'from' and 'to' go with 'forward'",
        )
    elif local and "at" not in local:
        faults.add(fields.where, f"{what} lacks the key 'at'", "name the endpoints that it is for")
    elif local == ["at"]:
        faults.add(fields.where, f"{what} has no rules", "add 'ingress' or 'egress'")
    elif local:
        return Direction.INGRESS
    elif "forward" not in between:
        faults.add(
            fields.where,
            f"{what} has no rules",
            "add 'at' with 'ingress' or 'egress', or 'from' and 'to' with 'forward'",
        )
    elif between == ["forward"]:
        faults.add(
            fields.where,
            f"{what} names no endpoint",
            "say 'from' or 'to', or both: forwarding is judged where a policy names an endpoint",
        )
    else:
        return Direction.FORWARD
    return None


def _read_at(fields: Fields, name: str, names: Names, faults: Faults) -> EndpointPolicy:
    at = fields.find("at")
    endpoints = names.read_endpoints(at, "'at'", faults) if at else ()
    ingress = _read_rules(fields.find("ingress"), Direction.INGRESS, name, names, faults)
    egress = _read_rules(fields.find("egress"), Direction.EGRESS, name, names, faults)
    rules = _name_all(name, ingress + egress, faults)
    return EndpointPolicy(
        name, endpoints, rules[: len(ingress)], rules[len(ingress) :], fields.where
    )


def _read_forward(fields: Fields, name: str, names: Names, faults: Faults) -> ForwardPolicy:
    source, destination = fields.find("from"), fields.find("to")
    sources = names.read_endpoints(source, "'from'", faults) if source else ()
    destinations = names.read_endpoints(destination, "'to'", faults) if destination else ()
    drafts = _read_rules(fields.find("forward"), Direction.FORWARD, name, names, faults)
    rules = _name_all(name, drafts, faults)
    return ForwardPolicy(name, sources, destinations, rules, fields.where)


def _read_rules(
    node: Node | None, direction: Direction, name: str, names: Names, faults: Faults
) -> list[RuleDraft]:
    if node is None:
        return []
    items = read_items(node, f"'{direction.value}'", faults)
    drafts = (read_rule(item, direction, name, names, faults) for item in items)
    return [draft for draft in drafts if draft is not None]


def _name_all(name: str, drafts: list[RuleDraft], faults: Faults) -> tuple[PolicyRule, ...]:
    """Give every rule its identity; a name that the author gave twice is a fault."""
    first: dict[str, RuleDraft] = {}
    for draft in drafts:
        given = draft.draft.name
        if given is not None and first.setdefault(given, draft) is not draft:
            faults.add(
                draft.where,
                f"policy '{name}' has two rules named '{given}' "
                f"(the first in {first[given].where.seen_from(draft.where)})",
                "give one of them another name, or none",
            )
    identities = name_rules(name, [draft.draft for draft in drafts])
    return tuple(draft.named(identity) for draft, identity in zip(drafts, identities, strict=True))
