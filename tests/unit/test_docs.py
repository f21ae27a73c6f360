"""The documentation shows what is really printed."""

import re
import shlex
from pathlib import Path

import pytest
from scapy.utils import wrpcap

from netfw.cli.main import VERBS, main
from netfw.compiler.pipeline import compile_policy
from netfw.errors import ExitCode
from netfw.ir.names import Family
from netfw.policy.read import load
from netfw.render.restore import render_ruleset
from netfw.traverse.documented import REFINEMENTS
from tests.captures import handshake

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CLI = (ROOT / "netfw" / "docs" / "cli.md").read_text()
PACKETS = (ROOT / "netfw" / "docs" / "packets.md").read_text()


def block(text: str, language: str, begins: str = "") -> str:
    """The first code block of a language that begins so."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return next(body for kind, body in blocks if kind == language and body.startswith(begins))


def test_the_readmes_policy_compiles_to_the_rules_shown_there() -> None:
    compiled = compile_policy(load(block(README, "yaml"), "policy.yaml"))
    printed = render_ruleset(compiled.rulesets[Family.IPV4]).splitlines()
    shown = [line for line in README.splitlines() if line.startswith("-A ")]
    assert shown
    assert [line for line in shown if line not in printed] == []


def test_the_readmes_two_commands_are_targets_of_the_makefile() -> None:
    commands = [line.split("#")[0].split() for line in block(README, "").splitlines()]
    targets = (ROOT / "Makefile").read_text()
    assert [words[0] for words in commands] == ["make", "make"]
    assert all(f"\n{words[1]}: " in targets for words in commands)


def test_ci_runs_exactly_the_readmes_test_command() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert any(re.search(r"\bmake test$", line) for line in lines)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_described(verb: str) -> None:
    assert f"## netfw {verb}" in CLI
    assert f"`netfw {verb}" in README


def test_the_error_shown_is_the_one_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(
        "version: 1\nendpoints:\n  wan: {host: eth0}\npolicies:\n  - name: public\n    at: wan\n"
        "    ingress:\n      - allow: http\n      - alow: ssh\n"
    )
    assert main(["compile", "policy.yaml"]) == ExitCode.POLICY
    assert block(CLI, "", "policy.yaml:") in capsys.readouterr().err


def test_findings_changes_and_the_proof_shown_are_those_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that they are about the policy that is shown: the change is made to it here."""
    monkeypatch.chdir(tmp_path)
    old = block(CLI, "yaml", "version: 1\nendpoints:\n  wan: {host: eth0}\n  dmz")
    Path("policy.yaml").write_text(old)
    new = old[: old.index("assert:")].replace("8100", "8200")
    line = "      - deny: tcp/8080\n"
    assert line in new
    new = new.replace(line, "")
    Path("new.yaml").write_text(
        f"{new}assert:\n  - denied: {{in: wan, to: host, service: ssh, from: {{not: office}}}}\n"
    )
    for command in (["check", "policy.yaml"], ["diff", "policy.yaml", "new.yaml"]):
        assert main(command) == ExitCode.DIFFERENCES
        shown = block(CLI, "", f"$ netfw {' '.join(command)}\n").partition("\n")[2]
        assert capsys.readouterr().out == shown
    assert main(["prove", "new.yaml"]) == ExitCode.OK

    def timeless(text: str) -> str:
        return re.sub(r"\d+ nodes, [\d.]+ s", "", text)

    assert timeless(capsys.readouterr().out) == timeless(block(CLI, "", "✓ IPv4:"))


def test_every_refinement_of_the_order_is_explained_by_path(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["path"])
    printed = capsys.readouterr().out
    assert all(f"\n  {refinement.name}\n" in printed for refinement in REFINEMENTS)


def test_every_packet_shown_goes_as_is_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the rules that are shown there; what a live host says is a kernel test."""
    monkeypatch.chdir(tmp_path)
    Path("saved.txt").write_text(block(PACKETS, "", "*mangle"))
    wrpcap("capture.pcap", handshake())
    blocks = re.findall(r"^```\n\$ netfw (.*?)\n(.*?)^```$", PACKETS, re.DOTALL | re.MULTILINE)
    from_files = [(command, shown) for command, shown in blocks if "--host" not in command]
    assert len(from_files) >= 10
    for command, shown in from_files:
        main(shlex.split(command))
        printed = capsys.readouterr()
        assert printed.out + printed.err == shown, command


@pytest.mark.parametrize("word", ["in", "out", "mark", "state", "flags", "type", "ttl"])
def test_every_piece_of_a_packet_is_described(word: str) -> None:
    assert f"| `{word} " in PACKETS


PAGES = {path.name: path.read_text() for path in (ROOT / "netfw" / "docs").glob("*.md")}


def anchors(page: str) -> set[str]:
    """What headings are called in links: lower case, blanks as dashes, without punctuation."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {
        re.sub(r"[^a-z0-9 _-]", "", each.lower()).strip().replace(" ", "-") for each in headings
    }


@pytest.mark.parametrize("name", PAGES)
def test_links_between_pages_lead_to_headings(name: str) -> None:
    for page, anchor in re.findall(r"\]\(([\w.-]*\.md)?#([^)]*)\)", PAGES[name]):
        assert anchor in anchors(PAGES[page or name]), f"{page}#{anchor}"


POLICY_PAGE = (ROOT / "netfw" / "docs" / "policy.md").read_text()
GOLDEN = [
    path.read_text()
    for folder in (ROOT / "tests" / "golden", ROOT / "netfw" / "examples")
    for path in sorted(folder.glob("**/*.yaml"))
]


def plain_lines(text: str) -> list[str]:
    """Lines without comments and indentation: a part of a policy may stand further left."""
    lines = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in text.splitlines())
    return [re.sub(r"\s+", " ", line) for line in lines if line]


def is_part_of(lines: list[str], whole: list[str]) -> bool:
    """Whether all lines stand in a text, in this order."""
    rest = iter(whole)
    return all(any(line == other for other in rest) for line in lines)


@pytest.mark.parametrize(
    "shown", re.findall(r"^```yaml\n(.*?)^```$", POLICY_PAGE, re.DOTALL | re.MULTILINE)
)
def test_every_policy_shown_is_part_of_one_that_is_proved_and_sent_through_the_kernel(
    shown: str,
) -> None:
    if "…" in shown:
        # the page's overview of all keys
        assert shown.startswith("version: 1")
        return
    lines = plain_lines(shown)
    assert any(is_part_of(lines, plain_lines(whole)) for whole in GOLDEN), shown
