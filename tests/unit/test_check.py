"""``netfw check``: each kind of finding is found, and nothing is found where nothing is."""

import json
from pathlib import Path

import pytest

from netfw.cli.main import main
from netfw.errors import ExitCode
from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.names import Family
from netfw.policy.read import load
from netfw.prove.finding import Finding, Kind
from netfw.prove.lint_policy import lint_policy
from netfw.prove.lint_rules import lint_rules

EXAMPLES = sorted((Path(__file__).parents[2] / "netfw" / "examples").glob("*.yaml"))
START = """\
version: 1
endpoints:
  wan: {host: eth0}
  lan: {host: eth1}
nets: {office: [192.0.2.0/24, "2001:db8:1::/48"]}
failsafes: none
policies:
  - {name: lan, at: lan, ingress: [{allow: dns}]}
  - name: public
    at: wan
    ingress:
"""
FILTER = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"


def of_policy(rules: str, more: str = "") -> list[Finding]:
    lines = "".join(f"      - {rule}\n" for rule in rules.split("; "))
    return lint_policy(load(START + lines + more, "policy.yaml"))


def of_rules(*rules: str, family: Family = Family.IPV4, head: str = FILTER) -> list[Finding]:
    text = head + "".join(f"-A {rule}\n" for rule in rules) + "COMMIT\n"
    return lint_rules(parse_ruleset(text, family, "saved"))


def kinds(findings: list[Finding]) -> list[tuple[str, int]]:
    """Code and line of each."""
    found = []
    for finding in findings:
        assert not isinstance(finding.where, str), finding
        found.append((finding.kind.code, finding.where.line))
    return found


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("allow: ssh; allow: http", []),
        ("allow: tcp/8000-8100; deny: tcp/8080", [("shadowed", 13)]),
        ("allow: tcp/1-100; allow: tcp/101-200; deny: tcp/50-150", [("shadowed", 14)]),
        ("allow: tcp/1-100; allow: tcp/102-200; deny: tcp/50-150", [("changes-nothing", 14)]),
        ("allow: ssh; allow: ssh", [("duplicate", 13)]),
        ("deny: tcp/23; allow: tcp/1-1024", []),
        ("allow: tcp/80; allow: tcp/1-1024", [("changes-nothing", 12)]),
        ("allow: ssh; deny: tcp/23", [("changes-nothing", 13)]),
        ("allow: any", [("any-to-any", 12)]),
        ("allow: any; deny: ssh", [("any-to-any", 12), ("shadowed", 13)]),
        ("log: {prefix: x}; deny: ssh", [("changes-nothing", 13)]),
    ],
)
def test_of_a_policy_each_kind_of_finding_is_found_at_its_line(
    rules: str, expected: list[tuple[str, int]]
) -> None:
    assert kinds(of_policy(rules)) == expected


def test_a_shadowed_rule_names_all_that_shadow_it() -> None:
    (finding,) = of_policy("allow: tcp/1-100; allow: tcp/101-200; deny: tcp/50-150")
    assert "line 12: 'allow: tcp/1-100'; line 13: 'allow: tcp/101-200'" in finding.text


def test_a_rule_that_only_one_family_could_meet_is_no_finding() -> None:
    assert of_policy("allow: ping") == []


def test_an_endpoint_of_which_nothing_speaks_is_found() -> None:
    text = (
        START.replace("  lan: {host", "  dmz: {host: eth2}\n  lan: {host") + "      - allow: ssh\n"
    )
    (finding,) = lint_policy(load(text, "policy.yaml"))
    assert (finding.kind, str(finding.where)) == (Kind.NO_POLICY, "policy.yaml:4:3")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_have_no_findings(path: Path) -> None:
    assert lint_policy(load(path.read_text(), path.name)) == []


MANGLE = "*mangle\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["INPUT -p tcp -m tcp --dport 22 -j ACCEPT"], []),
        (
            ["INPUT -s 10.0.0.0/8 -j ACCEPT", "INPUT -s 10.1.0.0/16 -p tcp -j DROP"],
            [("shadowed", 6)],
        ),
        (["INPUT -p tcp -j ACCEPT", "INPUT -p tcp -j ACCEPT"], [("duplicate", 6)]),
        (["INPUT -p udp -m tcp --dport 22 -j ACCEPT"], [("never-matches", 5)]),
        (["INPUT -m conntrack --ctstate NEW -m mark --mark 0x1 -j ACCEPT"], []),
        (["INPUT -j DROP"], [("changes-nothing", 5)]),
        (["INPUT -j ACCEPT"], [("any-to-any", 5)]),
        (["INPUT -m mark --mark 0x10/0xf -j ACCEPT"], [("mark-outside-mask", 5)]),
        (["INPUT -m mark ! --mark 0x10/0xf -p tcp -j ACCEPT"], [("mark-outside-mask", 5)]),
        (["INPUT -m limit --limit 1/sec -j LOG", "INPUT -p tcp -j ACCEPT"], []),
        (["INPUT -m helper --helper ftp -j ACCEPT", "INPUT -p tcp -j ACCEPT"], []),
    ],
    ids=lambda value: " / ".join(value) if value and isinstance(value[0], str) else None,
)
def test_of_rules_each_kind_of_finding_is_found_at_its_line(
    rules: list[str], expected: list[tuple[str, int]]
) -> None:
    assert kinds(of_rules(*rules)) == expected


