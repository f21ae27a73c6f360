"""Faults on a real kernel: what its programs and netlink say of them is read as it is meant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netfw.doctor.diagnosis import diagnose
from netfw.doctor.finding import Finding
from netfw.host.iptables import restore
from netfw.host.live_namespace import LiveNamespace
from netfw.host.namespace import Namespace
from netfw.host.observe import read_state
from netfw.host.run import run
from netfw.ir.names import Backend, Family

pytestmark = pytest.mark.kernel


@pytest.fixture
def box() -> Iterator[Namespace]:
    """A host with a LAN and two uplinks, the second one in table 100."""
    with Namespace("faults") as made:
        for link, four, six in (
            ("lan", "10.1.0.1/24", "fd01::1/64"),
            ("wa", "10.2.0.1/24", "fd02::1/64"),
            ("wb", "10.3.0.1/24", "fd03::1/64"),
        ):
            ip(made, "link", "add", link, "type", "veth", "peer", "name", f"{link}-far")
            for end in (link, f"{link}-far"):
                ip(made, "link", "set", end, "up")
            ip(made, "addr", "add", four, "dev", link)
            ip(made, "addr", "add", six, "dev", link, "nodad")
        for family, first, second in (
            ("-4", "10.2.0.2", "10.3.0.2"),
            ("-6", "fd02::2", "fd03::2"),
        ):
            ip(made, family, "route", "add", "default", "via", first)
            ip(made, family, "route", "add", "default", "via", second, "table", "100")
        yield made


def ip(box: Namespace, *words: str) -> None:
    run(["ip", *words], namespace=box)


def nft(box: Namespace, text: str) -> None:
    run(["nft", "-f", "-"], namespace=box, stdin=text)


def found(box: Namespace, code: str) -> tuple[Finding, ...]:
    with LiveNamespace(box.path) as live:
        return diagnose(read_state(live), (code,)).findings


RESTORES = """*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff
COMMIT
"""


@pytest.mark.parametrize("backend", Backend, ids=str)
@pytest.mark.parametrize("family", Family, ids=str)
def test_a_table_that_lacks_the_lan(box: Namespace, backend: Backend, family: Family) -> None:
    flag, net = ("-4", "10.1.0.0/24") if family is Family.IPV4 else ("-6", "fd01::/64")
    restore(box, backend, family, RESTORES)
    ip(box, flag, "rule", "add", "pref", "500", "fwmark", "7/0xff", "lookup", "100")
    (one,) = found(box, "lan-by-uplink")
    assert net in one.problem
    # the fix is a command that repairs it
    run(one.fix[0].split(), namespace=box)
    assert not found(box, "lan-by-uplink")


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_a_rule_for_mark_0_that_lost_its_selector(box: Namespace, family: str) -> None:
    chain = "chain c {\n type filter hook input priority 0\n meta mark 7 drop\n}"
    nft(box, f"table inet t {{\n{chain}\n}}\n")
    ip(box, family, "rule", "add", "pref", "500", "fwmark", "0", "lookup", "100")
    (one,) = found(box, "selector-lost")
    assert "preference 500" in str(one.evidence[0])
    for command in one.fix:
        run(command.partition(" (")[0].split(), namespace=box)
    assert not found(box, "selector-lost")


NATIVE = """table inet t {
  chain c { type filter hook prerouting priority -150; policy accept;
    %s accept
    iifname "lan" tcp dport 80 meta mark set 0x7
  }
  chain i { type filter hook input priority 0; policy accept;
    meta mark 0x7 counter accept
  }
}
"""


@pytest.mark.parametrize(
    ("above", "ends"),
    [
        ('iifname { "lan", "wa" }', True),
        ("tcp dport 1-1024", True),
        ("meta l4proto tcp", True),
        ("meta l4proto { tcp, udp }", True),
        ('iifname "w*"', False),
        ("ct state established,related", False),
        ("udp dport 80", False),
        ("tcp dport { 22, 443 }", False),
        ('iifname != "lan"', False),
        ("limit rate 5/second", False),
        ("fib daddr type local", False),
    ],
)
def test_a_native_rule_above_one_that_marks(box: Namespace, above: str, *, ends: bool) -> None:
    nft(box, NATIVE % above)
    assert bool(found(box, "mark-rule-unreached")) is ends


def test_packets_that_a_native_rule_leaves_untracked(box: Namespace) -> None:
    rules = """table inet t {
  chain r { type filter hook prerouting priority -300; policy accept;
    udp dport %d notrack
  }
  chain m { type filter hook prerouting priority -150; policy accept;
    udp dport 53 meta mark set ct mark
  }
}
"""
    nft(box, rules % 53)
    assert found(box, "untracked-connmark")
    nft(box, f"flush ruleset\n{rules % 123}")
    assert not found(box, "untracked-connmark")


def test_a_native_rule_that_drops_the_answers_to_marked_packets(box: Namespace) -> None:
    nft(
        box,
        "table inet t {\n chain r { type filter hook prerouting priority -150;\n"
        " meta nfproto ipv6 fib saddr . mark . iif oif missing drop\n}\n}\n",
    )
    ip(box, "-6", "rule", "add", "pref", "500", "fwmark", "7/0xff", "lookup", "100")
    (one,) = found(box, "rpfilter-rule-ignores-mark")
    assert "wb" in one.problem
    ip(box, "-6", "rule", "del", "pref", "500")
    ip(box, "rule", "add", "pref", "500", "fwmark", "7/0xff", "lookup", "100")
    assert not found(box, "rpfilter-rule-ignores-mark")
