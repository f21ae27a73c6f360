"""Reads ``tiers``: in which order groups of policies are asked."""

from __future__ import annotations

from netfw.errors import Where
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import check_name, read_fields, read_items, read_word
from netfw.policy.names import RESERVED_NAMES
from netfw.policy.source import Node
from netfw.policy.tier import LAST_TIER, Tier

TIER_DEFAULTS = ("pass", "deny")


def read_tiers(node: Node | None, where: Where, faults: Faults) -> dict[str, Tier]:
    """All tiers by name, in order; the last one is always there."""
    tiers: dict[str, Tier] = {}
    for item in () if node is None else read_items(node, "'tiers'", faults):
        fields = read_fields(item, ("name", "default"), "a tier", faults)
        name_node = None if fields is None else fields.require("name", "policies name their tier")
        name = None if name_node is None else read_word(name_node, "'name'", faults)
        if fields is None or name is None:
            continue
        default_node = fields.find("default")
        default = None if default_node is None else read_word(default_node, "'default'", faults)
        if default is not None and default.text not in TIER_DEFAULTS:
            faults.add(
                default.where,
                f"'default' of a tier cannot be '{default.text}'",
                did_you_mean(default.text, TIER_DEFAULTS, "it is pass or deny"),
            )
        if name.text == LAST_TIER:
            faults.add(
                name.where,
                f"tier '{LAST_TIER}' is always there, and the last one",
                "leave it out: policies without 'tier' are in it",
            )
        elif name.text in tiers:
            faults.add(
                name.where,
                f"there are two tiers '{name.text}' "
                f"(the first in {tiers[name.text].where.seen_from(name.where)})",
                "give one of them another name",
            )
        elif check_name(name, "the name of a tier", RESERVED_NAMES, faults):
            passes = default is None or default.text == "pass"
            tiers[name.text] = Tier(name.text, passes, name.where)
    tiers[LAST_TIER] = Tier(LAST_TIER, False, where)
    return tiers