def test_a_chain_that_nothing_enters_is_found_and_why() -> None:
    head = FILTER + ":a - [0:0]\n:b - [0:0]\n"
    findings = of_rules("a -p tcp -j b", "b -j DROP", head=head)
    assert kinds(findings) == [("unreachable-chain", 7), ("unreachable-chain", 8)]
    assert "no rule calls it" in findings[0].text
    assert "it is called by a rule 1, which no packet meets" in findings[1].text


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("POSTROUTING -o eth0 -j MARK --set-xmark 0x1/0x1", "mark-too-late"),
        ("OUTPUT -o eth0 -j MARK --set-xmark 0x1/0x1", None),
        ("PREROUTING -i eth0 -j MARK --set-xmark 0x1/0x1", None),
        ("PREROUTING -i eth0 -j MARK --set-xmark 0x1f/0xf", "mark-outside-mask"),
        ("PREROUTING -i eth0 -j MARK --set-xmark 0x1/0x0", None),
    ],
)
def test_a_mark_that_comes_too_late_or_toggles_bits_is_found(rule: str, code: str | None) -> None:
    assert [finding.kind.code for finding in of_rules(rule, head=MANGLE)] == (
        [] if code is None else [code]
    )


def test_a_rule_behind_a_set_is_shadowed_where_its_members_are_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, sets = tmp_path / "rules", tmp_path / "sets"
    rules.write_text(
        FILTER.replace("ACCEPT", "DROP", 1)
        + "-A INPUT -m set --match-set friends src,dst -j ACCEPT\n"
        "-A INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
    )
    sets.write_text("create friends hash:net,port family inet\nadd friends 192.0.2.0/24,tcp:22\n")
    assert main(["check", "--rules", str(rules)]) == ExitCode.OK
    assert main(["check", "--rules", str(rules), "--sets", str(sets)]) == ExitCode.DIFFERENCES
    assert "INPUT rule 2 is never met" in capsys.readouterr().out
    sets.write_text("create others hash:ip family inet\n")
    assert main(["check", "--rules", str(rules), "--sets", str(sets)]) == ExitCode.HOST
    assert "there is no set 'friends'" in capsys.readouterr().err


def test_a_mark_behind_routing_that_a_rule_reads_is_no_finding() -> None:
    text = (
        "*mangle\n:FORWARD ACCEPT [0:0]\n-A FORWARD -i eth1 -j MARK --set-xmark 0x1/0x1\nCOMMIT\n"
        "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m mark --mark 0x1/0x1 -j ACCEPT\nCOMMIT\n"
    )
    assert lint_rules(parse_ruleset(text, Family.IPV4, "saved")) == []


@pytest.mark.parametrize("family", Family, ids=str)
def test_an_interface_in_output_is_stale_where_packets_are_routed_again(family: Family) -> None:
    rerouting = "*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -j MARK --set-xmark 1/1\nCOMMIT\n"
    judging = "*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -o eth0 -p tcp -j DROP\nCOMMIT\n"
    alone = lint_rules(parse_ruleset(judging, family, "saved"))
    both = lint_rules(parse_ruleset(rerouting + judging, family, "saved"))
    assert alone == []
    assert kinds(both) == [("stale-out-interface", 7)]


def test_what_is_found_is_printed_one_a_line_and_the_exit_code_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("saved").write_text(FILTER + "-A INPUT -p udp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n")
    assert main(["check", "--rules", "saved"]) == ExitCode.DIFFERENCES
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("saved:5: warning: filter INPUT rule 1 is never met: ")
    assert out[1:] == ["saved (IPv4, 1 rule): 1 warning, 0 notes"]
    assert main(["check", "--rules", "saved", "--json"]) == ExitCode.DIFFERENCES
    data = json.loads(capsys.readouterr().out)
    assert [finding["code"] for finding in data["findings"]] == ["never-matches"]
    assert data["findings"][0]["where"] == "saved:5"


def test_notes_alone_are_exit_code_0(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.write_text(FILTER + "-A INPUT -j ACCEPT\nCOMMIT\n")
    assert main(["check", "--rules", str(saved)]) == ExitCode.OK


@pytest.mark.parametrize("words", [["check"], ["check", "a.yaml", "--rules", "b"]])
def test_it_wants_either_a_policy_or_rules(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == ExitCode.USAGE
    assert "give either a policy or --rules FILE" in capsys.readouterr().err
