"""The command line: every refusal is one clear line and a documented exit code."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from netfw.cli.main import main

POLICY = """\
version: 1
endpoints:
  wan: {host: eth0}
policies:
  - name: public
    at: wan
    ingress:
      - allow: ssh
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("words", "code", "place", "problem"),
    [
        (["verfy"], 2, "netfw", "there is no verb 'verfy'"),
        (["verify", "--bakend", "nft"], 2, "netfw", "unrecognized arguments: --bakend"),
        (["verify", "--backend", "pf"], 2, "netfw verify", "invalid choice: 'pf'"),
        (["verify", "--family", "5"], 2, "netfw verify", "invalid choice: '5'"),
        (["compile"], 2, "netfw compile", "required: POLICY"),
        (["compile", "no/such.yaml"], 3, "no/such.yaml", "there is no such file"),
        (["compile", "."], 3, ".", "this folder has no file that ends in .yaml"),
        (["marks", "4294967296"], 2, "4294967296", "outside 0..4294967295"),
        (["marks", "-1"], 2, "-1", "'-1' is not a number"),
        (["marks", "0x30000/0x10000"], 2, "0x30000/0x10000", "outside its mask"),
        (["marks", "ten"], 2, "ten", "is not a number"),
        (["marks", "1", "--field", "0x7"], 2, "--field", "needs exactly four"),
        (["path", "sideways"], 2, "netfw path", "invalid choice: 'sideways'"),
    ],
)
def test_bad_input_is_refused_in_one_line_with_its_place(
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, place: str, problem: str
) -> None:
    found, out, err = run(capsys, *words)
    lines = err.splitlines()
    assert found == code
    assert out == ""
    assert lines[0].startswith(f"{place}: ")
    assert problem in lines[0]
    assert [line for line in lines[1:] if not line.startswith("  hint: ")] == []


def test_a_mistyped_verb_gets_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert "hint: did you mean 'verify'?" in run(capsys, "verfy")[2]


def test_every_fault_of_a_policy_is_told_at_once(
    capsys: pytest.CaptureFixture[str], policy: Path
) -> None:
    policy.write_text(POLICY.replace("allow: ssh", "alow: ssh").replace("eth0", "eth0/x"))
    code, out, err = run(capsys, "compile", str(policy))
    assert (code, out) == (3, "")
    assert f"{policy}:3:" in err
    assert f"{policy}:8:" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("text", ["{", "- 1\n", "", "\t- x", "version: 1\nversion: 1\n"])
def test_what_is_no_policy_is_refused_with_its_line(
    capsys: pytest.CaptureFixture[str], policy: Path, text: str
) -> None:
    policy.write_text(text)
    code, out, err = run(capsys, "compile", str(policy))
    assert (code, out) == (3, "")
    assert err.startswith(f"{policy}:")


def test_a_policy_that_is_not_utf8_is_refused_with_its_line(
    capsys: pytest.CaptureFixture[str], policy: Path
) -> None:
    policy.write_bytes(b"version: 1\nendpoints: \xff\n")
    code, _, err = run(capsys, "compile", str(policy))
    assert code == 3
    assert err.startswith(f"{policy}:2: byte 0xff is not UTF-8")


def test_a_policy_can_come_by_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(POLICY.encode())))
    code, out, _ = run(capsys, "compile", "-", "--family", "4")
    assert code == 0
    assert out.startswith("*raw\n")


def test_one_family_is_printed_as_pure_restore_input(
    capsys: pytest.CaptureFixture[str], policy: Path
) -> None:
    _, both, _ = run(capsys, "compile", str(policy))
    _, four, _ = run(capsys, "compile", str(policy), "--family", "4")
    assert "# IPv4: for iptables-restore\n*raw" in both
    assert "# IPv6: for ip6tables-restore\n*raw" in both
    assert all(line[0] in "*:-C" for line in four.splitlines())


@pytest.fixture
def long_policy(tmp_path: Path) -> Path:
    """Nine rules that become a set in each family."""
    file = tmp_path / "long.yaml"
    rules = "".join(
        f'      - {{allow: tcp/{port}, from: [192.0.2.{port}, "2001:db8::{port}"]}}\n'
        for port in range(1, 10)
    )
    file.write_text(POLICY + rules)
    return file


def test_sets_are_printed_before_the_rules_that_ask_them(
    capsys: pytest.CaptureFixture[str], long_policy: Path
) -> None:
    _, both, _ = run(capsys, "compile", str(long_policy))
    headings = [line for line in both.splitlines() if line.startswith("#")]
    assert headings == [
        "# IPv4: sets, for ipset restore",
        "# IPv4: rules, for iptables-restore",
        "# IPv6: sets, for ipset restore",
        "# IPv6: rules, for ip6tables-restore",
    ]
    for only, starts in (("sets", {"create", "add"}), ("rules", {"*", ":", "-", "C"})):
        _, out, _ = run(capsys, "compile", str(long_policy), "--family", "6", "--only", only)
        words = {line.split()[0] for line in out.splitlines()}
        assert words == starts if only == "sets" else {word[0] for word in words} == starts
    _, out, _ = run(capsys, "compile", str(long_policy), "--json")
    data = json.loads(out)
    assert data["sets"]["6"].startswith("create NETFW-6-IN-wan-A-sp hash:net,port family inet6")
    comment = data["sets"]["4"].splitlines()[3].split('"netfw:')[1].rstrip('"')
    assert data["source_map"][comment]["line"] == 11


