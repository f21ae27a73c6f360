"""What the compiler hands on: rulesets for both families, and the way back to the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netfw.compiler.source_map import SourceMap
from netfw.ir.mark_field import MarkField
from netfw.ir.names import Family
from netfw.ir.routing import Routing, Setting
from netfw.ir.ruleset import Ruleset


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled policy.

    ``rulesets`` has both families and only tables with rules of ours. ``source_map`` leads from
    the identity in a rule's comment to the place in the policy file. ``routing`` (both families)
    and ``settings`` are what steering needs beside rules of netfilter.
    """

    rulesets: Mapping[Family, Ruleset]
    source_map: SourceMap
    field: MarkField
    routing: Mapping[Family, Routing]
    settings: tuple[Setting, ...]
