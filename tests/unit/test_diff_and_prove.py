"""``netfw diff`` and ``netfw prove``: what they print, and what they end with."""

import json
from pathlib import Path

import pytest

from netfw.cli.main import main
from netfw.errors import ExitCode

POLICY = """\
version: 1
endpoints: {wan: {host: eth0}}
policies:
  - {name: public, at: wan, ingress: [{allow: SERVICES}]}
"""
RULES = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i eth0 -p tcp -m tcp --dport PORTS -j ACCEPT
COMMIT
"""


def policy(folder: Path, name: str, services: str) -> str:
    (folder / name).write_text(POLICY.replace("SERVICES", services))
    return str(folder / name)


def rules(folder: Path, name: str, ports: str) -> str:
    (folder / name).write_text(RULES.replace("PORTS", ports))
    return str(folder / name)


def test_policies_that_say_the_same_in_other_words_do_not_differ(tmp_path: Path) -> None:
    old = policy(tmp_path, "old", "[tcp/80-81]")
    new = policy(tmp_path, "new", "[tcp/81, tcp/80]")
    assert main(["diff", old, new]) == ExitCode.OK


def test_rules_that_say_the_same_in_other_words_do_not_differ(tmp_path: Path) -> None:
    old, new = rules(tmp_path, "old", "80:81"), tmp_path / "new"
    line = "-A INPUT -i eth0 -p tcp -m tcp --dport {} -j ACCEPT\n"
    text = RULES.replace(line.format("PORTS"), line.format(81) + line.format(80))
    new.write_text(text)
    assert main(["diff", old, str(new)]) == ExitCode.OK


def test_what_is_newly_accepted_and_denied_is_told_with_packets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = rules(tmp_path, "old", "80:81"), rules(tmp_path, "new", "81:82")
    assert main(["diff", old, new, "--family", "4"]) == ExitCode.DIFFERENCES
    printed = capsys.readouterr().out
    assert "newly accepted" in printed
    assert "newly denied" in printed
    assert ":82 " in printed
    assert ":80 " in printed
    assert ":81 " not in printed


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("{set: syn, clear: ack}", "not with flags syn without flags ack"),
        ("{not: {set: syn, clear: ack}}", "with flags syn without flags ack"),
        ("{not: {clear: [fin, urg]}}", "without flags fin,urg"),
    ],
)
def test_flags_of_tcp_are_told_by_name(
    asked: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = policy(tmp_path, "old", "tcp/80")
    new = policy(tmp_path, "new", f"tcp/80, tcp-flags: {asked}")
    assert main(["diff", old, new]) == ExitCode.DIFFERENCES
    assert f" {told}\n" in capsys.readouterr().out


def test_a_policy_is_compared_with_rules(tmp_path: Path) -> None:
    old, new = policy(tmp_path, "old", "[tcp/80]"), rules(tmp_path, "new", "80")
    assert main(["diff", old, new, "--family", "4"]) == ExitCode.DIFFERENCES


def test_differences_are_told_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = policy(tmp_path, "old", "[tcp/80]"), policy(tmp_path, "new", "[tcp/81]")
    assert main(["diff", "--json", old, new]) == ExitCode.DIFFERENCES
    assert json.loads(capsys.readouterr().out)


def test_families_that_do_not_fit_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = rules(tmp_path, "old", "80")
    (tmp_path / "new").write_text("*filter\n-A INPUT -s 2001:db8::1 -j DROP\nCOMMIT\n")
    assert main(["diff", old, str(tmp_path / "new")]) == ExitCode.USAGE
    assert "say --family" in capsys.readouterr().err


def test_compiled_rules_are_proved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", policy(tmp_path, "policy", "[tcp/80]")]) == ExitCode.OK
    assert "proved: for every packet the rules do what the policy says" in capsys.readouterr().out


def test_rules_of_another_policy_are_not_proved_and_a_packet_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted, other = policy(tmp_path, "policy", "[tcp/80]"), policy(tmp_path, "other", "[tcp/81]")
    assert main(["compile", "--family", "4", other]) == ExitCode.OK
    (tmp_path / "saved").write_text(capsys.readouterr().out)
    words = ["prove", wanted, "--family", "4", "--rules", str(tmp_path / "saved")]
    assert main(words) == ExitCode.DIFFERENCES
    printed = capsys.readouterr().out
    assert ":80 " in printed or ":81 " in printed
    assert "proved: for every packet" not in printed
    assert main([*words, "--json"]) == ExitCode.DIFFERENCES
    assert json.loads(capsys.readouterr().out)


def test_rules_with_sets_are_compared_by_their_members(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rules and sets of a policy say what it says; with a member less they do not."""
    services = ", ".join(f"tcp/{port}" for port in range(1, 100, 2))
    file = policy(tmp_path, "p.yaml", f"[{services}], from: [192.0.2.0/24, 198.51.100.0/24]")
    assert main(["compile", file, "--output", str(tmp_path)]) == ExitCode.OK
    rules, sets = tmp_path / "netfw.v4.rules", tmp_path / "netfw.ipset"
    words = ["diff", file, str(rules), "--family", "4"]
    assert main([*words, "--new-sets", str(sets)]) == ExitCode.OK
    lines = sets.read_text().splitlines(keepends=True)
    assert len(lines) == 101
    sets.write_text("".join(lines[:-1]))
    assert main([*words, "--new-sets", str(sets)]) == ExitCode.DIFFERENCES
    assert (
        "newly denied: IPv4 to this host\n  - tcp from 198.51.100.0/24" in capsys.readouterr().out
    )
    assert main(words) == ExitCode.DIFFERENCES
    assert main([*words, "--old-sets", str(sets)]) == ExitCode.USAGE
