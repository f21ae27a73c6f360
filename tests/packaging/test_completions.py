"""What the shell offers after a few lines; bash's own function is asked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from netfw.doctor.findings import FINDINGS
from netfw.report.data_schema import DATA_SCHEMAS
from tests.packaging.scripts import run_script
from tests.packaging.whole_command_line import VERB_NAMES, actions_of, options_of

ASK = """\
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"
_shtab_netfw
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def completions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completions")
    run_script("completions.py", folder)
    return folder


@pytest.fixture
def offered(completions: Path, tmp_path: Path):
    """What bash offers for the last of these words, in a folder with a policy."""
    (tmp_path / "router.yaml").touch()
    (tmp_path / "site").mkdir()

    def ask(*words: str) -> list[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", ASK, "bash", completions / "netfw.bash", "netfw", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    return ask


def test_all_verbs_are_offered(offered):
    assert offered("") == list(VERB_NAMES)
    assert offered("expl") == ["explain", "explain-finding"]


@pytest.mark.parametrize("verb", VERB_NAMES)
def test_every_option_of_a_verb_is_offered(offered, verb: str):
    common = {"-h", "--help", "--debug", "--color"}
    assert set(offered(verb, "-")) == {*options_of(verb), *common}


@pytest.mark.parametrize("verb", VERB_NAMES)
def test_every_choice_of_an_option_is_offered(offered, verb: str):
    for action in actions_of(verb):
        if action.choices is not None and action.option_strings:
            name = action.option_strings[-1]
            assert offered(verb, name, "") == [str(choice) for choice in action.choices], name


@pytest.mark.parametrize("verb", ["doctor", "explain-finding"])
def test_codes_of_findings_are_offered(offered, verb: str):
    assert offered(verb, "") == list(FINDINGS)
    assert offered(verb, "mark-ov") == ["mark-overwritten"]


def test_names_of_schemas_are_offered(offered):
    assert set(offered("schema", "")) >= {"policy", *DATA_SCHEMAS}


def test_a_policy_is_a_file_or_a_folder(offered):
    assert sorted(offered("apply", "")) == ["router.yaml", "site"]
    assert offered("check", "--json", "rou") == ["router.yaml"]
    assert offered("compile", "--output", "") == ["site"]


def test_a_time_or_a_reason_is_left_to_the_user(offered):
    assert offered("apply", "--confirm", "") == []
    assert offered("apply", "--message", "r") == []


def test_interfaces_of_this_host_are_offered(offered):
    assert "lo" in offered("explain", "--in", "")


@pytest.mark.parametrize(("shell", "name"), [("zsh", "_netfw"), ("fish", "netfw.fish")])
def test_another_shell_reads_its_completions(completions: Path, shell: str, name: str):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [shell, "-n", completions / name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["_netfw", "netfw.fish"])
def test_the_other_shells_know_all_verbs_and_codes(completions: Path, name: str):
    text = (completions / name).read_text(encoding="utf-8")
    assert [word for word in (*VERB_NAMES, *FINDINGS) if word not in text] == []