def test_a_directory_gets_a_file_for_each_program(
    capsys: pytest.CaptureFixture[str], long_policy: Path, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "out"
    code, out, _ = run(capsys, "compile", str(long_policy), "--output", str(target))
    assert (code, out) == (0, "")
    assert sorted(path.name for path in target.iterdir()) == [
        "netfw.ipset",
        "netfw.v4.rules",
        "netfw.v6.rules",
    ]
    assert (target / "netfw.ipset").read_text().count("create ") == 2
    for option in (["--only", "sets"], ["--json"]):
        code, _, err = run(capsys, "compile", str(long_policy), "--output", str(target), *option)
        assert (code, err.splitlines()[0]) == (2, f"{option[0]}: nothing is printed with --output")
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "compile", str(long_policy), "--output", str(tmp_path / "file"))
    assert code == 2
    assert "cannot be made" in err


def test_the_member_of_a_set_that_decides_is_named_with_its_rule(
    capsys: pytest.CaptureFixture[str], long_policy: Path
) -> None:
    packet = "tcp 192.0.2.5 -> 203.0.113.1:5 in eth0"
    code, out, _ = run(capsys, "explain", "--policy", str(long_policy), packet)
    last = out.splitlines()[-1]
    assert code == 0
    assert "member 192.0.2.5,tcp:5 of NETFW-4-IN-wan-A-sp" in last
    assert f"{long_policy}:13:9 public/allow-" in last
    _, out, _ = run(capsys, "explain", "--policy", str(long_policy), packet, "--json")
    (member,) = json.loads(out)["decided_by"]["members"]
    assert member in last


def test_the_source_map_leads_from_a_rule_to_its_line(
    capsys: pytest.CaptureFixture[str], policy: Path, tmp_path: Path
) -> None:
    target = tmp_path / "map.json"
    code, out, _ = run(capsys, "compile", str(policy), "--source-map", str(target))
    identity = next(
        line.split('"netfw:')[1].split('"')[0] for line in out.splitlines() if "public/" in line
    )
    entry = json.loads(target.read_text())[identity]
    assert code == 0
    assert (entry["file"], entry["line"]) == (str(policy), 8)


def test_a_source_map_that_cannot_be_written_is_refused(
    capsys: pytest.CaptureFixture[str], policy: Path
) -> None:
    code, out, err = run(capsys, "compile", str(policy), "--source-map", "/no/such/dir/map")
    assert (code, out) == (2, "")
    assert err.startswith("--source-map /no/such/dir/map: cannot be written")


def test_marks_says_what_each_bit_means(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "marks", "0x60000")
    assert code == 0
    assert "0x00020000  checked             set" in out
    assert "denied by the policy; came in by a host endpoint" in out


def test_marks_knows_a_moved_field_and_foreign_bits(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "marks", "0x3004000", "--field", "0x0f000000")
    assert code == 0
    assert "accepted by the policy" in out
    assert "0x00004000  outside netfw's field 0xf000000" in out


def test_marks_tells_what_a_mark_steers_by(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "marks", "0x4570001", "--steer", "0x0ff00000")
    assert code == 0
    assert "0x04500000  steering            table number 2 for answers, class number 4" in out
    assert "0x00000001  outside netfw's field" in out
    _, out, _ = run(capsys, "marks", "0x60000", "--steer", "0x0ff00000", "--json")
    assert json.loads(out)["steering"] == "not steered"
    code, _, err = run(capsys, "marks", "1", "--steer", "0xff0000")
    assert code == 2
    assert "the bits 0xf0000 are in the field too" in err


def test_marks_speaks_json(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "marks", "0x30000", "--json")
    assert json.loads(out)["set"] == ["accept", "checked"]


def test_path_prints_the_documented_order(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "path", "in")
    assert code == 0
    assert out.startswith("to this host:\n")
    assert "nat-first-packet-only" in out
    assert "filter.FORWARD" not in out.split("The kernel refines")[0]


def test_path_speaks_json(capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(run(capsys, "path", "--json")[1])
    assert data["paths"]["forwarded"][0] == "raw.PREROUTING"
    assert all(refinement["source"] for refinement in data["refinements"])


def test_without_root_verify_says_so_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    code, out, err = run(capsys, "verify")
    assert (code, out) == (4, "")
    assert err.splitlines()[0] == ("netfw verify: this needs root: it makes network namespaces")


def test_a_bug_of_ours_is_told_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("netfw.cli.marks._layout", fail)
    code, _, err = run(capsys, "marks", "--field", "0xf0000")
    assert code == 70
    assert err.startswith("netfw: internal error: RuntimeError: boom\n  hint: this is a bug")


def test_an_interrupt_ends_with_its_own_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("netfw.cli.marks._layout", interrupt)
    code, _, err = run(capsys, "marks", "--field", "0xf0000")
    assert (code, err) == (130, "netfw: interrupted; nothing is left behind\n")


@pytest.mark.parametrize("words", [["--help"], ["verify", "--help"], ["--version"]])
def test_help_and_version_are_well(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert "netfw" in capsys.readouterr().out


def test_without_a_verb_the_help_is_printed_and_it_is_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = run(capsys)
    assert code == 2
    assert "verify" in out


def test_output_into_a_closed_pipe_is_no_error() -> None:
    argv = [sys.executable, "-m", "netfw", "path", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        said = child.stderr.read()
    assert (child.returncode, said) == (0, b"")


@pytest.mark.parametrize(
    "words",
    [["--debug", "marks", "1"], ["marks", "1", "--debug"], ["--color", "never", "marks", "1"]],
)
def test_common_options_may_stand_before_or_behind_the_verb(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, *words)[0] == 0
