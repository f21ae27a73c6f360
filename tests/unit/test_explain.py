"""A packet in one line, and its way through rules in words."""

import json
from pathlib import Path

import pytest

from netfw.cli.main import main
from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.ir.net import parse_address
from netfw.traverse.notation import parse_packet
from netfw.traverse.packet import ACK, ICMP, ICMPV6, SYN, TCP, UDP

RULES = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:checked - [0:0]
-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j checked
-A INPUT -m limit --limit 5/min -j LOG
-A FORWARD -m quota --quota 100 -j DROP
-A checked -s 192.0.2.0/24 -j ACCEPT
COMMIT
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    file = tmp_path / "saved.txt"
    file.write_text(RULES)
    return str(file)


def explain(
    capsys: pytest.CaptureFixture[str], rules: str, packet: str, *words: str
) -> tuple[int, str]:
    code = main(["explain", "--rules", rules, packet, *words])
    return code, capsys.readouterr().out


def test_a_packet_is_read_with_what_was_left_out() -> None:
    found = parse_packet("tcp 198.51.100.7 -> 203.0.113.1:443 in eth0")
    packet = found.packet
    assert (packet.family, packet.protocol, packet.tcp_flags) == (Family.IPV4, TCP, SYN)
    assert (packet.source_port, packet.destination_port) == (40000, 443)
    assert (packet.in_interface, found.leaves_by) == ("eth0", "")
    assert (packet.mark, packet.ttl, found.state) == (0, 64, ConnectionState.NEW)
    assert found.completed == ("source port 40000", "flags syn", "state new", "mark 0", "ttl 64")


def test_everything_can_be_said() -> None:
    line = "tcp [2001:db8::1]:5 -> [2001:db8::2]:6 in a out b mark 0x60000 state established ttl 9"
    found = parse_packet(line)
    packet = found.packet
    assert packet.source == parse_address("2001:db8::1")[1]
    assert (packet.source_port, packet.destination_port, packet.tcp_flags) == (5, 6, ACK)
    assert (packet.mark, packet.ttl, found.leaves_by) == (0x60000, 9, "b")
    assert found.state is ConnectionState.ESTABLISHED


@pytest.mark.parametrize(
    ("line", "protocol", "kind"),
    [
        ("icmp 10.0.0.1 -> 10.0.0.2 in a", ICMP, 8),
        ("icmp ::1 -> ::2 in a", ICMPV6, 128),
        ("icmp 10.0.0.1 -> 10.0.0.2 in a type 3/4", ICMP, 3),
        ("udp 10.0.0.1 -> 10.0.0.2:53 out a", UDP, 0),
    ],
)
def test_icmp_is_that_of_the_family(line: str, protocol: int, kind: int) -> None:
    packet = parse_packet(line).packet
    assert (packet.protocol, packet.icmp_type) == (protocol, kind)


@pytest.mark.parametrize(
    ("line", "column", "problem"),
    [
        ("", 1, "there is no packet"),
        ("tcp 10.0.0.1 10.0.0.2 in a", 14, "'10.0.0.2' is none of in, out, mark"),
        ("tcp a 10.0.0.1 -> 10.0.0.2 in a", 7, "'10.0.0.1' stands where '->' belongs"),
        ("tcp 10.0.0.1 ->", 14, "no destination stands behind '->'"),
        ("tpc 10.0.0.1 -> 10.0.0.2 in a", 1, "'tpc' is no protocol"),
        ("tcp 10.0.0 -> 10.0.0.2 in a", 5, "'10.0.0' is no IP address"),
        ("tcp 10.0.0.1 -> ::1 in a", 5, "of different IP families"),
        ("tcp 10.0.0.1:65536 -> 10.0.0.2", 5, "'65536' is not a number from 0 to 65535"),
        ("icmp 10.0.0.1 -> 10.0.0.2:80 in a", 18, "protocol 'icmp' has no ports"),
        ("tcp [::1 -> ::2 in a", 5, "lacks its closing bracket"),
        ("tcp [::1]80 -> ::2 in a", 5, "has '80' where ':PORT' belongs"),
        ("tcp 10.0.0.1 -> 10.0.0.2 in", 26, "'in' stands alone"),
        ("tcp 10.0.0.1 -> 10.0.0.2 in a in b", 31, "'in' stands twice"),
        ("tcp 10.0.0.1 -> 10.0.0.2 by a", 26, "'by' is none of in, out"),
        ("tcp 10.0.0.1 -> 10.0.0.2 in a mark 4294967296", 36, "outside 0..4294967295"),
        ("tcp 10.0.0.1 -> 10.0.0.2 in a state old", 37, "'old' is no connection state"),
        ("tcp 10.0.0.1 -> 10.0.0.2 in a flags sin", 37, "'sin' is no TCP flag"),
        ("udp 10.0.0.1 -> 10.0.0.2 flags syn", 26, "protocol 'udp' has no flags"),
        ("udp 10.0.0.1 -> 10.0.0.2 type 8", 26, "protocol 'udp' has no type"),
        ("tcp 10.0.0.1 -> 10.0.0.2 ttl 256", 30, "'256' is not a number from 0 to 255"),
        ("tcp 10.0.0.1 -> 10.0.0.2 in interface-too-long", 29, "is no interface name"),
    ],
)
def test_what_is_no_packet_is_refused_with_the_place_of_the_word(
    capsys: pytest.CaptureFixture[str], rules: str, line: str, column: int, problem: str
) -> None:
    assert main(["explain", "--rules", rules, line]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, hint = err.splitlines()
    assert first.startswith(f"PACKET:{column}: ")
    assert problem in first
    assert hint.startswith("  hint: ")


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        (
            "10.0.0.2",
            "to this host, in by any interface, source 198.51.100.7 (somebody's), icmp, "
            "type 8 (echo request), state new, mark 0, ttl 64",
        ),
        (
            "[2001:db8::2]:22 in eth0",
            "source 2001:db8::7 (somebody's), tcp, source port 40000, flags syn, state new, "
            "mark 0, ttl 64",
        ),
        (
            "udp 10.0.0.1 -> 10.0.0.2 in eth0 state invalid mark 1 ttl 2",
            "source port 40000, destination port 0",
        ),
        (
            "10.0.0.1:5 -> 10.0.0.2:6 in eth0 state established",
            "tcp, flags ack, mark 0, ttl 64",
        ),
        ("tcp 10.0.0.1:5 -> 10.0.0.2:6 in a state new flags syn mark 1 ttl 2", ""),
    ],
)
def test_each_piece_that_was_left_out_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, completed: str
) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")
    assert main(["explain", "--rules", str(empty), line]) == 0
    said = [
        text.removeprefix("completed: ")
        for text in capsys.readouterr().out.splitlines()
        if text.startswith("completed: ")
    ]
    assert said == ([completed] if completed else [])


