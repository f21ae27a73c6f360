"""What a compiled policy asks a host to hold."""

from __future__ import annotations

from collections.abc import Mapping

from netfw.compiler.compiled import Compiled
from netfw.ir.ruleset import Chain, Ruleset, Table
from netfw.plan.own import Own, OwnTable
from netfw.render.routing import render_routing
from netfw.render.rule import render_rule


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
