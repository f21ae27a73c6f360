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
-A FORWARD -m quota --quota 100 -j ACCEPT
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
    assert (packet.in_interface, found.out_interface) == ("eth0", "")
    assert (packet.mark, packet.ttl, found.state) == (0, 64, ConnectionState.NEW)


def test_everything_can_be_said() -> None:
    line = "tcp [2001:db8::1]:5 -> [2001:db8::2]:6 in a out b mark 0x60000 state established ttl 9"
    found = parse_packet(line)
    packet = found.packet
    assert packet.source == parse_address("2001:db8::1")[1]
    assert (packet.source_port, packet.destination_port, packet.tcp_flags) == (5, 6, ACK)
    assert (packet.mark, packet.ttl, found.out_interface) == (0x60000, 9, "b")
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
    ("line", "problem"),
    [
        ("", "a packet is written"),
        ("tcp 10.0.0.1 10.0.0.2 in a", "a packet is written"),
        ("tpc 10.0.0.1 -> 10.0.0.2 in a", "'tpc' is no protocol"),
        ("tcp 10.0.0 -> 10.0.0.2 in a", "'10.0.0' is no IP address"),
        ("tcp 10.0.0.1 -> ::1 in a", "different IP families"),
        ("tcp 10.0.0.1:65536 -> 10.0.0.2 in a", "'65536' is not a number from 0 to 65535"),
        ("icmp 10.0.0.1 -> 10.0.0.2:80 in a", "has no ports"),
        ("tcp [::1 -> ::2 in a", "lacks its closing bracket"),
        ("tcp 10.0.0.1 -> 10.0.0.2", "say where it comes in"),
        ("tcp 10.0.0.1 -> 10.0.0.2 in", "stands alone"),
        ("tcp 10.0.0.1 -> 10.0.0.2 in a in b", "'in' stands twice"),
        ("tcp 10.0.0.1 -> 10.0.0.2 by a", "'by' is none of in, out"),
        ("tcp 10.0.0.1 -> 10.0.0.2 in a mark 4294967296", "outside 0..4294967295"),
        ("tcp 10.0.0.1 -> 10.0.0.2 in a state old", "'old' is no connection state"),
        ("tcp 10.0.0.1 -> 10.0.0.2 in a flags sin", "'sin' is no TCP flag"),
        ("tcp 10.0.0.1 -> 10.0.0.2 in interface-too-long", "is no interface name"),
    ],
)
def test_what_is_no_packet_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], rules: str, line: str, problem: str
) -> None:
    assert main(["explain", "--rules", rules, line]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("PACKET: ")
    assert problem in err.splitlines()[0]


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