def test_an_interface_that_was_left_out_matters_only_where_rules_ask(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "by_interface.txt"
    file.write_text(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -p udp -j DROP\n-A INPUT -i eth1 -j ACCEPT\n"
        "-A INPUT -i wg+ -j ACCEPT\nCOMMIT\n"
    )
    code, out = explain(capsys, str(file), "udp 10.0.0.9 -> 10.0.0.1:9")
    assert code == 0
    assert "dropped by a rule" in out
    code, out = explain(capsys, str(file), "tcp 10.0.0.9 -> 10.0.0.1:9")
    assert code == 4
    assert out.splitlines()[-1].removeprefix("└ ") == (
        "depends on what netfw cannot know: the interface it comes in by: in eth1 or wg0: "
        "delivered to this host, mark 0x0; in other0: dropped by a rule, mark 0x0"
    )


def test_the_deciding_rule_is_named_with_its_line(
    capsys: pytest.CaptureFixture[str], rules: str
) -> None:
    code, out = explain(capsys, rules, "tcp 192.0.2.9 -> 10.0.0.1:22 in eth0")
    assert code == 0
    assert "delivered to this host, mark 0x0" in out
    assert out.splitlines()[-1] == f"decided by filter checked rule 1, {rules}:9"


def test_a_chain_policy_decides_where_no_rule_does(
    capsys: pytest.CaptureFixture[str], rules: str
) -> None:
    code, out = explain(capsys, rules, "tcp 198.51.100.7 -> 10.0.0.1:22 in eth0")
    assert code == 0
    assert "dropped by a rule" in out
    assert out.splitlines()[-1] == "decided by filter INPUT policy"
    assert "INPUT rule 3: continue, mark 0x0 (perhaps)" in out


def test_the_state_can_be_assumed(capsys: pytest.CaptureFixture[str], rules: str) -> None:
    _, out = explain(capsys, rules, "udp 10.0.0.9 -> 10.0.0.1:9 in eth0 state established")
    assert out.splitlines()[-1] == f"decided by filter INPUT rule 1, {rules}:5"


def test_what_is_not_known_is_never_guessed(
    capsys: pytest.CaptureFixture[str], rules: str
) -> None:
    code, out = explain(capsys, rules, "udp 10.0.0.9 -> 10.0.0.1:9 in eth0 out eth1")
    assert code == 4
    assert "depends on what netfw cannot know: rule 1 of filter.FORWARD" in out


SET = "-m set --match-set guests src"


def with_rules(tmp_path: Path, *rules: str) -> str:
    file = tmp_path / "open.txt"
    lines = ["*filter", ":INPUT DROP [0:0]", ":user - [0:0]", *rules, "COMMIT", ""]
    file.write_text("\n".join(lines))
    return str(file)


def test_what_would_be_in_either_case_is_said_with_the_rule_that_leaves_it_open(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = with_rules(tmp_path, f"-A INPUT {SET} -j ACCEPT", "-A INPUT -p udp -j ACCEPT")
    code, out = explain(capsys, file, "tcp 10.0.0.9 -> 10.0.0.1:9 in eth0")
    assert code == 4
    assert out.splitlines()[-4:] == [
        "      -m set --match-set guests src -j ACCEPT",
        f"      {file}:4",
        f"   if it matches: delivered to this host, mark 0x0 (filter INPUT rule 1, {file}:4)",
        "   if not: dropped by a rule, mark 0x0 (filter INPUT policy)",
    ]
    _, out = explain(capsys, file, "tcp 10.0.0.9 -> 10.0.0.1:9 in eth0", "--json")
    data = json.loads(out)
    assert data["open"]["text"] == f"{SET} -j ACCEPT"
    assert data["if_it_matches"]["end"] == "delivered to this host"
    assert data["if_not"]["end"] == "dropped by a rule"


def test_what_is_the_same_in_either_case_is_known(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = with_rules(tmp_path, f"-A INPUT {SET} -j ACCEPT", "-A INPUT -p udp -j ACCEPT")
    code, out = explain(capsys, file, "udp 10.0.0.9 -> 10.0.0.1:9 in eth0")
    assert code == 0
    assert out.splitlines()[-3:] == [
        "└ delivered to this host, mark 0x0",
        f"decided by filter INPUT rule 2, {file}:5",
        "note: whether filter INPUT rule 1 matches is not known; the end is the same if it does",
    ]


def test_two_cases_are_too_few_for_a_rule_that_a_packet_meets_twice(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The bit is turned over each time: let through if it matches once, not always or never."""
    file = with_rules(
        tmp_path,
        "-A INPUT -j user",
        "-A INPUT -j user",
        "-A INPUT -m mark --mark 0x1/0x1 -j ACCEPT",
        "-A user -m statistic --mode random --probability 0.5 -j MARK --set-xmark 0x1/0x0",
    )
    code, out = explain(capsys, file, "udp 10.0.0.9 -> 10.0.0.1:9 in eth0")
    assert code == 4
    assert "depends on what netfw cannot know: rule 1 of filter.user" in out


def test_a_policy_is_explained_by_the_rule_that_was_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    example = str(Path(__file__).parents[2] / "netfw" / "examples" / "router.yaml")
    packet = "tcp 192.0.2.7 -> 203.0.113.1:22 in eth0"
    assert main(["explain", "--policy", example, packet]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("decided by filter NETFW-IN-wan rule ")
    assert last.endswith("public/office-ssh")


def test_json_has_every_step(capsys: pytest.CaptureFixture[str], rules: str) -> None:
    _, out = explain(capsys, rules, "tcp 192.0.2.9 -> 10.0.0.1:22 in eth0", "--json")
    data = json.loads(out)
    assert data["end"] == "delivered to this host"
    assert [step["chain"] for step in data["steps"]] == ["INPUT", "checked"]
    assert data["decided_by"]["text"] == "-s 192.0.2.0/24 -j ACCEPT"


def test_rules_that_cannot_be_read_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_text("*filter\nnonsense here\n")
    for name, place in (("/no/such/file", "/no/such/file"), (str(bad), f"{bad}:2")):
        packet = "udp 10.0.0.9 -> 10.0.0.1:9 in eth0"
        assert main(["explain", "--rules", name, packet]) == 4
        assert capsys.readouterr().err.startswith(f"{place}: ")


def test_sets_of_a_file_are_asked_and_must_all_be_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sets, rules = tmp_path / "sets.txt", tmp_path / "rules.txt"
    sets.write_text("create bad hash:net family inet\nadd bad 198.51.100.0/24\n")
    asked = "-A INPUT -m set --match-set {} src -j DROP\n"
    rules.write_text("*filter\n:INPUT ACCEPT [0:0]\n" + asked.format("bad") + "COMMIT\n")
    line = "tcp {} -> 10.0.0.1:22 in eth0"
    for source, verdict in (("198.51.100.7", "dropped by a rule"), ("192.0.2.1", "delivered")):
        code, out = explain(capsys, str(rules), line.format(source), "--sets", str(sets))
        assert code == 0
        assert verdict in out
    code, _ = explain(capsys, str(rules), line.format("192.0.2.1"))
    assert code == 4
    rules.write_text("*filter\n:INPUT ACCEPT [0:0]\n" + asked.format("worse") + "COMMIT\n")
    assert main(["explain", "--rules", str(rules), "--sets", str(sets), "10.0.0.1"]) == 4
    assert f"{rules}:3: there is no set 'worse' in {sets}" in capsys.readouterr().err


def test_sets_go_with_rules_of_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["explain", "--host", "--sets", str(tmp_path), "10.0.0.1"]) == 2
    assert "--sets: it is for --rules" in capsys.readouterr().err
