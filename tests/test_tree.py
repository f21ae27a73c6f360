"""The tree itself: its linters, its shape, and the rules that no linter knows."""

from __future__ import annotations

import ast
import io
import os
import re
import shlex
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

TOP_LEVEL = {
    "pyproject.toml",
    "netfw",
    "playbooks",
    "tests",
    "vagrant",
    "Makefile",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "requirements.lock",
}
LONGEST_MODULE = 450
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
BITS_OF_THE_POLICY_FIELD = {0x10000, 0x20000, 0x40000}
SLOW_TO_IMPORT = ("scapy", "pyroute2", "iptc", "rich", "yaml")


def run(*argv: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    bin_dir = str(Path(sys.executable).parent)
    env = {**os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}", "NO_COLOR": "1"}
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def expect_success(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        pytest.fail(
            f"$ {shlex.join(map(str, done.args))}\n{done.stdout}{done.stderr}", pytrace=False
        )


def expect_none(what: str, found: list[str]) -> None:
    if found:
        pytest.fail("\n  ".join([f"{what}:", *found]), pytrace=False)


def files_in_git(*under: str) -> list[Path]:
    """The files of this tree, those not committed yet included; what .gitignore names is not."""
    listing = run(
        *("git", "-c", "safe.directory=*", "ls-files", "-z"),
        *("--cached", "--others", "--exclude-standard", "--", *under),
    )
    if listing.returncode:
        pytest.skip(f"not a git checkout: {listing.stderr.strip()}")
    names = sorted(set(filter(None, listing.stdout.split("\0"))))
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def modules() -> list[Path]:
    return [path for path in files_in_git("netfw") if path.suffix == ".py"]


def lint_commands() -> list[str]:
    """The recipe of `make lint`: the one list of linters."""
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe, "Makefile has no recipe for lint"
    return [line.replace("$(BIN)/", "").strip() for line in recipe[1].splitlines()]


@pytest.mark.parametrize("command", lint_commands())
def test_linter_has_nothing_to_say(command: str):
    done = run(*shlex.split(command))
    expect_success(done)
    skipped = re.match(r"skipped: (.+)", done.stdout)
    if skipped:
        pytest.skip(skipped[1])


def test_top_level_holds_only_what_it_may():
    names = {path.relative_to(ROOT).parts[0] for path in files_in_git()}
    expect_none(
        "not allowed at the top level",
        sorted(name for name in names - TOP_LEVEL if not name.startswith(".")),
    )


def test_no_module_is_longer_than_a_reader_can_bear():
    lengths = [(path, len(path.read_text().splitlines())) for path in modules()]
    expect_none(
        f"longer than {LONGEST_MODULE} lines",
        [f"{path.relative_to(ROOT)}: {n}" for path, n in lengths if n > LONGEST_MODULE],
    )


def test_module_names_say_what_is_inside():
    expect_none(
        "named after nothing",
        [
            str(path.relative_to(ROOT))
            for path in modules()
            if NAMES_THAT_SAY_NOTHING & {*path.parent.relative_to(ROOT).parts, path.stem}
        ],
    )


def test_lock_names_no_index():
    """Where packages come from is the user's affair, not the lock's."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    address = re.compile(r"://|^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b")
    expect_none("addresses in requirements.lock", [line for line in lines if address.search(line)])


def test_every_locked_package_has_hashes():
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.findall(r"^(\S+==.*(?:\n    .*)*)", text, re.MULTILINE)
    assert blocks
    expect_none("without a hash", [block for block in blocks if "--hash=sha256:" not in block])


def test_lock_holds_every_declared_dependency():
    """After a change of pyproject.toml it may not: `make lock` mends that."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*declared["project"]["dependencies"], *declared["dependency-groups"]["dev"]]
    wanted += declared["build-system"]["requires"]
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    expect_none(
        "not in requirements.lock",
        sorted({re.split(r"[^\w.-]", name)[0].lower() for name in wanted} - set(locked)),
    )


def test_command_line_starts_without_the_slow_imports():
    """`netfw --help` and tab completion must not wait for scapy."""
    program = (
        "import sys, netfw.cli.main;"
        f"print(*(name for name in {SLOW_TO_IMPORT!r} if name in sys.modules))"
    )
    done = run(sys.executable, "-c", program)
    expect_success(done)
    expect_none("imported by netfw.cli.main", done.stdout.split())


def test_bit_numbers_of_the_policy_field_are_written_once():
    """Everything derives from the mask; hexadecimal literals only, as 65536 may be a size."""
    only_here = ROOT / "netfw/ir/mark_field.py"
    expect_none(
        f"bits of the policy field outside {only_here.relative_to(ROOT)}",
        [
            f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}"
            for path in modules()
            if path != only_here
            for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
            if token.type == tokenize.NUMBER
            and token.string.lower().startswith("0x")
            and ast.literal_eval(token.string) in BITS_OF_THE_POLICY_FIELD
        ],
    )
