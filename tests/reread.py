"""A ruleset as a kernel would get it: as text, and read back."""

from __future__ import annotations

from dataclasses import replace

from netfw.facts.ipset_save import parse_sets
from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.ruleset import Ruleset
from netfw.render.ipset import render_sets
from netfw.render.restore import render_ruleset


def reread(ruleset: Ruleset) -> Ruleset:
    """What is proved is then what is loaded."""
    rules = parse_ruleset(render_ruleset(ruleset), ruleset.family, "compiled")
    sets = parse_sets(render_sets(ruleset.sets), "compiled sets")
    return replace(rules, sets=tuple(sets.values()))
