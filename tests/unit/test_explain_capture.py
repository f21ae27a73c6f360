"""``netfw explain`` for packets that scapy describes, and for those of a capture file."""

import json
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet as ScapyPacket
from scapy.utils import wrpcap, wrpcapng

from netfw.cli.main import main
from netfw.errors import UsageError
from netfw.host.scapy_expression import read_expression
from netfw.ir.names import Family
from netfw.ir.net import parse_address
from netfw.traverse.packet import ACK, SYN
from netfw.traverse.wire import read_packet
from tests.captures import CLIENT, SERVER, ether

RULES = """\
*filter
:INPUT DROP [0:0]
:OUTPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -s 198.51.100.0/24 -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    file = tmp_path / "saved.txt"
    file.write_text(RULES)
    return str(file)


def frames() -> list[ScapyPacket]:
    """A connection with what comes between: frames 2 to 4 are TCP's three-way handshake."""
    there, back = IP(src=CLIENT, dst=SERVER), IP(src=SERVER, dst=CLIENT)
    return [
        ether() / ARP(pdst=SERVER),
        ether() / there / TCP(sport=4000, dport=22, flags="S", seq=1),
        ether() / back / TCP(sport=22, dport=4000, flags="SA", seq=9, ack=2),
        ether() / Dot1Q(vlan=7) / there / TCP(sport=4000, dport=22, flags="A", seq=2, ack=10),
        ether() / there / UDP(sport=5, dport=99),
        ether() / IP(src=CLIENT, dst=SERVER, flags="MF") / UDP() / bytes(8),
        ether() / IPv6(src="2001:db8::7", dst="2001:db8::1") / ICMPv6EchoRequest(),
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x88CC) / bytes(20),
    ]


def explain(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["explain", *words])
    out, err = capsys.readouterr()
    return code, out, err


EXPECTED = """\
1 ARP
2 tcp 198.51.100.7:4000 -> 203.0.113.1:22 flags syn in eth0: delivered to this host, mark 0x0 \
(filter INPUT rule 2, RULES:6)
3 tcp 203.0.113.1:22 -> 198.51.100.7:4000 flags syn,ack from this host: sent by eth0, mark 0x0
4 tcp 198.51.100.7:4000 -> 203.0.113.1:22 flags ack in eth0: delivered to this host, mark 0x0 \
(filter INPUT rule 1, RULES:5)
5 udp 198.51.100.7:5 -> 203.0.113.1:99 in eth0: dropped by a rule, mark 0x0 (filter INPUT policy)
6 IPv4 fragment
7 IPv6 packet, of whose family no rules are
8 LLDP
8 frames: 2 delivered to this host, 1 sent, 1 dropped by a rule, 1 ARP, 1 IPv4 fragment, \
1 IPv6 packet, of whose family no rules are, 1 LLDP
"""


@pytest.mark.parametrize("write", [wrpcap, wrpcapng])
def test_each_packet_of_a_capture_has_its_line_and_connections_are_followed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rules: str, write: object
) -> None:
    file = str(tmp_path / "capture")
    assert callable(write)
    write(file, frames())
    code, out, err = explain(capsys, "--rules", rules, "--pcap", file, "--in", "eth0")
    assert (code, err) == (0, "")
    assert out == EXPECTED.replace("RULES", rules)


def test_the_whole_way_of_one_packet_knows_those_before_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rules: str
) -> None:
    file = str(tmp_path / "capture")
    wrpcap(file, frames())
    words = ["--rules", rules, "--pcap", file, "--in", "eth0", "--packet"]
    code, out, _ = explain(capsys, *words, "4")
    assert code == 0
    assert "1. filter.INPUT" in out
    assert out.splitlines()[-1] == f"decided by filter INPUT rule 1, {rules}:5"
    _, out, _ = explain(capsys, *words, "4", "--json")
    (packet,) = json.loads(out)["packets"]
    assert (packet["number"], packet["decided_by"]["rule"]) == (4, 1)
    assert explain(capsys, *words, "1")[:2] == (4, "1 ARP\n")
    code, _, err = explain(capsys, *words, "9")
    assert (code, err.splitlines()[0]) == (2, "--packet: there is no frame 9")


