"""The sets of a live host, as ``ipset save`` prints them. Only looks."""

from __future__ import annotations

from netfw.errors import CapabilityError
from netfw.facts.ipset_save import parse_sets
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_rules import LiveRules
from netfw.host.run import run
from netfw.traverse.set_lookup import SetLookup, known_sets


def read_sets(namespace: LiveNamespace, rules: LiveRules) -> dict[str, SetLookup]:
    """The host's sets by name; none where no rule names one, for then nothing asks them.

    None either where the program ipset is missing: what depends on a set is open then. Raises
    HostError, and FactError for what cannot be understood.
    """
    if not any(rule.set_names for ruleset in rules.rulesets.values() for rule in ruleset.rules()):
        return {}
    try:
        saved = run(["ipset", "save"], namespace=None if namespace.is_own else namespace)
    except CapabilityError:
        return {}
    return known_sets(parse_sets(saved.stdout, "ipset save").values())
