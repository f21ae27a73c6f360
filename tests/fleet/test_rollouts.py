"""The normal life of policies on three hosts; each test leaves hosts and policies as they were."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.fleet.lab import Lab, needs_lab
from tests.fleet.repository import GATEWAYS, Repository

pytestmark = [pytest.mark.kernel, needs_lab]
WEB = "groups/gateways/web.yaml"
WITH_MAIL = GATEWAYS.replace("https]}", "https, smtp]}")


@pytest.fixture(scope="module")
def before(lab: Lab, repository: Repository) -> dict[str, str]:
    """What all hosts hold, once the policies are applied for the first time."""
    played = lab.play("apply", netfw_message="the first one")
    assert played.status == 0, played.output
    return saved(lab)


@pytest.fixture
def with_mail(repository: Repository) -> Iterator[None]:
    """A changed rule in the repository."""
    repository.write(WEB, WITH_MAIL)
    yield
    repository.write(WEB, GATEWAYS)


def test_hosts_of_both_backends_are_in_one_rollout(lab: Lab, before: dict[str, str]) -> None:
    backends = {name: host.status()["backend"] for name, host in lab.hosts.items()}
    if set(backends.values()) == {"nft"}:
        pytest.skip("this kernel has no legacy tables, or iptables here no alternatives")
    assert backends == {"h1": "nft", "h2": "nft", "h3": "legacy"}
    # the same rules, though tables and chains are not printed in the same order
    assert sorted(before["h3"].splitlines()) == sorted(before["h1"].splitlines())
    assert "NETFW" not in lab.hosts["h3"].sh("iptables-nft-save; ip6tables-nft-save")


def saved(lab: Lab) -> dict[str, str]:
    """Rules and sets of all hosts."""
    return {name: host.saved() for name, host in lab.hosts.items()}


def changes(lab: Lab) -> list[int]:
    """How many entries the histories have."""
    return [len(host.history()) for host in lab.hosts.values()]


def test_all_hosts_hold_their_policies_and_a_second_run_changes_nothing(
    lab: Lab, before: dict[str, str]
) -> None:
    for host in lab.hosts.values():
        entry = host.history()[0]
        assert entry["outcome"] == "confirmed"
        assert entry["from"].startswith("10.77.255.254 ")
        assert entry["why"].endswith(": the first one")
        assert "--dports 80,443" in host.saved()
    numbers = changes(lab)
    again = lab.play("apply")
    assert again.status == 0, again.output
    assert again.changed() == {"h1": 0, "h2": 0, "h3": 0}
    assert saved(lab) == before
    assert changes(lab) == numbers


@pytest.mark.usefixtures("with_mail")
def test_check_and_diff_show_every_line_and_change_nothing(
    lab: Lab, before: dict[str, str]
) -> None:
    numbers = changes(lab)
    played = lab.play("apply", "--check", "--diff")
    assert played.status == 0, played.output
    assert played.changed() == {"h1": 1, "h2": 1, "h3": 1}
    assert f"gateways/web  {WEB}:6:15" in played.output
    assert "- IPv4 filter NETFW-IN-wan: -p tcp -m multiport --dports 80,443" in played.output
    assert "+ IPv4 filter NETFW-IN-wan: -p tcp -m multiport --dports 25,80,443" in played.output
    (rule,) = played.of("h2", "Apply the policy")["plan"]["rules"]
    assert rule["rule"] == "gateways/web"
    assert {(line["family"], line["comes"]) for line in rule["lines"]} == {
        (family, comes) for family in (4, 6) for comes in (True, False)
    }
    assert saved(lab) == before
    assert changes(lab) == numbers


@pytest.mark.usefixtures("with_mail")
def test_a_changed_rule_reaches_every_host_that_has_it_and_a_rollback_takes_it_back(
    lab: Lab, repository: Repository, before: dict[str, str]
) -> None:
    numbers = changes(lab)
    settings = {"netfw_repository": str(repository.folder)}
    lab.write_inventory(settings, h3={"netfw_var_open": ["http", "https"]})
    played = lab.play("apply")
    lab.write_inventory(settings)
    assert played.status == 0, played.output
    assert "--dports 25,80,443" in lab.hosts["h1"].saved()
    assert "--dports 25,80,443" in lab.hosts["h2"].saved()
    # what the inventory says of it counts more
    assert played.changed()["h3"] == 0
    assert lab.hosts["h3"].saved() == before["h3"]
    back = lab.play("rollback")
    assert back.status == 0, back.output
    assert saved(lab) == before
    # h3 was not in that rollout: it keeps what it held
    assert [now - then for now, then in zip(changes(lab), numbers, strict=True)] == [2, 2, 0]
    again = lab.play("rollback")
    assert again.status == 0, again.output
    assert sum(again.changed().values()) == 0


def test_an_audit_tells_what_an_administrator_changed_by_hand(
    lab: Lab, before: dict[str, str]
) -> None:
    lab.hosts["h2"].sh("iptables -I NETFW-IN-wan -p tcp --dport 8080 -j ACCEPT")
    lab.hosts["h3"].sh("iptables -t raw -A PREROUTING -j MARK --set-mark 0x10000")
    report = lab.folder / "report.json"
    played = lab.play("audit", netfw_audit_report=str(report), netfw_audit_fail_on="drift")
    lab.hosts["h3"].sh("iptables -t raw -D PREROUTING -j MARK --set-mark 0x10000")
    assert played.status == 2, played.output
    found = json.loads(report.read_text())
    assert [host["well"] for host in found["hosts"].values()] == [True, False, True]
    (line,) = found["hosts"]["h2"]["drift"]
    assert (line["missing"], line["place"]) == (False, "filter NETFW-IN-wan")
    assert "--dport 8080" in line["text"]
    assert found["hosts"]["h3"]["findings"]
    assert found["hosts"]["h1"]["findings"] == []
    assert found["marks"]["packet"]["0x10000"]["hosts"] == ["h1", "h2", "h3"]
    table = played.of("h1", "Show it")["msg"]
    assert table[0].split()[:4] == ["host", "change", "policy", "drift"]
    assert any("h2: too many: IPv4 filter NETFW-IN-wan" in row for row in table)
    assert lab.hosts["h2"].status()["well"] is False
    # a history that is lost is written again
    lab.hosts["h1"].sh("mv /var/lib/netfw /var/lib/aside")
    # the next rollout brings it back
    repaired = lab.play("apply")
    assert repaired.status == 0, repaired.output
    assert {name: count > 0 for name, count in repaired.changed().items()} == {
        "h1": True,
        "h2": True,
        "h3": False,
    }
    assert saved(lab) == before
    assert [entry["outcome"] for entry in lab.hosts["h1"].history()] == ["confirmed"]


@pytest.mark.usefixtures("before")
def test_a_verification_runs_on_the_kernel_of_the_host(lab: Lab) -> None:
    played = lab.play("verify", "--limit", "h1")
    assert played.status == 0, played.output
    result = played.of("h1", "Send packets through the kernel")
    assert result["verdict"] == "agree"
    assert {run["backend"] for run in result["verification"]} == {"nft"}