def test_a_state_that_is_said_stands_for_all_packets(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rules: str
) -> None:
    file = str(tmp_path / "capture")
    wrpcap(file, frames()[4:5])
    words = ["--rules", rules, "--pcap", file, "--in", "eth0"]
    assert "dropped by a rule" in explain(capsys, *words)[1]
    assert "delivered" in explain(capsys, *words, "--state", "established")[1]


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        (1, bytes(12) + b"\x08\x00"),
        (101, b""),
        (228, b""),
        (0, struct.pack("=I", 2)),
        (113, bytes(14) + b"\x08\x00"),
        (276, b"\x08\x00" + bytes(18)),
    ],
)
def test_every_usual_kind_of_link_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rules: str, kind: int, header: bytes
) -> None:
    file = tmp_path / "capture"
    data = header + bytes(IP(src=CLIENT, dst=SERVER) / TCP(sport=5, dport=22))
    file.write_bytes(
        struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, kind)
        + struct.pack("<IIII", 1, 0, len(data), len(data))
        + data
    )
    _, out, _ = explain(capsys, "--rules", rules, "--pcap", str(file), "--in", "eth0")
    assert out.startswith("1 tcp 198.51.100.7:5 -> 203.0.113.1:22 flags syn in eth0: delivered")


@pytest.mark.parametrize("write", [wrpcap, wrpcapng])
def test_a_capture_that_is_cut_off_is_told_up_to_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rules: str, write: object
) -> None:
    file = tmp_path / "capture"
    assert callable(write)
    write(str(file), frames())
    file.write_bytes(file.read_bytes()[:-5])
    words = ["--rules", rules, "--pcap", str(file), "--in", "eth0"]
    code, out, err = explain(capsys, *words)
    assert code == 4
    assert out.splitlines()[:-1] == EXPECTED.replace("RULES", rules).splitlines()[:7]
    first, hint = err.splitlines()
    assert first.startswith(f"{file}: ")
    assert first.endswith("is cut off")
    assert hint == "  hint: the file seems to be cut off: copy it again"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "the file is empty"), (b"*filter\n", "is neither pcap nor pcapng")],
)
def test_what_is_no_capture_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rules: str, content: bytes, problem: str
) -> None:
    file = tmp_path / "capture"
    file.write_bytes(content)
    code, out, err = explain(capsys, "--rules", rules, "--pcap", str(file))
    assert (code, out) == (4, "")
    assert err.startswith(f"{file}: {problem}")


@pytest.mark.parametrize(
    "packet",
    [
        IP(src=CLIENT, dst=SERVER, ttl=3) / TCP(sport=5, dport=6, flags="SA", ack=77),
        IP(src=CLIENT, dst=SERVER) / ICMP(type=8, id=77),
        IPv6(src="2001:db8::7", dst="2001:db8::1", hlim=3) / UDP(sport=5, dport=6),
    ],
)
def test_bytes_are_read_as_scapy_reads_them(packet: ScapyPacket) -> None:
    data = bytes(packet)
    found = read_packet(data)
    assert found.source == parse_address(packet.src)[1]
    assert found.destination == parse_address(packet.dst)[1]
    assert found.ttl == (packet.ttl if found.family is Family.IPV4 else packet.hlim)
    if packet.haslayer(TCP):
        assert (found.tcp_flags, found.tcp_acknowledgement) == (SYN | ACK, 77)
    if packet.haslayer(ICMP):
        assert (found.icmp_type, found.icmp_id) == (8, 77)
    else:
        assert (found.source_port, found.destination_port) == (5, 6)
    for length in range(len(data) - 8):
        # whatever is missing, it is no other error
        with suppress(ValueError):
            read_packet(data[:length])


