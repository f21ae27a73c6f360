"""``netfw check POLICY`` and ``netfw check --rules FILE``."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from netfw.cli.policy_file import POLICY_HELP, add_variables, read_policy
from netfw.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from netfw.prove.finding import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("policy", nargs="?", metavar="POLICY", help=POLICY_HELP)
    add_variables(parser)
    parser.add_argument(
        "--rules", metavar="FILE", help="check rules as iptables-save prints them, anybody's"
    )
    parser.add_argument(
        "--sets",
        metavar="FILE",
        help="with --rules: the sets that they name, as ipset save prints them; "
        "without it their members may be anything",
    )
    parser.add_argument(
        "--family",
        choices=("4", "6"),
        help="IP family of --rules; default: what the file looks like",
    )
    parser.add_argument(
        "--today",
        metavar="DATE",
        help="rules that expired before this day are told (2027-06-30); default: today, UTC",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="explain each kind of finding"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print findings; 0 without any (notes apart), 1 with some."""
    if (arguments.policy is None) is (arguments.rules is None):
        raise UsageError.at("netfw check", "give either a policy or --rules FILE", "not both")
    if arguments.family is not None and arguments.rules is None:
        raise UsageError.at("--family", "a policy is checked for both families")
    if arguments.sets is not None and arguments.rules is None:
        raise UsageError.at("--sets", "it is for --rules", "add --rules FILE")
    if arguments.today is not None and arguments.policy is None:
        raise UsageError.at("--today", "rules of others are not looked at for dates")
    today = _today(arguments.today)
    # see netfw/cli/prove.py: many objects, hardly a cycle
    gc.disable()
    findings, broken, subject = _find(arguments, today)
    if arguments.json:
        sys.stdout.write(_json(findings, broken))
    else:
        for line in broken:
            print(line)
        for finding in findings:
            print(finding)
        if arguments.verbose:
            _explain(findings)
        warnings = sum(not finding.is_note for finding in findings)
        notes = len(findings) - warnings
        print(f"{subject}: {_count(warnings, 'warning')}, {_count(notes, 'note')}")
    failed = bool(broken) or any(not finding.is_note for finding in findings)
    return int(ExitCode.DIFFERENCES if failed else ExitCode.OK)


def _today(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError.at(
            "--today", f"'{text}' is not a date", "write it like 2027-06-30"
        ) from None


def _find(arguments: argparse.Namespace, today: date) -> tuple[list[Finding], list[str], str]:
    """Findings, lines about assertions that do not hold, and what was checked."""
    if arguments.rules is not None:
        from netfw.cli.rules_file import read_rules_of_some_family, read_sets
        from netfw.ir.names import Family
        from netfw.prove.lint_rules import lint_rules

        family = None if arguments.family is None else Family(int(arguments.family))
        ruleset = read_rules_of_some_family(arguments.rules, family)
        if arguments.sets is not None:
            ruleset = replace(ruleset, sets=read_sets(arguments.sets, ruleset))
        rules = "1 rule" if ruleset.rule_count == 1 else f"{ruleset.rule_count} rules"
        subject = f"{arguments.rules} ({ruleset.family}, {rules})"
        return lint_rules(ruleset), [], subject
    from netfw.prove.assertions import broken_assertions
    from netfw.prove.lint_policy import lint_policy
    from netfw.report.proof import broken_lines

    policy = read_policy(arguments.policy, arguments)
    broken = [line for each in broken_assertions(policy) for line in broken_lines(policy, each)]
    return lint_policy(policy, today), broken, policy.file


def _explain(findings: list[Finding]) -> None:
    for kind in dict.fromkeys(finding.kind for finding in findings):
        print(f"\n{kind.code}: {kind.explanation}")
    if findings:
        print()


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _json(findings: list[Finding], broken: list[str]) -> str:
    data = {
        "schema": 1,
        "broken_assertions": broken,
        "findings": [
            {
                "code": finding.kind.code,
                "level": "note" if finding.is_note else "warning",
                "where": str(finding.where),
                "text": finding.text,
                "explanation": finding.kind.explanation,
            }
            for finding in findings
        ],
    }
    return json.dumps(data, indent=1) + "\n"
