"""``netfw prove POLICY``."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from netfw.cli.families import add_family, chosen_families
from netfw.cli.policy_file import POLICY_HELP, add_variables, read_policy
from netfw.errors import CapabilityError, ExitCode, UsageError

if TYPE_CHECKING:
    from netfw.ir.names import Family
    from netfw.ir.ruleset import Ruleset
    from netfw.policy.model import Policy
    from netfw.prove.proof import Proof


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("policy", metavar="POLICY", help=POLICY_HELP)
    parser.add_argument(
        "--rules",
        metavar="FILE",
        help="prove these rules, as iptables-save prints them, instead of the compiled ones; "
        "needs --family 4 or 6",
    )
    parser.add_argument(
        "--sets",
        metavar="FILE",
        help="with --rules: the sets that they name, as ipset save prints them; "
        "without it their members may be anything",
    )
    add_variables(parser)
    add_family(parser)
    parser.add_argument(
        "--replay",
        action="store_true",
        help="send the witness of each difference through this kernel (needs root)",
    )
    parser.add_argument(
        "--backend", choices=("nft", "legacy"), default="nft", help="for --replay; default: nft"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show every pair of endpoints"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prove; 0 where rules and policy agree on every packet, 1 where they do not."""
    from netfw.prove.proof import prove
    from netfw.report.glyphs import glyphs_for
    from netfw.report.proof import proof_json, proof_lines

    # a proof makes millions of objects and hardly a cycle: looking for garbage costs a third
    gc.disable()
    if arguments.replay and os.geteuid() != 0:
        raise CapabilityError.at(
            "--replay", "this needs root: it makes network namespaces", "run it with sudo"
        )
    if arguments.sets is not None and arguments.rules is None:
        raise UsageError.at("--sets", "it is for --rules", "add --rules FILE")
    policy = read_policy(arguments.policy, arguments)
    rulesets = _rulesets(arguments, policy)
    proof = prove(policy, rulesets)
    if arguments.json:
        sys.stdout.write(proof_json(proof))
    else:
        glyphs = glyphs_for(sys.stdout)
        for line in proof_lines(policy, rulesets, proof, glyphs, verbose=arguments.verbose):
            print(line)
        if arguments.replay:
            _replay(arguments.backend, rulesets, proof)
    return int(ExitCode.OK if proof.holds else ExitCode.DIFFERENCES)


def _rulesets(arguments: argparse.Namespace, policy: Policy) -> dict[Family, Ruleset]:
    families = chosen_families(arguments)
    if arguments.rules is not None:
        from netfw.cli.rules_file import read_rules, read_sets

        if len(families) > 1:
            raise UsageError.at("--rules", "a file holds the rules of one family", "say --family")
        found = read_rules(arguments.rules, families[0])
        if arguments.sets is not None:
            found = replace(found, sets=read_sets(arguments.sets, found))
        return {families[0]: found}
    from netfw.compiler.pipeline import compile_policy

    compiled = compile_policy(policy)
    return {family: _read_back(compiled.rulesets[family]) for family in families}


def _read_back(ruleset: Ruleset) -> Ruleset:
    """The text is what a kernel would get: the proof knows nothing else."""
    from netfw.facts.ipset_save import parse_sets
    from netfw.facts.iptables_save import parse_ruleset
    from netfw.render.ipset import render_sets
    from netfw.render.restore import render_ruleset

    rules = parse_ruleset(render_ruleset(ruleset), ruleset.family, "compiled rules")
    sets = parse_sets(render_sets(ruleset.sets), "compiled sets")
    return replace(rules, sets=tuple(sets.values()))


def _replay(backend_name: str, rulesets: dict[Family, Ruleset], proof: Proof) -> None:
    from netfw.errors import InconclusiveError
    from netfw.ir.names import Backend
    from netfw.report.terminal import TerminalReport
    from netfw.verify.replay import replay
    from netfw.verify.result import Verification

    for found in proof.families:
        for difference in found.differences:
            print()
            try:
                run = replay(rulesets[found.family], difference.example, Backend(backend_name))
            except InconclusiveError as error:
                print(*error.faults, sep="\n")
                continue
            TerminalReport(sys.stdout).show(Verification("the witness, replayed", {}, [run]))
