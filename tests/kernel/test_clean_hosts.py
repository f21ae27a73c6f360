"""Hosts on which nothing is wrong: doctor reports no error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netfw.doctor.diagnosis import diagnose
from netfw.doctor.finding import Finding, Severity
from netfw.host.live_namespace import LiveNamespace
from netfw.host.namespace import Namespace
from netfw.host.observe import read_state
from netfw.host.run import run

pytestmark = pytest.mark.kernel
RULESETS = Path(__file__).parents[3] / "shared" / "corpus" / "rulesets"
GOLDEN = Path(__file__).parents[1] / "golden"
KUBERNETES = """*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-MARK-MASQ
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A FORWARD -j KUBE-FORWARD
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP
COMMIT
"""
FIREWALLD = """table inet firewalld {
  chain mangle_PREROUTING { type filter hook prerouting priority -140; policy accept;
    jump mangle_zone
  }
  chain mangle_zone { tcp dport 8080 meta mark set meta mark & 0xffffff00 ^ 0x64 return
  }
  chain nat_PREROUTING { type nat hook prerouting priority -90; policy accept;
    meta l4proto tcp meta mark & 0xff == 0x64 redirect to :80
  }
  chain filter_INPUT { type filter hook input priority 10; policy accept;
    ct state { established, related } accept
    iifname "lo" accept
    meta mark & 0xff == 0x64 accept
    ct state invalid drop
    reject with icmpx admin-prohibited
  }
}
"""


@pytest.fixture
def host() -> Iterator[Namespace]:
    with Namespace("clean") as made:
        yield made


def errors(host: Namespace) -> list[Finding]:
    with LiveNamespace(host.path) as namespace:
        found = diagnose(read_state(namespace)).findings
    return [one for one in found if one.severity is Severity.ERROR]


def restored(host: Namespace, family: str, text: str) -> bool:
    done = run([f"{family}-nft-restore"], namespace=host, stdin=text, check=False)
    return done.status == 0


def test_an_empty_host(host: Namespace) -> None:
    assert not errors(host)


def test_a_kubernetes_node(host: Namespace) -> None:
    assert restored(host, "iptables", KUBERNETES)
    assert not errors(host)


def test_a_host_of_firewalld(host: Namespace) -> None:
    run(["nft", "-f", "-"], namespace=host, stdin=FIREWALLD)
    assert not errors(host)


@pytest.mark.parametrize(
    "path", sorted(GOLDEN.glob("*/expected.v4.rules")), ids=lambda path: path.parent.name
)
def test_netfw_s_own_rules(host: Namespace, path: Path) -> None:
    six = path.with_name("expected.v6.rules")
    loads = restored(host, "iptables", path.read_text())
    if six.is_file():
        loads = restored(host, "ip6tables", six.read_text()) or loads
    if not loads:
        pytest.skip("its sets are not there, so it does not load alone")
    assert not errors(host)


@pytest.mark.skipif(not RULESETS.is_dir(), reason="../shared/corpus is not there")
@pytest.mark.parametrize("kind", ["docker", "calico", "firehol", "awall"])
def test_rulesets_of_others(kind: str) -> None:
    loaded = 0
    for path in sorted(one for one in (RULESETS / kind).rglob("*") if one.is_file()):
        text = path.read_text(errors="replace")
        for family in ("iptables", "ip6tables"):
            with Namespace("clean") as host:
                if restored(host, family, text):
                    loaded += 1
                    assert not errors(host), path
                    break
    assert loaded
