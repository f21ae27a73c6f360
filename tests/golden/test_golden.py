"""Whole policies and what they compile to, as `iptables-save` would print it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from netfw.compiler.pipeline import compile_policy
from netfw.ir.names import Family
from netfw.ir.ruleset import Ruleset
from netfw.render.ipset import render_sets
from netfw.render.restore import render_ruleset
from tests.golden.cases import CASES, policy_of
from tests.protocol_names import with_numbers

HERE = Path(__file__).parent
PROGRAMS = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}


def compiled(case: str, family: Family) -> Ruleset:
    return compile_policy(policy_of(case)).rulesets[family]


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("case", CASES)
def test_policy_compiles_to_what_was_agreed(case: str, family: Family):
    """After a change that is meant: NETFW_WRITE_GOLDEN=1, and read the diff."""
    ruleset = compiled(case, family)
    assert_agreed(HERE / case / f"expected.v{family.value}.rules", render_ruleset(ruleset))
    assert_agreed(HERE / case / f"expected.v{family.value}.ipset", render_sets(ruleset.sets))


def assert_agreed(path: Path, found: str) -> None:
    """No file means nothing."""
    if os.environ.get("NETFW_WRITE_GOLDEN"):
        path.unlink(missing_ok=True)
        if found:
            path.write_text(found)
    assert found == (path.read_text() if path.exists() else "")


@pytest.mark.kernel
@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("case", CASES)
def test_kernel_takes_the_rules_and_gives_them_back(
    case: str, family: Family, backend: str, tmp_path: Path
):
    """In a network namespace that is gone when the shell ends."""
    program = f"{PROGRAMS[family]}-{backend}"
    ruleset = compiled(case, family)
    expected = render_ruleset(ruleset)
    (tmp_path / "sets").write_text(render_sets(ruleset.sets))
    script = f"ipset restore < {tmp_path}/sets; {program}-restore; {program}-save"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", script],
        input=expected,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert tables_of(with_numbers(done.stdout)) == tables_of(expected)


def tables_of(text: str) -> dict[str, list[str]]:
    """Chains and rules by table: the order of tables says nothing, and comments neither."""
    tables: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            tables[line] = []
        elif line != "COMMIT" and not line.startswith("#"):
            list(tables.values())[-1].append(line)
    return tables
