"""The only file that knows the order of the passes."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from netfw.compiler.attach_hooks import attach_hooks
from netfw.compiler.build_behind import build_behind
from netfw.compiler.build_class import build_class
from netfw.compiler.build_dispatch import build_dispatch
from netfw.compiler.build_early import build_early
from netfw.compiler.build_endpoints import build_endpoints
from netfw.compiler.build_exit import build_exit
from netfw.compiler.build_forward import build_forward
from netfw.compiler.build_marks import build_marks
from netfw.compiler.build_nat import build_nat
from netfw.compiler.build_routing import build_routing, build_settings
from netfw.compiler.build_rule_chains import build_rule_chains
from netfw.compiler.build_steer import build_steer
from netfw.compiler.build_verdicts import build_verdicts
from netfw.compiler.check_ruleset import check_ruleset
from netfw.compiler.compiled import Compiled
from netfw.compiler.dispatch_tree import plant_trees
from netfw.compiler.draft import Draft, Pass
from netfw.compiler.expand_rules import expand_rules
from netfw.compiler.fold_sets import fold_sets
from netfw.compiler.order_chains import order_chains
from netfw.compiler.source_map import SourceMap
from netfw.ir.names import Family, TableName
from netfw.ir.ruleset import Ruleset, Table
from netfw.policy.model import Policy

PASSES: tuple[Pass, ...] = (
    build_marks,
    build_behind,
    build_steer,
    build_early,
    build_endpoints,
    build_forward,
    build_dispatch,
    build_exit,
    build_rule_chains,
    build_class,
    fold_sets,
    expand_rules,
    build_verdicts,
    build_nat,
    plant_trees,
    attach_hooks,
    order_chains,
    check_ruleset,
)

OPTIMISING: frozenset[Pass] = frozenset({fold_sets, plant_trees})
"""Passes that may be left out: the rules mean the same without them."""


def compile_policy(policy: Policy, *, without: Collection[Pass] = ()) -> Compiled:
    """Compile a policy for both families, leaving out some of the optimising passes.

    Raises PolicyError for a rule that would become too many, NetfwBug if the outcome is not
    sound (which no policy should bring about).
    """
    passes = [each for each in PASSES if each not in without]
    drafts = [_run(passes, Draft(policy, family, {})) for family in Family]
    origins = (origin for draft in drafts for origin in draft.origins())
    return Compiled(
        {draft.family: _ruleset(draft) for draft in drafts},
        SourceMap.of_origins(origins),
        policy.field,
        {family: build_routing(policy, family) for family in Family},
        build_settings(policy),
    )


def _run(passes: Iterable[Pass], draft: Draft) -> Draft:
    for run in passes:
        draft = run(draft)
    return draft


def _ruleset(draft: Draft) -> Ruleset:
    tables = (
        Table.with_builtins(name, draft.in_table(name))
        for name in TableName
        if draft.in_table(name)
    )
    sets = tuple(draft.sets[name] for name in sorted(draft.sets))
    return Ruleset(draft.family, tuple(tables), sets)
