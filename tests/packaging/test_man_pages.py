"""The man pages hold all verbs and options, and man has nothing to complain about."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.scripts import run_script
from tests.packaging.whole_command_line import VERB_NAMES, actions_of, options_of

needs_man = pytest.mark.skipif(
    shutil.which("man") is None or shutil.which("groff") is None,
    reason="man-db or groff is not installed",
)
PAGES = ("netfw.1", "netfw-policy.5")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    run_script("man_pages.py", folder)
    return folder


def section(pages: Path, verb: str) -> str:
    """What netfw(1) says of a verb, without roff's escapes."""
    page = (pages / "netfw.1").read_text(encoding="utf-8")
    found = re.search(rf'^\.SH "NETFW {verb.upper()}"\n(.*?)(?=^\.SH )', plain(page), re.M | re.S)
    assert found, f"no section of {verb}"
    return found[1]


def plain(roff: str) -> str:
    return re.sub(r"\\f.|\\&", "", roff).replace("\\-", "-").replace("\\(aq", "'")


def rendered(pages: Path, page: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["man", "--warnings", "--encoding=UTF-8", "--local-file", page],
        cwd=pages,
        # groff speaks of lines that it cannot fill, which differs with the width
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MAN_KEEP_FORMATTING": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("verb", VERB_NAMES)
def test_every_option_of_a_verb_stands_in_its_section(pages: Path, verb: str):
    said = section(pages, verb)
    missing = [
        name for name in options_of(verb) if not re.search(rf"^{name}\b|, {name}\b", said, re.M)
    ]
    assert missing == []


@pytest.mark.parametrize("verb", VERB_NAMES)
def test_every_choice_and_word_of_a_verb_stands_in_its_section(pages: Path, verb: str):
    said = section(pages, verb)
    words = [str(choice) for action in actions_of(verb) for choice in action.choices or ()]
    words += [action.metavar for action in actions_of(verb) if isinstance(action.metavar, str)]
    assert [word for word in words if word not in said] == []


def test_verbs_are_listed_with_what_they_do(pages: Path):
    page = plain((pages / "netfw.1").read_text(encoding="utf-8"))
    assert [verb for verb in VERB_NAMES if f"\n.TP\n.B {verb}\n" not in page] == []


@needs_man
@pytest.mark.parametrize("page", PAGES)
def test_man_sets_the_page_without_a_warning(pages: Path, page: str):
    done = rendered(pages, page)
    assert (done.returncode, done.stderr) == (0, "")
    assert "SYNOPSIS" in done.stdout or "DESCRIPTION" in done.stdout


@needs_man
def test_code_and_tables_of_the_language_come_out_as_they_are_written(pages: Path):
    page = rendered(pages, "netfw-policy.5").stdout
    assert '\n           version: 1\n           include: [common.yaml, "sites/*.yaml"]\n' in page
    assert "│ what comes in by it to this host" in page


@needs_man
def test_nothing_of_markdown_is_left(pages: Path):
    for page in PAGES:
        text = rendered(pages, page).stdout
        assert re.findall(r"\]\([^)]*\.md[^)]*\)|\*\*\w|^ *\|---", text, re.M) == []
