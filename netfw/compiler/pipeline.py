"""The only file that knows the order of the passes."""

from __future__ import annotations

from netfw.compiler.attach_hooks import attach_hooks
from netfw.compiler.build_behind import build_behind
from netfw.compiler.build_dispatch import build_dispatch
from netfw.compiler.build_early import build_early
from netfw.compiler.build_endpoints import build_endpoints
from netfw.compiler.build_exit import build_exit
from netfw.compiler.build_forward import build_forward
from netfw.compiler.build_marks import build_marks
from netfw.compiler.build_nat import build_nat
from netfw.compiler.build_rule_chains import build_rule_chains
from netfw.compiler.build_verdicts import build_verdicts
from netfw.compiler.check_ruleset import check_ruleset
from netfw.compiler.compiled import Compiled
from netfw.compiler.draft import Draft, Pass
from netfw.compiler.order_chains import order_chains
from netfw.compiler.source_map import SourceMap
from netfw.ir.names import Family, TableName
from netfw.ir.ruleset import Ruleset, Table
from netfw.policy.model import Policy

PASSES: tuple[Pass, ...] = (
    build_marks,
    build_behind,
    build_early,
    build_endpoints,
    build_forward,
    build_dispatch,
    build_exit,
    build_rule_chains,
    build_verdicts,
    build_nat,
    attach_hooks,
    order_chains,
    check_ruleset,
)


def compile_policy(policy: Policy) -> Compiled:
    """Compile a policy for both families.

    Raises PolicyError for a rule that would become too many, NetfwBug if the outcome is not
    sound (which no policy should bring about).
    """
    rulesets = {family: _compile_family(policy, family) for family in Family}
    rules = (
        rule
        for ruleset in rulesets.values()
        for table in ruleset.tables
        for chain in table.chains
        for rule in chain.rules
    )
    return Compiled(rulesets, SourceMap.of_rules(rules), policy.field)


def _compile_family(policy: Policy, family: Family) -> Ruleset:
    draft = Draft(policy, family, {})
    for run in PASSES:
        draft = run(draft)
    tables = (
        Table.with_builtins(name, draft.in_table(name))
        for name in TableName
        if draft.in_table(name)
    )
    return Ruleset(family, tuple(tables))