def test_an_icmp_error_carries_the_packet_that_it_speaks_of() -> None:
    inner = IP(src=SERVER, dst=CLIENT) / UDP(sport=7, dport=8)
    found = read_packet(bytes(IP(src=CLIENT, dst=SERVER) / ICMP(type=3, code=1) / inner))
    assert found.quoted is not None
    assert (found.icmp_code, found.quoted.source_port) == (1, 7)


def test_a_scapy_expression_is_explained_with_what_it_cannot_say(
    capsys: pytest.CaptureFixture[str], rules: str
) -> None:
    words = ["--rules", rules, "--scapy", f'IP(src="{CLIENT}", dst="{SERVER}")/TCP(dport=22)']
    code, out, _ = explain(capsys, *words, "--in", "eth0")
    assert code == 0
    assert out.splitlines()[1] == (
        "completed: ttl 64 (scapy's default), sport 20 (scapy's default), "
        "flags S (scapy's default), state new, mark 0"
    )
    assert out.splitlines()[-1] == f"decided by filter INPUT rule 2, {rules}:6"
    _, out, _ = explain(capsys, *words, "--in", "eth0", "--state", "related", "--mark", "7")
    assert "state new" not in out
    assert "delivered to this host, mark 0x7" in out
    assert out.splitlines()[-1] == f"decided by filter INPUT rule 1, {rules}:5"


def test_a_source_that_is_left_out_is_not_asked_of_this_machine() -> None:
    found = read_expression(f'IP(dst="{SERVER}")/TCP(dport=22)')
    assert (found.has_source, found.packet.source) == (False, 0)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ('__import__("os").system("true")', "is no layer"),
        ('eval("1")', "'eval' is no layer that netfw knows"),
        ('IP(dst=open("/etc/hostname").read())', "is no literal"),
        ('IP(dst="203.0.113.1").show()', "is no layer"),
        ('IP(**{"dst": "203.0.113.1"})', "'**' is not followed"),
        ('IP(dst="host.example")', "'host.example' is no IP address"),
        ('IP(dst="203.0.113.1")/ICMP(gw="host.example")', "is no IP address"),
        ('IP(dst="203.0.113.0/24")', "'203.0.113.0/24' is no IP address"),
        ('IP(dst="2001:db8::1")', "is no address for IP"),
        ('IP(dst="203.0.113.1")*3', "only '/' stands between layers"),
        ('IP(dst="203.0.113.1")/TCP(dport=[1,2])', "several values make several packets"),
        ('IP(dst="203.0.113.1")/TCP(dprt=1)', "TCP has no field 'dprt'"),
        ('IP(dst="203.0.113.1")/TCP(dport=70000)', "0 <= number <= 65535"),
        ('IP(dst="203.0.113.1")/TCP', "'TCP' is a layer's name"),
        ('IP(dst="203.0.113.1"', "'(' was never closed"),
        ("TCP(dport=1)", "'TCP' stands where the packet begins"),
        ("IP()/TCP()", "IP has no dst"),
        ("(" * 5000, "too many nested parentheses"),
        ("", "column"),
        ("1", "is no layer"),
    ],
)
def test_what_is_no_plain_packet_is_refused_and_never_run(expression: str, problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_expression(expression)
    (fault,) = raised.value.faults
    assert fault.place == "--scapy"
    assert problem in fault.problem
    assert "\n" not in fault.problem


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["udp 203.0.113.1", "--scapy", "IP()"], "netfw explain"),
        ([], "netfw explain"),
        (["udp 203.0.113.1", "--in", "eth0"], "--in"),
        (["udp 203.0.113.1", "--state", "new"], "--state"),
        (["udp 203.0.113.1", "--packet", "1"], "--packet"),
        (["udp 203.0.113.1", "--netns", "a"], "--netns"),
        (["udp 203.0.113.1", "--family", "4"], "--family"),
        (["--scapy", 'IP(dst="203.0.113.1")', "--mark", "x"], "--mark"),
        (["--scapy", 'IP(dst="203.0.113.1")', "--in", "a/b"], "--in"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    capsys: pytest.CaptureFixture[str], rules: str, words: list[str], place: str
) -> None:
    code, out, err = explain(capsys, "--rules", rules, *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"{place}: ")
