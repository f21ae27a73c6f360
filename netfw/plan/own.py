"""What of netfw's a host holds, or shall hold: the one thing that is planned, kept and restored.

Rules are text as iptables-save prints them without ``-A CHAIN``: what was saved goes back as it
was, whichever version printed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netfw.compiler.compiled import Compiled
from netfw.ir.ipset import IpSet
from netfw.ir.names import Family, TableName
from netfw.ir.ruleset import Chain, Ruleset, Table
from netfw.render.routing import render_routing
from netfw.render.rule import render_rule


@dataclass(frozen=True, slots=True)
class OwnTable:
    """What is ours in one table.

    ``chains`` are our chains (``NETFW-…``) with their rules. ``calls`` are the rules of ours in
    built-in chains, by chain: what leads to ours.
    """

    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of ours is in the table."""
        return not (self.chains or self.calls)


@dataclass(frozen=True, slots=True)
class Own:
    """Everything of ours on a host.

    ``tables`` hold no empty table. ``sets`` are by the names that they have on the host.
    ``routing`` are lines for ``ip -batch`` that add (``rule add …``, ``route replace …``), as
    ``render_routing`` prints them. ``settings`` are sysctls (paths below /proc/sys) with their
    values.
    """

    tables: Mapping[tuple[Family, TableName], OwnTable] = field(default_factory=dict)
    sets: Mapping[str, IpSet] = field(default_factory=dict)
    routing: Mapping[Family, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether a host holds nothing of ours."""
        return not (self.tables or self.sets or any(self.routing.values()) or self.settings)


def own_of(compiled: Compiled, settings: Mapping[str, str]) -> Own:
    """What a policy asks for. ``settings`` are the values of those sysctls that the host has to
    change, which depends on the values that it has."""
    tables = {
        (family, table.name): own
        for family, ruleset in compiled.rulesets.items()
        for table in ruleset.tables
        if not (own := _own_table(table, ruleset)).is_empty
    }
    sets = {ipset.name: ipset for ruleset in compiled.rulesets.values() for ipset in ruleset.sets}
    routing = {
        family: tuple(lines)
        for family, each in compiled.routing.items()
        if (lines := render_routing(each, family).splitlines())
    }
    return Own(tables, sets, routing, dict(settings))


def _own_table(table: Table, ruleset: Ruleset) -> OwnTable:
    def texts(chain: Chain) -> tuple[str, ...]:
        return tuple(render_rule(rule, ruleset.family) for rule in chain.rules)

    return OwnTable(
        {chain.name: texts(chain) for chain in table.chains if not chain.is_builtin},
        {chain.name: texts(chain) for chain in table.chains if chain.is_builtin and chain.rules},
    )
