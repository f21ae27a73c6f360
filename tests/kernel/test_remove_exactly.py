"""What a host's programs print before the first apply is what they print after the removal."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from netfw.host import base_chains as unused
from netfw.host.base_chains import base_chains, remove_unused
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.names import Backend, Family, TableName
from tests.kernel.backends import FIRST_ONE
from tests.kernel.changed_host import POLICY, ChangedHost

pytestmark = pytest.mark.kernel
FILTER = Family.IPV4, TableName.FILTER
EVERYTHING = (
    POLICY
    + """\
steer:
  - {in: lan, service: https, table: 100}
  - {from: [10.0.0.0/25], service: ssh, table: 200, via: {out: wan, gateway: 192.0.2.1}}
"""
)
FEW_RULES = "*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"


@pytest.fixture(params=FIRST_ONE, ids=str)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ChangedHost]:
    with ChangedHost(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def box() -> Iterator[Namespace]:
    with Namespace("unused") as made:
        yield made


def everything(host: ChangedHost) -> str:
    """All that the programs print, but for the time of day and what packets count meanwhile."""
    text = host.saved()
    if host.backend is Backend.NFT:
        # what is really there: iptables-nft-save also prints chains that are not
        text += host.sh("nft -s list ruleset")
    return text + host.sh(
        "cd /proc/sys/net && grep -r --exclude=stable_secret . ipv4/ip_forward ipv4/conf ipv6/conf"
    )


def without_empty_tables(host: ChangedHost, text: str) -> str:
    """Legacy tables stay for the life of a namespace, empty."""
    if host.backend is Backend.NFT:
        return text
    return "\n".join(
        line
        for line in text.splitlines()
        if line[:1] not in ("", "*") and not line.endswith(" ACCEPT [0:0]") and line != "COMMIT"
    )


@pytest.mark.parametrize("others", ["nobody", "few", "docker"])
def test_remove_gives_back_what_was_there_byte_for_byte(host: ChangedHost, others: str) -> None:
    if others == "docker":
        host.add_docker(host.backend)
    elif others == "few":
        host.load(host.backend, FEW_RULES)
    host.sh("ipset create others hash:ip; ipset add others 192.0.2.77")
    before = everything(host)
    host.apply(EVERYTHING)
    assert "NETFW" in everything(host)
    assert "fwmark" in everything(host)
    host.apply(POLICY.replace("nat:", "x-nat:").partition("x-nat:")[0])
    host.netfw("remove", "--yes")
    assert without_empty_tables(host, everything(host)) == without_empty_tables(host, before)
    host.netfw("rollback", "--yes")
    host.netfw("remove", "--yes")
    assert without_empty_tables(host, everything(host)) == without_empty_tables(host, before)


def test_a_table_that_is_needed_no_longer_goes_with_the_change(host: ChangedHost) -> None:
    host.apply(POLICY)
    assert "MASQUERADE" in host.saved()
    host.apply(POLICY.partition("nat:")[0])
    if host.backend is Backend.NFT:
        assert "table ip nat" not in host.sh("nft list ruleset")


def test_a_table_into_which_others_came_meanwhile_stays(host: ChangedHost) -> None:
    host.apply(POLICY)
    host.sh(f"iptables-{host.backend} -A FORWARD -s 192.0.2.66 -j DROP")
    host.netfw("remove", "--yes")
    assert "-A FORWARD -s 192.0.2.66/32 -j DROP" in host.saved()
    assert "NETFW" not in host.saved()


def test_a_first_change_that_is_undone_leaves_no_table(tmp_path: Path) -> None:
    with ChangedHost(Backend.NFT, tmp_path) as host:
        host.apply(POLICY, "--confirm", "30s")
        host.netfw("rollback")
        assert host.sh("nft list ruleset") == ""


@pytest.mark.parametrize(
    "script",
    [
        "iptables-nft -A INPUT -j ACCEPT",
        "iptables-nft -N MINE",
        "nft add set ip filter mine '{ type ipv4_addr; }'",
        "nft add chain ip filter mine '{ type filter hook input priority 5; }'",
        "iptables-nft -P INPUT DROP",
    ],
)
def test_what_anybody_uses_stays(box: Namespace, script: str) -> None:
    run(["sh", "-ec", f"iptables-nft -A OUTPUT; {script}"], namespace=box)
    run(["iptables-nft", "-F", "OUTPUT"], namespace=box)
    remove_unused(box, *FILTER, None)
    left = run(["nft", "list", "ruleset"], namespace=box).stdout
    assert "table ip filter" in left
    assert "chain OUTPUT" not in left
    run(["iptables-nft", "-F"], namespace=box)


def test_chains_that_were_there_before_stay_and_the_others_go(box: Namespace) -> None:
    run(["iptables-nft", "-A", "INPUT", "-j", "ACCEPT"], namespace=box)
    run(["iptables-nft", "-F"], namespace=box)
    run(["iptables-nft", "-A", "FORWARD", "-j", "ACCEPT"], namespace=box)
    run(["iptables-nft", "-F"], namespace=box)
    assert set(base_chains(box)[FILTER]) >= {"INPUT", "FORWARD"}
    assert remove_unused(box, *FILTER, ["INPUT"])
    assert base_chains(box) == {FILTER: ("INPUT",)}
    assert not remove_unused(box, *FILTER, ["INPUT"])
    assert remove_unused(box, *FILTER, None)
    assert base_chains(box) == {}


def test_a_rule_that_comes_between_look_and_removal_keeps_its_table(
    box: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel itself says that something has changed: the removal looks once more."""
    run(["sh", "-ec", "iptables-nft -A INPUT; iptables-nft -F"], namespace=box)
    delete, refused = unused._delete, []

    def late(*words: object, whole: bool) -> None:
        if not refused:
            run(["iptables-nft", "-A", "INPUT", "-j", "DROP"], namespace=box)
        try:
            delete(*words, whole=whole)  # type: ignore[arg-type]
        except OSError as error:
            refused.append(error.errno)
            raise

    monkeypatch.setattr(unused, "_delete", late)
    remove_unused(box, *FILTER, None)
    assert refused == [errno.ERESTART]
    assert "-A INPUT -j DROP" in run(["iptables-nft-save"], namespace=box).stdout
